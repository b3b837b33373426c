"""The bin-by-bin baseline, made from histograms of generated and selected events."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import hist
import numpy as np
import numpy.typing as npt
import pytest

from hepsilon import ArtifactError, ConfigError, InputError, load
from hepsilon.arrays.fields import field
from hepsilon.config import MapConfig
from hepsilon.efficiencies.bin_by_bin import BinByBin
from hepsilon.efficiencies.factorised import FactorisedMap
from hepsilon.efficiencies.loading import load_correction
from hepsilon.histograms import Observable, Observable2D
from hepsilon.histograms.entries import Entries, book_methods
from hepsilon.histograms.methods import GENERATED, SELECTED
from tests.helpers.track_toys import (
    PAIRS,
    Sample,
    columns_of,
    draw,
    random_tracks,
    task_with,
    write_sample,
)

Array = npt.NDArray[Any]


def pt_of(records: ak.Array) -> ak.Array:
    return field(records, "pt")


def eta_of(records: ak.Array) -> ak.Array:
    return field(records, "eta")


def sum_of_pt(records: ak.Array) -> Array:
    return np.asarray(ak.to_numpy(ak.sum(field(records, "pt"), axis=1)))


SUM = Observable("sum", sum_of_pt, "event", (1.0, 1.5, 2.0, 2.5, 3.2), "sum")
PT = Observable("pt", pt_of, "object", (0.3, 0.6, 1.0), "pt")
ETA = Observable("eta", eta_of, "object", (-0.5, 0.0, 0.5), "eta")
BOTH = Observable2D("pt_eta", PT, ETA)
OBSERVABLES = (SUM, PT, BOTH)


def histograms_of(
    sample: Sample, weights: Array, observables: tuple[Any, ...] = OBSERVABLES
) -> dict[str, hist.Hist[Any]]:
    """Generated and selected events, filled as a processor does."""
    booked = {}
    for observable in observables:
        histogram = book_methods(observable, [GENERATED, SELECTED])
        for method, chosen in ((GENERATED, np.ones(len(sample), bool)), (SELECTED, sample.reco)):
            entries = Entries.of(observable, sample.tracks).of_events(chosen)
            entries.fill(histogram, method, weights[chosen][entries.event])
        booked[observable.name] = histogram
    return booked


@pytest.fixture(scope="module")
def sample() -> Sample:
    return draw([2] * 300, seed=4)


@pytest.fixture(scope="module")
def weights() -> Array:
    """Positive weights, so that effective numbers are not those of events."""
    return np.random.default_rng(4).uniform(0.2, 3.0, 300)


@pytest.fixture(scope="module")
def fitted(sample: Sample) -> BinByBin:
    return BinByBin.fit(PAIRS, histograms_of(sample, np.ones(300)), 300)


def expected_values(observable: Any, sample: Sample, weights: Array) -> tuple[Array, Array]:
    """Values of all entries, and the bin (flow included) of each, entry by entry."""
    entries = Entries.of(observable, sample.tracks)
    passed, w = sample.reco[entries.event], weights[entries.event]
    share = np.sum(w * passed) / np.sum(w)
    where = [np.digitize(v, a.edges) for v, a in zip(entries.values, entries.axes, strict=True)]
    bins = np.stack(where, axis=1)
    values = np.empty(len(bins))
    for number in np.unique(bins, axis=0):
        inside = (bins == number).all(axis=1)
        n, k = np.sum(w[inside]), np.sum((w * passed)[inside])
        n_effective = n**2 / np.sum(w[inside] ** 2)
        values[inside] = (n_effective * k / n + share) / (n_effective + 1.0)
    return values, bins


# values


@pytest.mark.parametrize("observable", OBSERVABLES, ids=lambda o: o.name)
def test_value_of_a_bin_is_k_plus_p_over_n_plus_one(
    fitted: BinByBin, sample: Sample, observable: Any
) -> None:
    """Also in the flow bins, and in two dimensions."""
    expected, bins = expected_values(observable, sample, np.ones(300))
    assert bins.min() == 0
    assert bins.max() == max(axis.size for axis in observable.axes) + 1
    found = fitted.efficiency(observable.name, Entries.of(observable, sample.tracks))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("observable", OBSERVABLES, ids=lambda o: o.name)
def test_weights_count_as_effective_numbers(
    sample: Sample, weights: Array, observable: Any
) -> None:
    found = BinByBin.fit(PAIRS, histograms_of(sample, weights), 300)
    expected, _ = expected_values(observable, sample, weights)
    eps = found.efficiency(observable.name, Entries.of(observable, sample.tracks))
    np.testing.assert_allclose(eps, expected, rtol=1e-12)


def test_scale_of_the_weights_does_not_matter(sample: Sample, weights: Array) -> None:
    entries = Entries.of(SUM, sample.tracks)
    found = [
        BinByBin.fit(PAIRS, histograms_of(sample, scale * weights), 300).efficiency("sum", entries)
        for scale in (1.0, 1e-3)
    ]
    np.testing.assert_allclose(*found, rtol=1e-9)


def tracks_with_sum(pt: float) -> ak.Array:
    track = {"pt": pt / 2.0, "eta": 0.1, "phi": 0.0}
    return ak.Array([[track, track]])


def test_empty_bins_have_the_share_of_all_events(fitted: BinByBin, sample: Sample) -> None:
    """Nothing was generated below 0.5 or above 4 GeV, here in bins of their own."""
    wide = Observable("sum", sum_of_pt, "event", (0.0, 0.4, 1.0, 5.0, 6.0), "sum")
    found = BinByBin.fit(PAIRS, histograms_of(sample, np.ones(300), (wide,)), 300)
    for pt in (-1.0, 0.2, 5.5, 9.0):
        eps = found.efficiency("sum", Entries.of(wide, tracks_with_sum(pt)))
        assert eps.tolist() == [pytest.approx(sample.reco.mean())]


def test_flow_bins_are_no_empty_bins(fitted: BinByBin, sample: Sample) -> None:
    low, high = (
        fitted.efficiency("sum", Entries.of(SUM, tracks_with_sum(pt)))[0] for pt in (0.6, 3.9)
    )
    assert low < sample.reco.mean() < high


def test_negative_bins_are_empty_ones(sample: Sample) -> None:
    """A bin whose weights sum to less than nothing has no efficiency of its own."""
    chosen = sum_of_pt(sample.tracks) > 3.2
    assert 0 < chosen.sum() < 100
    weights = np.where(chosen, -0.5, 1.0)
    found = BinByBin.fit(PAIRS, histograms_of(sample, weights, (SUM,)), 300)
    share = np.sum(weights * sample.reco) / np.sum(weights)
    eps = found.efficiency("sum", Entries.of(SUM, tracks_with_sum(3.9)))
    assert eps.tolist() == [pytest.approx(share)]


def test_unphysical_bins_are_next_to_zero_or_one(sample: Sample) -> None:
    """More selected than generated, or fewer than none, by negative weights."""
    chosen = sum_of_pt(sample.tracks) > 3.2
    share = []
    for flip in (sample.reco, ~sample.reco):
        weights = np.where(chosen & flip, -0.1, 1.0)
        found = BinByBin.fit(PAIRS, histograms_of(sample, weights, (SUM,)), 300)
        share.append(found.efficiency("sum", Entries.of(SUM, tracks_with_sum(3.9)))[0])
    assert 0.0 < share[0] < 0.2
    assert 0.8 < share[1] < 1.0


def test_all_values_are_inside_zero_and_one(sample: Sample) -> None:
    few = Sample(sample.tracks[:1], sample.truth[:1], np.array([True]), np.ones(1))
    found = BinByBin.fit(PAIRS, histograms_of(few, np.ones(1)), 1)
    for observable in OBSERVABLES:
        eps = found.efficiency(observable.name, Entries.of(observable, random_tracks([2] * 9)))
        assert ((eps > 0.0) & (eps < 1.0)).all()


def test_no_entries_have_no_values(fitted: BinByBin) -> None:
    assert fitted.efficiency("sum", Entries.of(SUM, random_tracks([2])[:0])).shape == (0,)


@pytest.mark.parametrize("observables", [(), (SUM,)])
def test_corrections_of_nothing_are_refused(sample: Sample, observables: tuple[Any, ...]) -> None:
    booked = histograms_of(sample, np.zeros(300), observables)
    with pytest.raises(InputError, match="expected"):
        BinByBin.fit(PAIRS, booked, 300)


# what it was not made for


def test_unknown_observable_is_refused(fitted: BinByBin, sample: Sample) -> None:
    with pytest.raises(ConfigError, match=r"not made for 'eta' .*it has \['sum', 'pt', 'pt_eta'\]"):
        fitted.efficiency("eta", Entries.of(ETA, sample.tracks))


@pytest.mark.parametrize(
    "edges", [(1.0, 1.5, 2.0, 2.5), (1.0, 1.5, 2.0, 2.5, 3.3), (0.0, 1.0, 1.5, 2.0, 2.5, 3.2)]
)
def test_another_binning_is_refused(
    fitted: BinByBin, sample: Sample, edges: tuple[float, ...]
) -> None:
    other = Observable("sum", sum_of_pt, "event", edges, "sum")
    with pytest.raises(ConfigError, match="not made for 'sum' with this binning"):
        fitted.efficiency("sum", Entries.of(other, sample.tracks))


def test_another_number_of_axes_is_refused(fitted: BinByBin, sample: Sample) -> None:
    with pytest.raises(ConfigError, match="not made for 'pt'"):
        fitted.efficiency("pt", Entries.of(BOTH, sample.tracks))


# files


@pytest.fixture(scope="module")
def path(fitted: BinByBin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted.save(tmp_path_factory.mktemp("binned") / "bins.hepsilon")


@pytest.mark.parametrize("read", [BinByBin.load, load_correction])
def test_correction_survives_the_round_trip_through_a_file(
    fitted: BinByBin, path: Path, sample: Sample, read: Callable[[Path], BinByBin]
) -> None:
    again = read(path)
    assert isinstance(again, BinByBin)
    assert again.card == fitted.card
    assert again.hash
    assert again.task == PAIRS
    for observable in OBSERVABLES:
        entries = Entries.of(observable, sample.tracks)
        found = again.efficiency(observable.name, entries)
        np.testing.assert_array_equal(found, fitted.efficiency(observable.name, entries))


def test_it_is_no_efficiency_of_records(path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no function of the records.*load_correction"):
        load(path)


def test_efficiencies_are_corrections_too(tmp_path: Path) -> None:
    axes = MapConfig.model_validate({"axes": {"pt": {"edges": (0.2, 1.0, 2.0)}}})
    task = task_with(features=("pt",), categorical={})
    made = FactorisedMap.fit(task, columns_of(draw([2] * 50), task), axes)
    found = load_correction(made.save(tmp_path / "map.hepsilon"))
    assert isinstance(found, FactorisedMap)


def npy(array: Array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def card_with(changes: dict[str, Any]) -> Callable[[bytes], bytes]:
    return lambda content: json.dumps(json.loads(content) | changes).encode()


VALUE, CARD = "values/sum.npy", "card.json"
DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes | None]]] = {
    "without flow": (VALUE, lambda _: npy(np.full(4, 0.5))),
    "above one": (VALUE, lambda _: npy(np.full(6, 1.5))),
    "zero": (VALUE, lambda _: npy(np.zeros(6))),
    "nan": (VALUE, lambda _: npy(np.full(6, np.nan))),
    "text": (VALUE, lambda _: npy(np.full(6, "0.5"))),
    "missing": (VALUE, lambda _: None),
    "not an array": (VALUE, lambda _: b"zeros"),
    "another observable": ("values/more.npy", lambda _: npy(np.full(6, 0.5))),
    "another file": ("code.py", lambda _: b"print()"),
    "other edges": (CARD, card_with({"edges": {"sum": [[0.0, 1.0]]}})),
    "other arrays": (CARD, card_with({"arrays": ["values", "errors"]})),
    "unknown key": (CARD, card_with({"surprise": 1})),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_files_with_other_content_are_refused(path: Path, tmp_path: Path, damage: str) -> None:
    entry, change = DAMAGE[damage]
    with zipfile.ZipFile(path) as old:
        entries: dict[str, bytes | None] = {name: old.read(name) for name in old.namelist()}
    entries[entry] = change(entries.get(entry) or b"")
    with zipfile.ZipFile(tmp_path / "x.hepsilon", "w") as new:
        for name, content in entries.items():
            if content is not None:
                new.writestr(name, content)
    with pytest.raises(ArtifactError):
        load_correction(tmp_path / "x.hepsilon")


def test_what_is_no_artifact_is_refused(sample: Sample, tmp_path: Path) -> None:
    for path in (write_sample(tmp_path / "tracks.root", sample), tmp_path / "missing"):
        with pytest.raises(ArtifactError, match=path.name):
            load_correction(path)
