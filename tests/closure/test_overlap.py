"""Events of the training in other files are found by their content, and by nothing else."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import EfficiencyMap
from hepsilon.arrays.sketch import SKETCH, event_digests, sketch
from hepsilon.closure import closure_report, run_closure, shared_with_training
from hepsilon.config import VerdictConfig
from hepsilon.data.dataset import read_columns
from hepsilon.simulation import write_jets
from tests.helpers.toys import TASK, mlp_config


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(0, 99))
def test_digests_are_those_of_the_content(counts, seed):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    nodes = rng.normal(size=(offsets[-1], 3)).astype(np.float32)
    digests = event_digests(offsets, nodes)
    filled = [i for i, n in enumerate(counts) if n]
    assert len(set(digests[filled].tolist())) == len(filled)
    for event in filled:  # wherever an event stands
        own = nodes[offsets[event] : offsets[event + 1]]
        assert event_digests(np.array([0, len(own)]), own)[0] == digests[event]
        changed = own.copy()
        changed[-1, 0] = np.nextafter(changed[-1, 0], np.float32(np.inf))
        assert event_digests(np.array([0, len(own)]), changed)[0] != digests[event]


def test_sketch_holds_each_event_with_one_probability():
    digests = event_digests(np.arange(20_001), np.arange(20_000, dtype=np.float32)[:, None])
    kept = set(sketch(digests))
    assert len(kept) == SKETCH
    place = np.flatnonzero([int(d) in kept for d in digests]) / len(digests)
    assert place.mean() == pytest.approx(0.5, abs=5 / (12 * SKETCH) ** 0.5)  # false alarm 1e-6


def test_events_that_are_alike_have_no_sketch():
    assert sketch(np.zeros(10, np.uint64)) == ()


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """A training, a skim of it in another file, and other events of the same numbers."""
    folder = tmp_path_factory.mktemp("overlap")
    training = write_jets(folder / "training.root", 2000, seed=1)
    other = write_jets(folder / "other.root", 2000, seed=2)
    with uproot.open(training) as file:
        names = file["Events"].keys()
        events = file["Events"].arrays()
    with uproot.open(other) as file:
        others = file["Events"].arrays()
    half = ak.concatenate([events[::2], others[:1000]])
    with uproot.recreate(folder / "skim.root") as file:
        file["Events"] = {name: half[name] for name in names if not name.startswith("n")}
    columns = read_columns([training], mlp_config(), progress=False)
    return EfficiencyMap.fit(TASK, columns), training, folder / "skim.root", other


def test_share_of_the_training_is_estimated(samples):
    fitted, training, skim, other = samples
    efficiencies = {"map": fitted, "function": lambda records: records.pt * 0.0}
    assert shared_with_training([training], TASK, efficiencies) == {"map": 1.0}
    assert shared_with_training([other], TASK, efficiencies) == {}
    found = shared_with_training([skim], TASK, efficiencies)
    assert found["map"] == pytest.approx(0.5, abs=0.12)  # about 256 of 512 digests


def test_files_without_events_and_those_behind_the_last_event_do_not_matter(samples, tmp_path):
    fitted, training, _, other = samples
    empty = tmp_path / "empty.root"
    with uproot.open(training) as file, uproot.recreate(empty) as copy:
        events = file["Events"].arrays()[:0]
        copy["Events"] = {n: events[n] for n in events.fields if not n.startswith("n")}
    efficiencies = {"map": fitted}
    assert shared_with_training([empty, training], TASK, efficiencies) == {"map": 1.0}
    assert shared_with_training([other, training], TASK, efficiencies, max_events=2000) == {}


def test_events_are_looked_at_in_all_files(samples):
    fitted, training, _, other = samples
    (share,) = shared_with_training([other, training], TASK, {"map": fitted}, most=2000).values()
    assert share == pytest.approx(0.5, abs=0.12)  # about 256 of 512 digests


def test_verdict_says_so_and_fails(samples):
    fitted, _, skim, _ = samples
    efficiencies = {"map": fitted}
    output = run_closure([skim], TASK, efficiencies)
    shared = shared_with_training([skim], TASK, efficiencies)
    for limit, status in ((0.01, "fail"), (0.9, "warn")):
        thresholds = VerdictConfig(shared=limit, total=0.9, bin=0.9, out_of_domain=0.9)
        closure = closure_report(output, TASK, efficiencies, [skim], thresholds, shared=shared)
        judged = closure.verdict.methods["map"]
        (reason,) = [r for r in judged.reasons if "were in its training, in other files" in r]
        assert reason.startswith("about ")
        assert judged.status == status
