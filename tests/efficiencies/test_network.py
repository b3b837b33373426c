from __future__ import annotations

import io
import pickle
import shutil
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
from coffea.nanoevents import NanoEventsFactory
from hypothesis import given, settings

from hepsilon import ArtifactError, DomainError, InputError, OutOfDomainWarning, load
from hepsilon.efficiencies import artifact
from hepsilon.efficiencies import network as inference
from hepsilon.efficiencies.engines import choice
from hepsilon.efficiencies.field import FieldEfficiency
from hepsilon.processors import TaskSchema
from tests.helpers import strategies as sts
from tests.helpers.contracts import (
    COUNTS,
    CUTS,
    assert_chunks_add_up,
)
from tests.helpers.network_toys import write_untrained
from tests.helpers.toys import SPEC, random_jets, rows

ROUND_OFF = 2e-6
"""Largest difference of an efficiency between ways to batch the same events."""


@pytest.fixture(scope="module")
def jets() -> ak.Array:
    return random_jets([0, 3, 1, 0, 15, 2, 4], seed=5)


@pytest.fixture
def fresh_cache(monkeypatch):
    """A process that has loaded nothing yet."""
    monkeypatch.setattr(inference, "_ENGINES", {})
    monkeypatch.setattr(inference, "_CARDS", {})


@pytest.fixture
def loads(monkeypatch, fresh_cache) -> list[str]:
    """Hashes of the networks as they are loaded."""
    found = []
    original = choice.make_engine

    def make_engine(path, card, file_hash, **options):
        found.append(file_hash)
        return original(path, card, file_hash, **options)

    monkeypatch.setattr(inference, "make_engine", make_engine)
    return found


# the protocol


def test_result_is_jagged_like_the_records(gnn, jets):
    eps = gnn(jets)
    assert ak.num(eps).tolist() == ak.num(jets).tolist()
    assert rows(eps).dtype == np.float64
    assert np.all((rows(eps) > 0.0) & (rows(eps) < 1.0))


@pytest.mark.parametrize("counts", [[], [0], [0, 0, 0]])
def test_no_objects_give_no_efficiencies(gnn, counts):
    empty = random_jets([2, 1])[:, :0] if not counts else random_jets([*counts, 1])[:-1]
    empty = empty[: len(counts)]
    eps = gnn(empty)
    assert len(eps) == len(counts)
    assert len(rows(eps)) == 0
    assert rows(eps).dtype == np.float64


@given(counts=COUNTS, cuts=CUTS)
@settings(max_examples=25)
def test_chunks_change_only_the_round_off(gnn, counts, cuts):
    assert_chunks_add_up(gnn, counts, cuts, ROUND_OFF)


def test_records_are_not_mutated(gnn, jets):
    before = ak.to_list(jets)
    gnn(jets)
    gnn.in_domain(jets)
    assert ak.to_list(jets) == before


def test_fields_that_are_no_features_do_not_matter(gnn, jets):
    more = ak.with_field(jets, ak.ones_like(jets.pt) * np.nan, "junk")
    np.testing.assert_array_equal(rows(gnn(more)), rows(gnn(jets)))
    np.testing.assert_array_equal(rows(gnn(ak.without_field(jets, "mass"))), rows(gnn(jets)))


def test_replicas_have_one_more_axis(ensemble, jets):
    replicas = ensemble.replicas(jets)
    assert ak.num(replicas).tolist() == ak.num(jets).tolist()
    assert ak.to_numpy(ak.flatten(replicas)).shape == (25, 20)


@pytest.mark.parametrize("members", [1, 2, 3])
def test_efficiency_is_that_of_the_network_of_all_events_where_others_are_replicas(
    tmp_path, jets, members
):
    model = {"architecture": "mlp", "width": 4, "blocks": 1, "members": members}
    network = write_untrained(tmp_path / "net.hepsilon", resampling="bootstrap", **model)
    networks = network.of_members(*SPEC.matrix(jets))
    found = network.evaluate(jets, out_of_domain="ignore")
    assert networks.shape[-1] == members + 1
    np.testing.assert_array_equal(rows(found.eps), networks[:, 0])
    if members == 1:
        assert found.replicas is None  # one replica has no spread
    else:
        np.testing.assert_array_equal(rows(found.replicas), networks[:, 1:])


def test_replicas_of_no_events_keep_their_axis(ensemble, jets):
    replicas = ensemble.replicas(jets[:0])
    assert len(replicas) == 0
    assert ak.to_numpy(ak.flatten(replicas)).shape == (0, 20)


# layouts


def as_type(jets: ak.Array, dtype) -> ak.Array:
    names = ("pt", "eta", "phi")
    return ak.zip(
        {n: ak.values_astype(jets[n], dtype) for n in names}
        | {"hadronFlavour": ak.values_astype(jets.hadronFlavour, np.uint8)}
    )


LAYOUTS = {
    "float64": lambda jets: as_type(jets, np.float64),
    "float32": lambda jets: as_type(jets, np.float32),
    "sliced": lambda jets: ak.concatenate([random_jets([4, 2]), jets, random_jets([3])])[2:-1],
    "masked": lambda jets: ak.concatenate([jets, random_jets([2, 2])])[
        np.arange(len(jets) + 2) < len(jets)
    ],
    "objects masked": lambda jets: ak.concatenate([jets, random_jets([1] * len(jets))], axis=1)[
        ak.concatenate([ak.ones_like(jets.pt), [[0]] * len(jets)], axis=1) > 0
    ],
    "reordered twice": lambda jets: jets[::-1][::-1],
    "packed": ak.to_packed,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(gnn, jets, layout):
    found = rows(gnn(LAYOUTS[layout](jets)))
    np.testing.assert_allclose(found, rows(gnn(jets)), rtol=0, atol=ROUND_OFF)


def test_virtual_arrays_agree_with_plain_ones(gnn, toy_file, toy_jets):
    events = NanoEventsFactory.from_root(
        {str(toy_file): "Events"}, schemaclass=TaskSchema, mode="virtual"
    ).events()
    virtual = gnn(events.Jet, out_of_domain="ignore")
    plain = gnn(toy_jets, out_of_domain="ignore")
    np.testing.assert_allclose(rows(virtual), rows(plain), rtol=0, atol=ROUND_OFF)


def test_option_typed_events_are_refused(gnn, jets):
    with pytest.raises(InputError, match="option-typed"):
        gnn(ak.mask(jets, np.arange(len(jets)) > 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda jets: ak.without_field(jets, "eta"), "expected the field 'eta'"),
        (lambda jets: ak.with_field(jets, jets.pt * np.nan, "pt"), "pt: .* NaN"),
        (lambda jets: jets.pt[:, 0:1], "field"),
        (ak.flatten, "jagged"),
    ],
)
def test_records_without_what_is_needed_are_refused(gnn, jets, change, message):
    with pytest.raises(InputError, match=message):
        gnn(change(jets))


# domain


@pytest.fixture(scope="module")
def outside(jets) -> ak.Array:
    """One jet beyond the training sample in pt, one with a flavour nobody has seen."""
    pt, flavour = (rows(jets[name]).copy() for name in ("pt", "hadronFlavour"))
    pt[1], flavour[20] = 5000.0, 7
    jets = ak.with_field(jets, ak.unflatten(pt, ak.num(jets)), "pt")
    return ak.with_field(jets, ak.unflatten(flavour, ak.num(jets)), "hadronFlavour")


def test_objects_outside_the_domain_are_flagged(gnn, jets, outside):
    assert ak.all(gnn.in_domain(jets), axis=None)
    assert np.flatnonzero(~rows(gnn.in_domain(outside))).tolist() == [1, 20]
    assert ak.num(gnn.in_domain(outside)).tolist() == ak.num(jets).tolist()


def test_default_warns_with_the_count(gnn, outside):
    with pytest.warns(OutOfDomainWarning, match=r"2 of 25 .*1 in pt, 1 in hadronFlavour"):
        gnn(outside)


def test_raise_policy_raises(gnn, jets, outside):
    with pytest.raises(DomainError, match="2 of 25"):
        gnn(outside, out_of_domain="raise")
    gnn(jets, out_of_domain="raise")


def test_ignore_policy_is_silent_and_changes_nothing(gnn, outside):
    with pytest.warns(OutOfDomainWarning):
        warned = gnn(outside)
    np.testing.assert_array_equal(rows(gnn(outside, out_of_domain="ignore")), rows(warned))


def test_fallback_replaces_only_what_is_outside(gnn, outside):
    outside = ak.with_field(outside, ak.ones_like(outside.pt) * 0.125, "constant")
    found = rows(gnn(outside, out_of_domain=FieldEfficiency("constant")))
    plain = rows(gnn(outside, out_of_domain="ignore"))
    assert np.flatnonzero(found != plain).tolist() == [1, 20]
    assert found[[1, 20]].tolist() == [0.125, 0.125]


def test_fallback_may_be_a_map(gnn, toy_map, outside):
    found = rows(gnn(outside, out_of_domain=lambda x: toy_map(x, out_of_domain="ignore")))
    assert found[1] == rows(toy_map(outside, out_of_domain="ignore"))[1]


def test_unknown_category_is_counted_by_a_map_too(toy_map, outside):
    with pytest.warns(OutOfDomainWarning, match="1 in hadronFlavour"):
        toy_map(outside)


def test_policy_that_does_not_exist_is_refused(gnn, outside):
    with pytest.raises(InputError, match="wran"):
        gnn(outside, out_of_domain="wran")


# handles


def test_handle_pickles_small(gnn):
    assert len(pickle.dumps(gnn)) < 2000 + len(gnn.path)


def test_handle_pickles_to_itself(gnn, jets):
    again = pickle.loads(pickle.dumps(gnn))
    assert again == gnn
    np.testing.assert_array_equal(rows(again(jets)), rows(gnn(jets)))


def test_device_survives_pickling(gnn):
    assert pickle.loads(pickle.dumps(load(gnn.path, device="cpu"))).device == "cpu"


def test_path_is_absolute(gnn, monkeypatch):
    """A worker has another working directory."""
    monkeypatch.chdir(Path(gnn.path).parent)
    assert load(Path(gnn.path).name) == gnn


def test_network_is_loaded_once_per_process(ensemble, jets, loads):
    """coffea unpickles the processor for every chunk."""
    pickled = pickle.dumps(ensemble)
    for _ in range(5):
        pickle.loads(pickled)(jets)
    assert loads == [ensemble.hash]


def test_card_is_read_once_per_process(ensemble, fresh_cache, monkeypatch):
    reads = []
    original = artifact.identified_card
    monkeypatch.setattr(
        inference, "identified_card", lambda path: reads.append(path) or original(path)
    )
    pickled = pickle.dumps(ensemble)
    for _ in range(5):
        assert pickle.loads(pickled).card == ensemble.card
    assert len(reads) == 1


def test_unpickling_opens_nothing(ensemble, fresh_cache, tmp_path, jets):
    """A scheduler unpickles what it passes on, and does not see the file."""
    path = Path(shutil.copy(ensemble.path, tmp_path / "away.hepsilon"))
    pickled = pickle.dumps(load(path))
    content = path.read_bytes()
    path.unlink()
    handle = pickle.loads(pickle.dumps(pickle.loads(pickled)))
    assert "away.hepsilon" in repr(handle)
    with pytest.raises(ArtifactError, match=r"no model or map file.*away\.hepsilon"):
        handle(jets)
    path.write_bytes(content)
    np.testing.assert_allclose(rows(handle(jets)), rows(ensemble(jets)), rtol=0, atol=ROUND_OFF)
    with pytest.raises(AttributeError, match="has no attribute 'cart'"):
        getattr(handle, "cart")  # noqa: B009


def test_nothing_is_loaded_before_the_first_call(ensemble, loads, jets):
    handle = load(ensemble.path)
    handle.in_domain(jets)
    assert handle.task == ensemble.task
    assert not loads


def test_threads_load_once_and_agree(ensemble, jets, loads):
    pickled = pickle.dumps(ensemble)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: rows(pickle.loads(pickled)(jets)), range(8)))
    assert loads == [ensemble.hash]
    for result in results:
        np.testing.assert_allclose(result, results[0], rtol=0, atol=ROUND_OFF)


# files that changed or are damaged


@pytest.fixture
def copied(ensemble, tmp_path, fresh_cache):
    """A copy of the artifact that a test may damage."""
    return load(shutil.copy(ensemble.path, tmp_path / "copy.hepsilon"))


@pytest.mark.parametrize("new", ["another", "deleted", "cut"])
@pytest.mark.parametrize("when", ["call", "unpickle"])
def test_file_that_changed_since_it_was_loaded_is_refused(copied, gnn, jets, new, when):
    """With an ArtifactError, no OSError: coffea would drop the chunk for one, or for its cause."""
    pickled, path = pickle.dumps(copied), Path(copied.path)
    match new:
        case "another":
            shutil.copy(gnn.path, path)
        case "deleted":
            path.unlink()
        case "cut":
            path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match=r"copy\.hepsilon") as caught:
        (pickle.loads(pickled) if when == "unpickle" else copied)(jets)
    assert not isinstance(caught.value, OSError)
    assert caught.value.__cause__ is None


def rewrite(source, target, change) -> None:
    """Copy an artifact; ``change`` maps its entries."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name, content in change({n: old.read(n) for n in old.namelist()}).items():
            new.writestr(name, content)


def npy(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


KERNEL = "member-0/head_0.kernel.npy"

DAMAGE = {
    "wrong shape": lambda entries: entries | {KERNEL: npy(np.zeros((3, 4), np.float32))},
    "missing array": lambda entries: {k: v for k, v in entries.items() if k != KERNEL},
    "extra array": lambda entries: entries | {"member-0/more.npy": npy(np.zeros(3))},
    "extra member": lambda entries: entries | {"member-2/head_0.kernel.npy": npy(np.zeros(3))},
    "extra file": lambda entries: entries | {"code.py": b"print()"},
    "pickle": lambda entries: entries | {KERNEL: npy(np.array([{}], dtype=object))},
    "not an array": lambda entries: entries | {KERNEL: b"zeros"},
    "nan": lambda entries: entries | {KERNEL: npy(np.full((7, 4), np.nan, np.float32))},
}


def assert_refused(ensemble, jets, path, damage, backend) -> None:
    rewrite(ensemble.path, path, DAMAGE[damage])
    with pytest.raises(ArtifactError) as caught:
        load(path, backend=backend)(jets)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("damage", DAMAGE)
def test_artifact_with_unknown_content_is_refused(ensemble, tmp_path, jets, fresh_cache, damage):
    assert_refused(ensemble, jets, tmp_path / "x.hepsilon", damage, "tensorflow")


@pytest.mark.parametrize("damage", ["extra member", "extra file", "pickle", "not an array"])
def test_unknown_content_is_refused_by_all_backends(ensemble, tmp_path, jets, fresh_cache, damage):
    assert_refused(ensemble, jets, tmp_path / "x.hepsilon", damage, "onnxruntime")


def test_no_warning_inside_the_domain(gnn, jets):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gnn(jets)


# several working points


def test_working_points_are_one_more_axis(points_network, jets):
    eps = points_network(jets)
    assert ak.num(eps).tolist() == ak.num(jets).tolist()
    assert rows(eps).shape == (25, 3)
    assert rows(eps).dtype == np.float64
    assert points_network.working_points == ("L", "M", "T")


@given(records=sts.jet_records())
@settings(max_examples=20)
def test_efficiencies_fall_from_the_loosest_to_the_tightest(points_network, records):
    replicas = rows(points_network.replicas(records)).reshape(-1, 3, 20)
    eps = rows(points_network(records, out_of_domain="ignore")).reshape(-1, 3)
    for values in (replicas[..., 0], replicas[..., 1], eps):
        assert np.all((values > 0.0) & (values < 1.0))
        assert np.all(np.diff(values, axis=1) <= 0.0)


@given(counts=COUNTS, cuts=CUTS)
@settings(max_examples=15)
def test_chunks_of_several_working_points_change_only_the_round_off(points_network, counts, cuts):
    assert points_network(random_jets([2])).type.content.content.size == 3
    assert_chunks_add_up(points_network, counts, cuts, ROUND_OFF)


@pytest.mark.parametrize("part", [slice(0, 0), slice(0, 1)], ids=["no event", "no jet"])
def test_no_objects_keep_the_number_of_working_points(points_network, jets, part):
    found = points_network.evaluate(jets[part])
    assert len(found.eps) == len(jets[part])
    assert rows(found.eps).shape == (0, 3)
    assert rows(found.replicas).shape == (0, 3, 20)
    assert rows(found.in_domain).shape == (0,)


def test_replicas_come_after_the_working_points(points_network, jets):
    replicas = rows(points_network.replicas(jets))
    assert replicas.shape == (25, 3, 20)
    members = load(points_network.path, replicas_from="members")
    mean = rows(members.replicas(jets)).mean(axis=2)
    np.testing.assert_array_equal(mean, rows(points_network(jets)))
    assert np.abs(replicas[..., 0] - replicas[..., 1]).min() > 0.0


def test_handle_of_several_working_points_pickles_to_itself(points_network, jets):
    again = pickle.loads(pickle.dumps(points_network))
    assert again == points_network
    assert again.working_points == ("L", "M", "T")
    np.testing.assert_array_equal(rows(again(jets)), rows(points_network(jets)))


def test_domain_is_that_of_the_objects(points_network, jets, outside):
    assert np.flatnonzero(~rows(points_network.in_domain(outside))).tolist() == [1, 20]
    with pytest.warns(OutOfDomainWarning, match=r"2 of 25 .*1 in pt, 1 in hadronFlavour"):
        points_network(outside)


def test_fallback_has_as_many_working_points(points_network, points_map, outside):
    def fallback(records):
        return points_map(records, out_of_domain="ignore")

    plain = points_network.evaluate(outside, out_of_domain="ignore")
    found = points_network.evaluate(outside, out_of_domain=fallback)
    other = rows(fallback(outside))
    for after, before, expected in (
        (found.eps, plain.eps, other),
        (found.replicas, plain.replicas, np.repeat(other[..., None], 20, axis=2)),
    ):
        changed = (rows(after) != rows(before)).reshape(25, -1).all(axis=1)
        assert np.flatnonzero(changed).tolist() == [1, 20]
        np.testing.assert_array_equal(rows(after)[changed], expected[changed])


def test_fallback_with_another_number_of_working_points_is_refused(
    points_network, gnn, toy_map, points_map, outside
):
    for network, other in ((points_network, toy_map), (gnn, points_map)):

        def fallback(records, other=other):
            return other(records, out_of_domain="ignore")

        with pytest.raises(InputError, match="another number of working points"):
            network(outside, out_of_domain=fallback)


# evaluate


@pytest.mark.parametrize("name", ["gnn", "ensemble", "points_network"])
def test_evaluate_says_what_the_single_calls_say(request, jets, outside, name):
    network = request.getfixturevalue(name)
    for records in (jets, outside):
        found = network.evaluate(records, out_of_domain="ignore")
        eps = network(records, out_of_domain="ignore")
        np.testing.assert_allclose(rows(found.eps), rows(eps), rtol=0, atol=ROUND_OFF)
        assert ak.array_equal(found.in_domain, network.in_domain(records))
        again = rows(network.replicas(records))
        np.testing.assert_allclose(rows(found.replicas), again, rtol=0, atol=ROUND_OFF)


def test_evaluate_passes_the_network_once(points_network, jets, monkeypatch):
    calls = []
    original = type(points_network)._of_engine

    def of_engine(self, offsets, nodes, *kernel):
        calls.append(len(nodes))
        return original(self, offsets, nodes, *kernel)

    monkeypatch.setattr(type(points_network), "_of_engine", of_engine)
    points_network.evaluate(jets)
    assert calls == [25]
