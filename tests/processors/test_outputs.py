"""Outputs add up chunk by chunk, in one process and in several."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace

import awkward as ak
import hist
import numpy as np
import pytest
from coffea import processor
from coffea.processor import accumulate

from hepsilon import InputError
from hepsilon.arrays.repeats import KeySample
from hepsilon.closure import run_closure
from hepsilon.config import Cut
from hepsilon.histograms import JET_OBSERVABLES
from hepsilon.histograms.entries import EntryCounts
from hepsilon.processors import EfficiencyInversion, InversionOutput, TaggingOutput, TruthTagging
from hepsilon.processors.executors import local_executor
from hepsilon.processors.outputs import CorrectionMethod
from hepsilon.processors.run_record import RunRecord
from hepsilon.simulation import Detector
from hepsilon.simulation.detector_efficiency import DetectorEfficiency
from tests.helpers.toys import TASK, InMemory, events_of, half, tagged_jets
from tests.helpers.track_toys import PAIRS, Sample, branches_of, draw, write_branches


def half_of_events(records):
    return np.full(len(records), 0.5)


def tagging(first, last) -> TaggingOutput:
    """Events of a small sample of jets, from one number to another."""
    events = events_of(tagged_jets([2, 3, 0, 1, 4, 2]))
    return TruthTagging(TASK, {"half": half}).process(events[first:last])["sample"]


def inversion(first, last) -> InversionOutput:
    """Events of a small sample of track pairs, from one number to another."""
    content = branches_of(draw([2] * 40))
    content["TrackReco"] = content["Track"]
    events = ak.zip(content, depth_limit=1, with_name="Sample")
    events = ak.Array(events, behavior={("*", "Sample"): InMemory})
    instance = EfficiencyInversion(
        PAIRS, {"half": half_of_events}, replicas=3, reconstructed="TrackReco"
    )
    return instance.process(events[first:last])["sample"]


COUNTS = ("entries", "not_a_number", "outside")


def numbers_of(value, name=""):
    """All numbers and bins of an output by their place in it."""
    if isinstance(value, hist.Hist):
        view = value.view(flow=True)
        return {(name, part): view[part] if part else view for part in view.dtype.names or ("",)}
    if isinstance(value, EntryCounts):
        return {(name, part): np.array(getattr(value, part)) for part in COUNTS} | {
            (name, part): getattr(value, part) for part in ("units", "origins")
        }
    if isinstance(value, RunRecord):
        return {}  # loads are those of a process, times its own
    if isinstance(value, KeySample):
        return {(name, "keys"): value.keys, (name, "counts"): value.counts}
    if isinstance(value, (TaggingOutput, InversionOutput, dict)):
        parts = [numbers_of(part, f"{name}.{key}") for key, part in value.items()]
        return {key: number for found in parts for key, number in found.items()}
    return {(name, ""): value}


def assert_same(found, expected):
    found, expected = numbers_of(found), numbers_of(expected)
    assert set(found) == set(expected)
    for key, value in expected.items():
        if isinstance(value, str | tuple | dict):
            assert found[key] == value
        else:
            np.testing.assert_allclose(found[key], value, rtol=1e-9, atol=1e-12, err_msg=str(key))


@pytest.mark.parametrize("output_of", [tagging, inversion])
@pytest.mark.parametrize("cut", [0, 1, 3])
def test_chunks_add_up(output_of, cut):
    """A chunk without events changes nothing."""
    assert_same(output_of(0, cut) + output_of(cut, None), output_of(0, None))


@pytest.mark.parametrize("output_of", [tagging, inversion])
def test_coffea_accumulates_datasets_that_not_all_chunks_have(output_of):
    chunks = [{"a": output_of(0, 2)}, {"b": output_of(0, 3)}, {"a": output_of(2, None)}]
    found = accumulate(chunks)
    assert_same(found["a"], output_of(0, None))
    assert_same(found["b"], output_of(0, 3))


@pytest.mark.parametrize("output_of", [tagging, inversion])
def test_sum_leaves_its_parts_alone(output_of):
    first, second = output_of(0, 3), output_of(3, None)
    first + second
    assert_same(first, output_of(0, 3))
    assert_same(second, output_of(3, None))


def test_sum_in_place_reuses_the_histograms():
    total = first = tagging(0, 3)
    total += tagging(3, None)
    assert total.observables["pt"] is first.observables["pt"]
    assert first.n_events == 3
    assert total.n_events == 6


@pytest.mark.parametrize("output_of", [tagging, inversion])
def test_record_is_frozen(output_of):
    with pytest.raises(FrozenInstanceError):
        output_of(0, 1).n_events = 7


def test_counts_of_methods_that_only_one_chunk_has_are_kept():
    first, second = tagging(0, 3), tagging(3, None)
    outside = ({"map": 1, "gnn": 2}, {"gnn": 3, "mlp": 4})
    total = replace(first, out_of_domain=outside[0]) + replace(second, out_of_domain=outside[1])
    assert total.out_of_domain == {"map": 1, "gnn": 5, "mlp": 4}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": "Pt"}, "reference is 'M' and 'Pt'"),
        ({"methods": (CorrectionMethod("other"),)}, "methods is"),
        ({"exact": None}, "only one of them has exact"),
    ],
)
def test_outputs_of_different_processors_do_not_add_up(change, message):
    output = inversion(0, 2)
    with pytest.raises(InputError, match=message):
        output + replace(output, **change)


def test_outputs_of_different_use_cases_do_not_add_up():
    with pytest.raises(InputError, match="TaggingOutput to add"):
        tagging(0, 1) + inversion(0, 1)


@pytest.mark.parametrize("output_of", [tagging, inversion])
def test_output_reads_like_a_dictionary(output_of):
    output = output_of(0, None)
    assert dict(output) == {f.name: getattr(output, f.name) for f in fields(output)}
    assert output["n_events"] == output.n_events
    assert output.get("nothing") is None


def test_key_of_what_was_not_asked_for_is_missing():
    output = replace(inversion(0, 2), exact=None)
    assert "exact" not in output
    assert "replicas" in output
    with pytest.raises(KeyError, match="exact"):
        output["exact"]


def test_labels_of_methods():
    assert CorrectionMethod("net").label == "net"
    assert CorrectionMethod("net", reconstructed=True).label == "net@reco"
    labels = [method.label for method in inversion(0, 1).methods]
    assert labels == ["truth", "half", "half@reco"]


def test_variance_of_reconstructed_momenta_is_that_of_the_selected_events():
    output = inversion(0, None)
    for method in output.methods:
        source = output.horvitz_thompson if method.reconstructed else output.exact
        expected = source["M"][{"method": method.label}].variances()
        np.testing.assert_array_equal(output.variance("M", method), expected)


@pytest.fixture(scope="module")
def track_file(tmp_path_factory):
    """Whose last events are outside the fiducial region: a chunk of them is empty."""
    inner, outer = draw([2] * 300), draw([2] * 100, seed=3)
    tracks = ak.with_field(outer.tracks, 100.0 * outer.tracks.pz, "pz")
    parts = [inner, replace(outer, tracks=tracks)]
    sample = Sample(
        ak.concatenate([part.tracks for part in parts]),
        *(np.concatenate([getattr(p, n) for p in parts]) for n in ("truth", "reco", "weights")),
    )
    content = branches_of(sample)
    path = tmp_path_factory.mktemp("outputs") / "tracks.root"
    return write_branches(path, content | {"TrackReco": content["Track"]})


@pytest.mark.parametrize("kind", ["iterative", pytest.param("loky", marks=pytest.mark.slow)])
def test_every_executor_adds_chunks_without_events(track_file, kind):
    efficiencies = {"detector": DetectorEfficiency(Detector())}
    options = {"replicas": 2, "reconstructed": "TrackReco"}
    expected = run_closure([track_file], PAIRS, efficiencies, **options)
    assert 0 < expected.n_outside <= 100
    executor = processor.IterativeExecutor(status=False) if kind == "iterative" else None
    found = run_closure(
        [track_file],
        PAIRS,
        efficiencies,
        executor=executor or local_executor(2),
        chunksize=50,
        **options,
    )
    assert isinstance(found, InversionOutput)
    assert_same(found, expected)


def test_a_line_says_what_an_output_is():
    assert repr(tagging(0, 6)).startswith("<TaggingOutput of 6 events: pt, eta")
    assert "\n" not in repr(inversion(0, 6))


def test_results_of_the_same_entries_add_up_on_request_only(toy_file) -> None:
    """Twice the same events are a mistake; others of the same entries may be meant."""
    questions = [
        (TASK.model_copy(update={"selection": cuts}), {"half": half})
        for cuts in ((Cut(field="pt", max=60.0),), (Cut(field="pt", min=60.0),))
    ]
    low, high = (run_closure([toy_file], *asked) for asked in questions)
    with pytest.raises(InputError, match=r"count twice.*run=None"):
        low + high
    with pytest.raises(InputError, match="'pt' has other bins in a part"):
        replace(low, run=None) + replace(high, run=None)
    low, high = (
        run_closure([toy_file], *asked, observables=JET_OBSERVABLES) for asked in questions
    )
    both = replace(low, run=None) + replace(high, run=None)
    assert both.n_objects == low.n_objects + high.n_objects
