"""Response matrices beside efficiency inversion, and their hand-over to an unfolding.

Weights 1/E correct for what was lost, not for momenta that were measured wrongly. Filled with the
weights of the data, w / E of the reconstructed momenta, the matrix says what a generated
event in one bin adds to the corrected sums of all bins:

R[i, j] is the sum of w / E of selected events with reconstructed bin i and true bin j, over the sum
of w of the generated events in bin j.

Its columns sum up to about one: what the efficiency of the bin was is already in the weights. On
the sample that it was filled from, R times the generated sums gives the corrected ones
exactly, whatever E is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import hist
import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.errors import InputError
from hepsilon.uncertainty.bins import check_covariance

__all__ = ["ResponseMatrix", "Unfolded", "response_matrix"]

WORST = 1e8
"""Condition number from which nothing is solved: the answer would be round-off."""


@dataclass(frozen=True)
class Unfolded:
    """Unfolded sums.

    Attributes
    ----------
    values : ndarray of float64, shape (n_truth,)
        Sums in the bins of the truth.
    covariance : ndarray of float64, shape (n_truth, n_truth)
        Their covariance, that of the data put through.
    condition : float
        Condition number of the matrix in units of the errors: how much it blows up fluctuations.
    """

    values: Array
    covariance: Array
    condition: float


@dataclass(frozen=True)
class ResponseMatrix:
    """Probability by bins of the truth, and what it was made from.

    Attributes
    ----------
    response : ndarray of float64, shape (n_reco, n_truth)
        Corrected sum in a reconstructed bin for one generated event in a bin of the truth.
    errors : ndarray of float64, shape (n_reco, n_truth)
        Statistical errors of the response.
    generated : ndarray of float64, shape (n_truth,)
        Generated sums of the simulation.
    inside : ndarray of float64, shape (n_reco,)
        Share of each reconstructed bin whose truth is in the bins; what is not is to be taken from
        the data.
    edges : tuple of ndarray of float64
        Edges of the reconstructed bins, and of those of the truth.
    """

    response: Array
    errors: Array
    generated: Array
    inside: Array
    edges: tuple[Array, Array]

    @property
    def efficiencies(self) -> Array:
        """Sum of each column: what is reconstructed in any bin; one where E corrects all."""
        return np.asarray(self.response.sum(axis=0))

    @property
    def purities(self) -> Array:
        """Share of each bin of the truth that stays in the bin of the same number."""
        diagonal = np.diagonal(self.response)
        sums = self.efficiencies[: len(diagonal)]
        unknown = np.full(len(diagonal), np.nan)
        return np.asarray(np.divide(diagonal, sums, out=unknown, where=sums != 0.0))

    def fold(self, truth: Array) -> Array:
        """Corrected sums in reconstructed bins for sums in bins of the truth.

        Parameters
        ----------
        truth : ndarray of float64, shape (n_truth,)
            Generated sums.

        Returns
        -------
        ndarray of float64, shape (n_reco,)
            Sums with those from outside the bins of the truth.

        Raises
        ------
        InputError
            For another number of bins, or no finite numbers.
        """
        _check_bins(truth, len(self.generated), "truth")
        shares = np.where(self.inside > 0.0, self.inside, 1.0)
        return np.asarray(self.response @ truth / shares)

    def unfold(self, data: Array, covariance: Array) -> Unfolded:
        """Solve by least squares with the covariance of the data, without regularisation.

        Parameters
        ----------
        data : ndarray of float64, shape (n_reco,)
            Corrected sums in reconstructed bins.
        covariance : ndarray of float64, shape (n_reco, n_reco)
            Their covariance: statistical, and by the efficiency's own error.

        Returns
        -------
        Unfolded
            Sums in the bins of the truth.

        Raises
        ------
        InputError
            For other numbers of bins, a covariance that is none or not positive, or a response that
            cannot be solved.
        """
        n_reco, n_truth = self.response.shape
        _check_bins(data, n_reco, "data")
        matrix = check_covariance(covariance)
        if matrix.shape != (n_reco, n_reco):
            raise InputError(
                f"covariance: expected {n_reco} x {n_reco} bins, received {matrix.shape}"
            )
        try:
            root = np.linalg.cholesky(matrix * np.outer(self.inside, self.inside))
        except np.linalg.LinAlgError:
            raise InputError(
                "covariance: expected a positive one; bins without an error, or fewer replicas "
                "than bins and no statistical error, leave directions that nothing is known about"
            ) from None
        whitened = np.linalg.solve(root, self.response)
        condition = float(np.linalg.cond(whitened)) if n_reco >= n_truth else np.inf
        if not condition < WORST:
            raise InputError(
                f"{n_truth} bins of the truth cannot be told apart by {n_reco} reconstructed ones "
                f"(condition number {condition:.3g}); take fewer, or fill each of them"
            )
        inverse = np.linalg.pinv(whitened)
        values = inverse @ np.linalg.solve(root, data * self.inside)
        return Unfolded(values, inverse @ inverse.T, condition)

    def pyunfold(self, data: Array, errors: Array) -> dict[str, Array]:
        """Arguments of ``pyunfold.iterative_unfold``.

        Where a column sums up to more than one, as it may if E is too small there, data and
        response are divided by the largest such sum: the unfolded numbers are the same, and errors
        of an efficiency above one do not occur.

        Parameters
        ----------
        data : ndarray of float64, shape (n_reco,)
            Corrected sums in reconstructed bins.
        errors : ndarray of float64, shape (n_reco,)
            Their errors.

        Returns
        -------
        dict of str to ndarray
            ``data``, ``data_err``, ``response``, ``response_err``, ``efficiencies`` and
            ``efficiencies_err``.

        Raises
        ------
        InputError
            For other numbers of bins, or no finite numbers.
        """
        for name, column in (("data", data), ("errors", errors)):
            _check_bins(column, len(self.response), name)
        scale = max(1.0, float(self.efficiencies.max()))
        return {
            "data": data * self.inside / scale,
            "data_err": errors * self.inside / scale,
            "response": self.response / scale,
            "response_err": self.errors / scale,
            "efficiencies": self.efficiencies / scale,
            "efficiencies_err": np.sqrt(np.sum(self.errors**2, axis=0)) / scale,
        }


def _check_bins(values: Array, size: int, name: str) -> None:
    if np.shape(values) != (size,) or not np.isfinite(values).all():
        raise InputError(f"{name}: expected {size} finite numbers, received {values!r}")


def response_matrix(matrix: hist.Hist[Any], generated: hist.Hist[Any]) -> ResponseMatrix:
    """Response matrix of selected simulated events.

    Parameters
    ----------
    matrix : hist.Hist
        Sums of w / E of selected events, E of the reconstructed momenta, with an axis of the truth
        and one of the reconstructed observable, in this order; of Weight storage.
    generated : hist.Hist
        Sums of w of all generated events, in the bins of the truth.

    Returns
    -------
    ResponseMatrix
        The response.

    Raises
    ------
    InputError
        For other axes, contents that are not finite, or bins without generated events.

    Examples
    --------
    >>> import hist
    >>> from hepsilon.fits import response_matrix
    >>> axis = hist.axis.Regular(2, 0, 2, name="truth")
    >>> generated = hist.Hist(axis, storage=hist.storage.Weight()).fill([0.5, 0.5, 1.5, 1.5])
    >>> reconstructed = hist.axis.Regular(2, 0, 2, name="reco")
    >>> matrix = hist.Hist(axis, reconstructed, storage=hist.storage.Weight())
    >>> found = response_matrix(matrix.fill([0.5, 1.5], [0.5, 0.5], weight=2.0), generated)
    >>> found.response
    array([[1., 1.],
           [0., 0.]])
    """
    if len(matrix.axes) != 2 or len(generated.axes) != 1:
        raise InputError(
            f"expected a matrix of two axes and generated events of one, received "
            f"{len(matrix.axes)} and {len(generated.axes)}"
        )
    truth, reco = matrix.axes
    edges = np.asarray(generated.axes[0].edges)
    if not np.array_equal(np.asarray(truth.edges), edges):
        raise InputError(
            "expected the bins of the generated events on the first axis of the matrix, received "
            f"{np.asarray(truth.edges)} and {edges}"
        )
    values, variances = matrix.values().T, matrix.variances()
    total = np.asarray(generated.values(), np.float64)
    if variances is None:
        raise InputError("matrix: expected weighted storage (hist.storage.Weight)")
    if not np.isfinite(values).all() or not np.isfinite(total).all():
        raise InputError("expected finite sums, received NaN or infinite ones")
    empty = np.flatnonzero(total <= 0.0)
    if len(empty):
        raise InputError(
            f"no generated events in the bins {empty.tolist()} of the truth, whose response is not "
            "known; join bins"
        )
    first = int(reco.traits.underflow)
    every = matrix.values(flow=True).sum(axis=0)[first : first + reco.size]
    inside = np.divide(values.sum(axis=1), every, out=np.ones(len(every)), where=every != 0.0)
    errors = np.sqrt(np.asarray(variances).T) / total
    return ResponseMatrix(values / total, errors, total, inside, (np.asarray(reco.edges), edges))
