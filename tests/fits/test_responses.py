from __future__ import annotations

from typing import Any

import hist
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepsilon import InputError
from hepsilon.fits import ResponseMatrix, response_matrix

Array = npt.NDArray[Any]
EDGES = np.linspace(0.0, 5.0, 6)


def efficiency(x: Array) -> Array:
    return 0.2 + 0.12 * x


def sample(n: int, seed: int, slope: float = 0.5) -> tuple[Array, Array, Array]:
    """True and measured values, and whether each event was seen: by its true value."""
    rng = np.random.default_rng(seed)
    true = rng.exponential(1.0 / slope, n)
    return true, true + 0.3 * rng.normal(size=n), rng.uniform(size=n) < efficiency(true)


def filled(n: int, seed: int, slope: float = 0.5) -> tuple[Any, Any, Any]:
    """Matrix, generated and corrected sums of one sample."""
    true, reco, seen = sample(n, seed, slope)
    axes = hist.axis.Variable(EDGES, name="truth"), hist.axis.Variable(EDGES, name="reco")
    matrix, generated, corrected = (
        hist.Hist(*each, storage=hist.storage.Weight()) for each in (axes, axes[:1], axes[1:])
    )
    weight = 1.0 / np.clip(efficiency(np.clip(reco, 0, None)), 0.01, 1.0)[seen]
    matrix.fill(true[seen], reco[seen], weight=weight)
    generated.fill(true)
    corrected.fill(reco[seen], weight=weight)
    return matrix, generated, corrected


def test_the_sample_itself_is_folded_exactly() -> None:
    matrix, generated, corrected = filled(20_000, 1)
    found = response_matrix(matrix, generated)
    folded = found.fold(generated.values())
    np.testing.assert_allclose(folded, corrected.values(), rtol=1e-10)
    assert 0.9 < found.efficiencies[2] < 1.1  # 1/E has corrected for the efficiency
    assert np.all(found.purities[1:-1] > 0.5)


def test_another_sample_is_unfolded() -> None:
    """chi2 of five bins with its full covariance; false alarms 1e-4 by the fixed seed."""
    from scipy.stats import chi2

    found = response_matrix(*filled(400_000, 1)[:2])
    _, generated, corrected = filled(20_000, 2, slope=0.8)  # another spectrum
    unfolded = found.unfold(corrected.values(), np.diag(corrected.variances()))
    difference = unfolded.values - generated.values()
    statistic = difference @ np.linalg.solve(unfolded.covariance, difference)
    assert chi2.sf(statistic, len(difference)) > 1e-4
    assert 1.0 < unfolded.condition < 100.0
    plain = corrected.values() - generated.values()  # not unfolded it is off
    assert np.sum(plain**2 / corrected.variances()) > 2.0 * statistic


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_unfolding_undoes_folding(seed: int) -> None:
    rng = np.random.default_rng(seed)
    response = 0.7 * np.eye(5) + 0.3 * rng.dirichlet(np.ones(5), 5).T
    edges = EDGES, EDGES
    found = ResponseMatrix(response, 0.01 * response, np.ones(5), np.full(5, 0.9), edges)
    truth = rng.uniform(10, 1000, 5)
    solved = found.unfold(found.fold(truth), np.diag(rng.uniform(1, 100, 5)))
    np.testing.assert_allclose(solved.values, truth, rtol=1e-8)


def test_a_common_error_stays_common() -> None:
    found = response_matrix(*filled(200_000, 1)[:2])
    data = found.fold(found.generated)
    common = 0.05 * data
    solved = found.unfold(data, np.outer(common, common) + np.diag(1e-4 * data))
    relative = np.sqrt(np.diag(solved.covariance)) / found.generated
    np.testing.assert_allclose(relative, 0.05, rtol=0.01)


def test_hand_over_to_pyunfold() -> None:
    pyunfold = pytest.importorskip("pyunfold", reason="PyUnfold is not installed")
    found = response_matrix(*filled(400_000, 1)[:2])
    _, generated, corrected = filled(50_000, 2)
    arguments = found.pyunfold(corrected.values(), np.sqrt(corrected.variances()))
    solved = pyunfold.iterative_unfold(**arguments)
    np.testing.assert_allclose(solved["unfolded"], generated.values(), rtol=0.1)


def test_arguments_of_pyunfold() -> None:
    found = response_matrix(*filled(20_000, 1)[:2])
    data = found.fold(found.generated)
    arguments = found.pyunfold(data, np.sqrt(data))
    np.testing.assert_allclose(arguments["response"].sum(axis=0), arguments["efficiencies"])
    np.testing.assert_allclose(arguments["response"] @ found.generated, arguments["data"])
    assert arguments["efficiencies"].max() <= 1.0 + 1e-12


def test_other_axes_are_refused() -> None:
    matrix, generated, corrected = filled(1000, 1)
    with pytest.raises(InputError, match="two axes"):
        response_matrix(corrected, generated)
    with pytest.raises(InputError, match="bins of the generated"):
        response_matrix(matrix, generated[:3])
    with pytest.raises(InputError, match="weighted storage"):
        response_matrix(hist.Hist(*matrix.axes).fill([1.0], [1.0], weight=[2.0]), generated)


def test_bins_without_generated_events_are_refused() -> None:
    matrix, generated, _ = filled(1000, 1)
    generated.view()[3] = (0.0, 0.0)
    with pytest.raises(InputError, match=r"no generated events in the bins \[3\]"):
        response_matrix(matrix, generated)


def test_what_cannot_be_solved_is_refused() -> None:
    matrix, generated, corrected = filled(5000, 1)
    found = response_matrix(matrix, generated)
    values, variances = corrected.values(), corrected.variances()
    with pytest.raises(InputError, match="data: expected 5 finite numbers"):
        found.unfold(values[:3], np.diag(variances))
    with pytest.raises(InputError, match="expected 5 x 5 bins"):
        found.unfold(values, np.eye(3))
    with pytest.raises(InputError, match="expected a positive one"):
        found.unfold(values, np.ones((5, 5)))
    with pytest.raises(InputError, match="errors: expected 5"):
        found.pyunfold(values, np.full(5, np.nan))
    same = ResponseMatrix(
        np.full((5, 5), 0.2), np.zeros((5, 5)), np.ones(5), np.ones(5), found.edges
    )
    with pytest.raises(InputError, match="cannot be told apart"):
        same.unfold(values, np.diag(variances))
