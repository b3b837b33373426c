"""Every statistical test here has a false-alarm rate of 1e-6, and a fixed seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from hepsilon.arrays import kernels
from hepsilon.simulation import (
    FLAVOURS,
    JetColumns,
    alternative_jets,
    environment_factor,
    jet_efficiency,
    training_jets,
    true_efficiency,
)

Array = npt.NDArray[Any]
Generator = Callable[[np.random.Generator, int], JetColumns]

FALSE_ALARM = 1e-6
GENERATORS = pytest.mark.parametrize("generate", [training_jets, alternative_jets])
SAMPLES = pytest.mark.parametrize("sample", ["training", "alternative"])


@pytest.fixture(scope="module")
def training() -> JetColumns:
    return training_jets(np.random.default_rng(11), 8000)


@pytest.fixture(scope="module")
def alternative() -> JetColumns:
    return alternative_jets(np.random.default_rng(12), 5000)


@pytest.fixture
def jets(request: pytest.FixtureRequest, sample: str) -> JetColumns:
    return request.getfixturevalue(sample)


def leading(jets: JetColumns) -> Array:
    return jets.offsets[:-1]


def kolmogorov(values: Array, cdf: Callable[[Array], Array]) -> float:
    return float(stats.kstest(values, cdf).pvalue)


def truncated_gaussian(mean: float, width: float, low: float, high: float) -> Any:
    return stats.truncnorm((low - mean) / width, (high - mean) / width, mean, width)


def delta_r_to_leading(jets: JetColumns) -> Array:
    """delta R of all but the leading jets to the leading one of their event."""
    first = np.repeat(leading(jets), jets.counts)
    others = np.arange(jets.pt.size) != first
    d_phi = kernels.delta_phi(jets.phi, jets.phi[first])
    return np.hypot(jets.eta - jets.eta[first], d_phi)[others]


def root_spectrum(delta_r: Array) -> Array:
    """Cumulative distribution of a density like the square root of delta R on [0, pi]."""
    result: Array = np.clip(delta_r / np.pi, 0.0, 1.0) ** 1.5
    return result


# both samples


@SAMPLES
def test_jets_are_inside_the_acceptance(jets: JetColumns) -> None:
    assert ((jets.pt >= 20.0) & (jets.pt <= 600.0)).all()
    assert (np.abs(jets.eta) <= 2.4).all()
    assert ((jets.phi >= -np.pi) & (jets.phi < np.pi)).all()
    assert (jets.mass == 2.0).all()


@SAMPLES
def test_jets_are_ordered_in_pt(jets: JetColumns) -> None:
    within_event = np.setdiff1d(np.arange(1, jets.pt.size), jets.offsets)
    assert (jets.pt[within_event] <= jets.pt[within_event - 1]).all()


@SAMPLES
def test_columns_have_one_entry_per_jet(jets: JetColumns) -> None:
    columns = (jets.pt, jets.eta, jets.phi, jets.mass, jets.flavour)
    assert {len(column) for column in columns} == {int(jets.counts.sum())}
    assert jets.offsets[-1] == jets.counts.sum()
    assert jets.offsets.dtype == np.int64


@SAMPLES
def test_flavours_of_leading_jets_are_equally_frequent(jets: JetColumns) -> None:
    flavours, counts = np.unique(jets.flavour[leading(jets)], return_counts=True)
    assert flavours.tolist() == [0, 4, 5]
    assert stats.chisquare(counts).pvalue > FALSE_ALARM


@GENERATORS
def test_the_same_seed_gives_the_same_jets(generate: Generator) -> None:
    first, second = (generate(np.random.default_rng(3), 50) for _ in range(2))
    for field in dataclasses.fields(JetColumns):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))


@GENERATORS
def test_another_seed_gives_other_jets(generate: Generator) -> None:
    first, second = (generate(np.random.default_rng(seed), 50) for seed in (3, 4))
    assert not np.isin(first.pt, second.pt).any()


@GENERATORS
@pytest.mark.parametrize("n_events", [1, 2, 1001])
def test_the_number_of_events_is_exact(generate: Generator, n_events: int) -> None:
    assert len(generate(np.random.default_rng(3), n_events).counts) == n_events


# training sample


def test_multiplicity_falls_by_the_same_factor(training: JetColumns) -> None:
    expected = np.exp(-np.arange(2, 7) / 4.0)
    expected *= len(training.counts) / expected.sum()
    counts = np.bincount(training.counts, minlength=7)
    assert counts[:2].sum() == 0
    assert stats.chisquare(counts[2:], expected).pvalue > FALSE_ALARM


def test_the_largest_multiplicity_can_be_chosen() -> None:
    jets = training_jets(np.random.default_rng(3), 200, max_jets=3)
    assert set(jets.counts.tolist()) == {2, 3}


def test_pt_follows_a_truncated_gaussian(training: JetColumns) -> None:
    expected = truncated_gaussian(20.0, 200.0, 20.0, 600.0)
    assert kolmogorov(training.pt, expected.cdf) > FALSE_ALARM


def test_eta_of_the_leading_jet_follows_a_truncated_gaussian(training: JetColumns) -> None:
    expected = truncated_gaussian(0.0, 0.5, -2.4, 2.4)
    assert kolmogorov(training.eta[leading(training)], expected.cdf) > FALSE_ALARM


def test_phi_of_the_leading_jet_is_uniform(training: JetColumns) -> None:
    expected = stats.uniform(-np.pi, 2.0 * np.pi)
    assert kolmogorov(training.phi[leading(training)], expected.cdf) > FALSE_ALARM


def test_delta_r_to_the_leading_jet_has_a_density_like_its_square_root(
    training: JetColumns,
) -> None:
    distance = delta_r_to_leading(training)
    assert distance.max() <= np.pi * (1.0 + 1e-12)
    assert kolmogorov(distance, root_spectrum) > FALSE_ALARM


def test_the_direction_from_the_leading_jet_is_uniform(training: JetColumns) -> None:
    # Where the whole circle lies inside the acceptance; elsewhere a part of it is forbidden.
    first = np.repeat(leading(training), training.counts)
    d_eta = training.eta - training.eta[first]
    d_phi = kernels.delta_phi(training.phi, training.phi[first])
    distance = np.hypot(d_eta, d_phi)
    whole = (distance > 0.0) & (distance + np.abs(training.eta[first]) < 2.4)
    expected = stats.uniform(-np.pi, 2.0 * np.pi)
    assert kolmogorov(np.arctan2(d_phi, d_eta)[whole], expected.cdf) > FALSE_ALARM


def test_flavours_of_the_jets_of_an_event_are_independent(training: JetColumns) -> None:
    first = training.flavour[leading(training)]
    second = training.flavour[leading(training) + 1]
    table = [[np.sum((first == a) & (second == b)) for a in FLAVOURS] for b in FLAVOURS]
    assert stats.chi2_contingency(table).pvalue > FALSE_ALARM


# alternative sample


def test_the_alternative_sample_has_exactly_two_jets_of_one_flavour(
    alternative: JetColumns,
) -> None:
    assert set(alternative.counts.tolist()) == {2}
    first, second = alternative.flavour.reshape(-1, 2).T
    np.testing.assert_array_equal(first, second)


def pair_masses(jets: JetColumns) -> Array:
    return kernels.pair_masses(jets.offsets, jets.pt, jets.eta, jets.phi, jets.mass)


def test_the_mass_of_the_pair_peaks_at_90(alternative: JetColumns) -> None:
    # The acceptance prefers heavier scalars by 0.4 GeV. Of 5000 masses of width 10 GeV the median
    # is known to 0.18 GeV and the width to 0.1 GeV: five standard deviations each.
    masses = pair_masses(alternative)
    assert np.median(masses) == pytest.approx(90.4, abs=0.9)
    assert np.std(masses) == pytest.approx(10.0, abs=0.5)


def test_mass_and_width_of_the_scalar_can_be_chosen() -> None:
    rng = np.random.default_rng(13)
    masses = pair_masses(alternative_jets(rng, 500, mass=125.0, width=0.01))
    np.testing.assert_allclose(masses, 125.0, atol=0.06)


def test_the_pair_comes_closer_with_the_boost(alternative: JetColumns) -> None:
    boosted = alternative_jets(np.random.default_rng(14), 5000, pt_scale=400.0)
    assert np.median(delta_r_to_leading(boosted)) < np.median(delta_r_to_leading(alternative))


def test_the_alternative_sample_has_another_delta_r_spectrum(alternative: JetColumns) -> None:
    assert kolmogorov(delta_r_to_leading(alternative), root_spectrum) < FALSE_ALARM


# true efficiency


@SAMPLES
def test_the_true_efficiency_is_equation_2(jets: JetColumns) -> None:
    efficiency = true_efficiency(jets)
    expected = jet_efficiency(jets.pt, jets.eta, jets.flavour)[:40]
    for event in range(len(jets.counts)):
        objects = range(jets.offsets[event], jets.offsets[event + 1])
        if objects.stop > len(expected):
            break
        for i in objects:
            others = np.array([j for j in objects if j != i])
            d_phi = np.angle(np.exp(1j * (jets.phi[i] - jets.phi[others])))
            distance = np.hypot(jets.eta[i] - jets.eta[others], d_phi)
            expected[i] *= environment_factor(distance, jets.flavour[others]).prod()
    complete = jets.offsets[jets.offsets <= 40].max()
    np.testing.assert_allclose(efficiency[:complete], expected[:complete], rtol=1e-12)


@SAMPLES
def test_the_true_efficiency_lies_inside_the_unit_interval(jets: JetColumns) -> None:
    efficiency = true_efficiency(jets)
    assert ((efficiency > 0.0) & (efficiency < 1.0)).all()
