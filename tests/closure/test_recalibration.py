"""Recalibration: the fit finds what was done, every answer follows, and nothing happens unasked."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

import hepsilon
from hepsilon import ArtifactError, ConfigError, InputError
from hepsilon.closure import closure_report, recalibrate, run_closure, trained_on
from hepsilon.closure import recalibration as fitting
from hepsilon.closure.calibration import EFFICIENCY
from hepsilon.closure.entries import Entries
from hepsilon.closure.recalibration import fit_recalibration
from hepsilon.efficiencies.card import SourceFile
from hepsilon.efficiencies.recalibration import CategoryCalibration, Recalibration
from hepsilon.export.formats import export
from hepsilon.simulation import write_jets
from tests.helpers.toys import POINTS, TASK, task_of

FLAT = task_of("pt", "eta")


def entries_of(eps, passed, category=None, weights=None):
    """Entries of events of two objects."""
    n = len(eps)
    return Entries(
        inputs=np.zeros((n, 2), np.float32),
        passed=passed,
        category=np.full(n, -1) if category is None else category,
        events=np.arange(n) // 2,
        weights=np.ones(n) if weights is None else weights,
        keys=np.arange(n // 2, dtype=np.uint64),
        eps={"net": eps},
        replicas={},
    )


def map_of(slope=1.0, offset=(0.0,), category=None):
    return CategoryCalibration(
        category=category,
        slope=slope,
        slope_error=0.1,
        offset=offset,
        offset_error=tuple(0.1 for _ in offset),
    )


def recalibration_of(*maps, feature=None):
    return Recalibration(feature=feature, categories=maps, n_events=1, gain=0.0, gain_error=0.0)


def test_fit_finds_what_was_done_with_its_error():
    """Pulls of slope and offset over 25 samples: each mean within 4 errors (false alarm 1e-4)."""
    rng, pulls, gains = np.random.default_rng(4), [], []
    for _ in range(25):
        eps = rng.uniform(0.05, 0.95, (4000, 1))
        true = expit(0.3 + 0.8 * logit(eps[:, 0]))
        passed = (rng.random(4000) < true).astype(int)
        weights = rng.choice([1.0, 2.0, -0.3], 2000)[np.arange(4000) // 2]
        found = fit_recalibration(entries_of(eps, passed, weights=weights), "net", FLAT)
        (each,) = found.categories
        assert each.category is found.feature is None
        pulls.append([(each.slope - 0.8) / each.slope_error])
        pulls[-1] += [(each.offset[0] - 0.3) / each.offset_error[0]]
        gains.append(found.gain / found.gain_error)
    mean, spread = np.mean(pulls, axis=0), np.std(pulls, axis=0, ddof=1)
    assert (np.abs(mean) < 4.0 * spread / 25**0.5).all()
    assert spread == pytest.approx(1.0, abs=0.55)
    assert np.mean(gains) > 2.0


def test_nothing_is_gained_where_nothing_is_wrong():
    rng, gains = np.random.default_rng(5), []
    for _ in range(20):
        eps = rng.uniform(0.05, 0.95, (2000, 1))
        found = entries_of(eps, (rng.random(2000) < eps[:, 0]).astype(int))
        gains.append(fit_recalibration(found, "net", FLAT).gain)
    assert np.mean(gains) < 0.0  # what is fitted to chance costs a little


def test_categories_and_working_points_have_their_own():
    rng, n = np.random.default_rng(6), 15_000
    loose = rng.uniform(0.3, 0.9, n)
    eps = np.stack([loose, 0.6 * loose, 0.3 * loose], axis=1)
    category = rng.integers(0, 3, n)
    slopes, offsets = np.array([1.2, 0.9, 0.7]), np.array([0.2, -0.1, 0.0])
    maps = [map_of(s, (o, 2 * o, 0.1)) for s, o in zip(slopes, offsets, strict=True)]
    true = np.select(
        [(category == i)[:, None] for i in range(3)], [recalibration_of(m)(eps, None) for m in maps]
    )
    passed = (rng.random(n)[:, None] < true).sum(axis=1)
    found = fit_recalibration(entries_of(eps, passed, category), "net", POINTS)
    assert found.feature == "hadronFlavour"
    assert [each.category for each in found.categories] == [5, 4, 0]
    for each, slope, offset in zip(found.categories, slopes, offsets, strict=True):
        assert each.slope == pytest.approx(slope, abs=4 * each.slope_error)
        wanted = (offset, 2 * offset, 0.1)
        for value, error, expected in zip(each.offset, each.offset_error, wanted, strict=True):
            assert value == pytest.approx(expected, abs=4 * error)


@given(
    st.floats(0.1, 10.0),
    st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=3),
    st.integers(0, 1000),
)
def test_answers_are_probabilities_in_their_order(slope, offset, seed):
    rng, points = np.random.default_rng(seed), len(offset)
    eps = np.sort(rng.random((50, points)), axis=1)[:, ::-1]
    eps[0], eps[1] = 0.0, 1.0
    mapped = recalibration_of(map_of(slope, tuple(offset)))(eps, None)
    assert ((mapped >= 0.0) & (mapped <= 1.0)).all()
    assert (np.diff(mapped, axis=1) <= 1e-12).all()
    np.testing.assert_array_equal(mapped[:2], eps[:2])
    if points == 1:
        expected = expit(offset[0] + slope * logit(eps[2:]))
        np.testing.assert_allclose(mapped[2:], expected, rtol=1e-9)
        order = np.argsort(eps[:, 0])
        assert (np.diff(mapped[order, 0]) >= 0.0).all()


def test_bands_of_a_recalibration_cover_the_truth(monkeypatch):
    """68 % of 250 bands, within 4 standard deviations of a binomial (false alarm 1e-4).

    Both objects of an event have one response: without sums over events 52 % would be covered.
    """
    monkeypatch.setattr(fitting, "FOLDS", 2)
    rng, inside, grid = np.random.default_rng(11), [], np.linspace(0.1, 0.9, 9)[:, None]
    truth = expit(0.3 + 0.8 * logit(grid[:, 0])).sum()
    for _ in range(250):
        eps = np.repeat(rng.uniform(0.05, 0.95, (300, 1)), 2, axis=0)
        true = expit(0.3 + 0.8 * logit(eps[:, 0]))
        passed = (np.repeat(rng.random(300), 2) < true).astype(int)
        found = fit_recalibration(entries_of(eps, passed), "net", FLAT)
        drawn = found(np.repeat(grid[..., None], 100, axis=2), None, drawn=True)
        error = drawn.sum(axis=(0, 1)).std(ddof=1)
        inside.append(abs(found(grid, None).sum() - truth) < error)
    assert np.mean(inside) == pytest.approx(0.683, abs=4 * (0.683 * 0.317 / 250) ** 0.5)


def test_categories_share_the_error_of_their_events():
    """Two objects of each event that are alike but for their category: offsets err together."""
    rng = np.random.default_rng(12)
    eps = np.repeat(rng.uniform(0.1, 0.9, (1000, 1)), 2, axis=0)
    passed = np.repeat((rng.random(1000) < 0.5).astype(int), 2)
    category = np.tile([0, 1], 1000)
    found = fit_recalibration(entries_of(eps, passed, category), "net", TASK)
    covariance = np.array(found.factor) @ np.array(found.factor).T
    errors = [e for c in found.categories for e in (*c.offset_error, c.slope_error)]
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), errors, rtol=1e-6)
    assert covariance[0, 2] == pytest.approx(covariance[0, 0], rel=1e-6)
    drawn = found.draws(9)
    np.testing.assert_allclose(drawn[0], drawn[1], rtol=1e-6)
    np.testing.assert_array_equal(found.draws(4), drawn[..., :4])


def test_draws_leave_the_map_and_other_categories_alone():
    eps = np.random.default_rng(1).uniform(0.1, 0.9, (40, 1))
    replicas, category = np.repeat(eps[:, :, None], 3, axis=2), np.repeat([5.0, 0.0], 20)
    each = map_of(0.5, (0.4,), category=5)
    known = Recalibration(
        feature="hadronFlavour",
        categories=(each,),
        n_events=1,
        gain=0.0,
        gain_error=0.0,
        factor=((0.1, 0.0), (0.0, 0.2)),
    )
    plain = recalibration_of(each, feature="hadronFlavour")
    np.testing.assert_array_equal(known(eps, category), plain(eps, category))
    drawn = known(replicas, category, drawn=True)
    np.testing.assert_array_equal(drawn[20:], replicas[20:])
    for k, (offset, slope) in enumerate(known.draws(3)[0].T):
        expected = expit(offset + slope * logit(eps[:20, 0]))
        np.testing.assert_allclose(drawn[:20, 0, k], expected, rtol=1e-9)
    assert np.ptp(known.draws(3), axis=2).min() > 0.0
    np.testing.assert_allclose(
        plain(replicas, category, drawn=True), plain(replicas, category), rtol=1e-12
    )


@pytest.mark.parametrize("factor", [((1.0,),), ((1.0,), (1.0, 2.0)), ((np.inf,), (1.0,))])
def test_factors_of_other_shapes_are_refused(factor):
    with pytest.raises(ConfigError):
        Recalibration(
            feature=None,
            categories=(map_of(),),
            n_events=1,
            gain=0.0,
            gain_error=0.0,
            factor=factor,
        )


def test_replicas_follow_and_other_categories_stay():
    eps = np.random.default_rng(1).uniform(0.1, 0.9, (40, 1))
    replicas, category = np.repeat(eps[:, :, None], 3, axis=2), np.repeat([5.0, 0.0], 20)
    found = recalibration_of(map_of(0.5, (0.4,), category=5), feature="hadronFlavour")
    np.testing.assert_allclose(found(replicas, category)[..., 1], found(eps, category))
    np.testing.assert_array_equal(found(eps, category)[20:], eps[20:])
    assert not np.allclose(found(eps, category)[:20], eps[:20])


@pytest.mark.parametrize(
    ("maps", "feature"),
    [
        ([map_of(), map_of()], None),
        ([map_of(category=5), map_of(category=5)], "pt"),
        ([map_of(category=5), map_of(offset=(0.0, 1.0), category=4)], "pt"),
        ([map_of(category=5)], None),
        ([map_of()], "pt"),
        ([], None),
    ],
)
def test_maps_that_make_no_sense_are_refused(maps, feature):
    with pytest.raises(ConfigError):
        recalibration_of(*maps, feature=feature)


@pytest.mark.parametrize("slope", [0.0, -1.0, np.nan, np.inf])
def test_slopes_that_turn_around_are_refused(slope):
    with pytest.raises(ConfigError):
        map_of(slope)


def test_an_efficiency_that_is_upside_down_is_refused():
    rng = np.random.default_rng(1)
    eps = rng.uniform(0.1, 0.9, (4000, 1))
    passed = (rng.random(4000) > eps[:, 0]).astype(int)
    with pytest.raises(InputError, match="where the efficiency is larger, fewer objects pass"):
        fit_recalibration(entries_of(eps, passed), "net", FLAT)


def test_too_few_entries_are_refused():
    with pytest.raises(InputError, match="the files hold too few"):
        fit_recalibration(entries_of(np.full((40, 1), 0.5), np.arange(40) % 2), "net", FLAT)


@pytest.mark.parametrize("unit", [1.0, 1e-4, 0.1, 0.7, 1e5])
def test_a_sample_at_the_limit_is_fitted_in_any_unit(unit):
    eps = np.tile([[0.4], [0.6]], (25, 1))
    passed = np.repeat([0, 1], 25)
    found = fit_recalibration(entries_of(eps, passed, weights=np.full(50, unit)), "net", FLAT)
    one = fit_recalibration(entries_of(eps, passed), "net", FLAT)
    fitted, expected = found.categories[0], one.categories[0]
    assert fitted.slope == pytest.approx(expected.slope, abs=1e-5)
    assert fitted.slope_error == pytest.approx(expected.slope_error, rel=1e-4)


@pytest.fixture(scope="module")
def other_file(tmp_path_factory):
    """Events that nothing was trained on."""
    return write_jets(tmp_path_factory.mktemp("other") / "other.root", 1500, seed=77)


@pytest.fixture(scope="module")
def saved(toy_map, toy_file, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "map.hepsilon"
    toy_map.noted(files=SourceFile.of_all(toy_file)).save(path)
    return path


def test_a_map_is_recalibrated_and_its_card_says_so(saved, other_file, toy_jets, tmp_path):
    out = tmp_path / "new.hepsilon"
    found = recalibrate(saved, other_file, out)
    before, after = hepsilon.load(saved), hepsilon.load(out)
    each = {c.category: c for c in found.card.recalibration.categories}
    eps, new = (ak.to_numpy(ak.flatten(e(toy_jets))) for e in (before, after))
    flavour = ak.to_numpy(ak.flatten(toy_jets.hadronFlavour))
    for category, mapped in each.items():
        own = flavour == category
        expected = expit(mapped.offset[0] + mapped.slope * logit(eps[own]))
        np.testing.assert_allclose(new[own], expected, rtol=1e-9)
    drawn, drawn_new = (ak.to_numpy(ak.flatten(e.replicas(toy_jets))) for e in (before, after))
    own = flavour == 5
    place = [c.category for c in found.card.recalibration.categories].index(5)
    offset, slope = found.card.recalibration.draws(drawn.shape[1])[place]
    wanted = expit(offset + slope * logit(drawn[own]))
    np.testing.assert_allclose(drawn_new[own], wanted, rtol=1e-9)
    mean = after.to_hist("pt", records=toy_jets, bins=1)
    assert mean[sum].value == pytest.approx(new.mean(), rel=1e-6)
    assert trained_on({"new": after}, [other_file]) == {"new": ["other.root"]}
    assert before.card.recalibration is None


@pytest.mark.slow
def test_networks_are_recalibrated_and_pickle(gnn, other_file, toy_jets, tmp_path):
    import pickle

    found = recalibrate(gnn.path, other_file, tmp_path / "new.hepsilon")
    new = found(toy_jets, out_of_domain="ignore")
    assert not np.allclose(ak.flatten(new), ak.flatten(gnn(toy_jets, out_of_domain="ignore")))
    again = pickle.loads(pickle.dumps(found))(toy_jets, out_of_domain="ignore")
    np.testing.assert_array_equal(ak.to_numpy(ak.flatten(again)), ak.to_numpy(ak.flatten(new)))
    with pytest.raises(ConfigError, match="is recalibrated, and has no gradients"):
        found.value_and_gradient(toy_jets)


def test_files_of_the_training_and_second_times_are_refused(saved, toy_file, other_file, tmp_path):
    out = tmp_path / "new.hepsilon"
    with pytest.raises(InputError, match=r"was trained on toy\.root"):
        recalibrate(saved, toy_file, out)
    recalibrate(saved, other_file, out)
    with pytest.raises(ConfigError, match="is recalibrated already"):
        recalibrate(out, other_file, tmp_path / "newer.hepsilon")
    with pytest.raises(ConfigError):
        recalibrate(saved, other_file, other_file)


def test_exports_for_others_are_refused(saved, other_file, tmp_path):
    recalibrate(saved, other_file, tmp_path / "new.hepsilon")
    with pytest.raises(ConfigError, match="holds the efficiency without that"):
        export(tmp_path / "new.hepsilon", "correctionlib", tmp_path / "new.json")


def test_a_card_with_another_feature_is_refused(toy_map, tmp_path):
    found = recalibration_of(map_of(category=5), feature="charge")
    path = toy_map.noted(recalibration=found).save(tmp_path / "wrong.hepsilon")
    with pytest.raises(ArtifactError, match="expected one of the features"):
        hepsilon.load(path)


def test_command(run, saved, other_file, tmp_path):
    out = tmp_path / "new.hepsilon"
    code, shown, errors = run("recalibrate", saved, other_file, "--out", out)
    assert code == 0, errors
    assert "hadronFlavour 5" in shown
    code, shown, _ = run("info", out)
    assert "recalibration" in shown
    assert "slope" in shown
    third = write_jets(tmp_path / "third.root", 1500, seed=78)
    efficiencies = {"new": hepsilon.load(out), "old": hepsilon.load(saved)}
    output = run_closure([third], TASK, efficiencies)
    entries = closure_report(output, TASK, efficiencies, [third]).efficiency
    new, old = (entries[n].calibration.errors[EFFICIENCY] for n in ("new", "old"))
    assert new.value < old.value


def test_an_efficiency_that_says_nothing_is_only_shifted():
    """Where the slope is zero within its error the offset is fitted alone."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        eps = rng.uniform(0.45, 0.55, (2000, 1))
        passed = (rng.random(2000) < 0.7).astype(int)
        (each,) = fit_recalibration(entries_of(eps, passed), "net", FLAT).categories
        assert each.slope > 0.0
        if each.slope_error == 0.0:
            break
    assert (each.slope, each.slope_error) == (1.0, 0.0)
    mapped = recalibration_of(each)(eps, None)
    assert mapped.mean() == pytest.approx(passed.mean(), abs=1e-3)
