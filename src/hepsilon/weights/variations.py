"""Few named variations of an efficiency in place of its many replicas.

K replicas span K directions. An orthogonal change of them leaves the covariance as it is, and is
chosen so that the first few move what an analysis sums up as much as possible: the expected numbers
of objects in groups of a reference sample (by category, and by how likely objects are to pass). How
many are kept follows from the share of the variance of these numbers that they hold; what all
others do to an object is joined in one more variation, which moves all objects the same way.

Of efficiencies of events an analysis sums up the weights 1/E: the first directions are those that
move these sums the most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import awkward as ak
import numpy as np

from hepsilon.arrays.checks import probabilities
from hepsilon.arrays.columns import flat, flat_rows, offsets_of, unflatten
from hepsilon.arrays.odds import from_log_odds, log_odds
from hepsilon.arrays.types import Array
from hepsilon.errors import InputError
from hepsilon.weights.inversion import FLOOR

__all__ = ["EfficiencyVariations", "mirrored_efficiencies"]

GROUPS = 10
"""Groups of objects of a category that are equally likely to pass, by equal numbers."""
REST = "rest"
SMALLEST = 1e-12
"""Sum of a group below which its changes are not relative to it."""


def mirrored_efficiencies(eps: ak.Array, other: ak.Array) -> tuple[ak.Array, ak.Array]:
    """Another efficiency as the variation up, and its mirror image in the odds as that down.

    Parameters
    ----------
    eps : ak.Array of float64, shape (n_events, objects[, working points]) or (n_events,)
        Efficiency of every object, jagged, or of every event.
    other : ak.Array of float64, shape of eps
        That of an efficiency from another generator or shower, of the same objects or events.

    Returns
    -------
    up : ak.Array of float64, shape of eps
        The other one.
    down : ak.Array of float64, shape of eps
        Efficiency whose odds (of the bins between working points) are as far on the other side.

    Raises
    ------
    InputError
        For values outside [0, 1], or other objects, events or working points.

    Examples
    --------
    >>> import awkward as ak
    >>> from hepsilon.weights import mirrored_efficiencies
    >>> up, down = mirrored_efficiencies(ak.Array([[0.5, 0.2]]), ak.Array([[0.6, 0.2]]))
    >>> down.to_numpy().round(6).tolist()
    [[0.4, 0.2]]
    """
    if eps.ndim == 1 and other.ndim == 1:  # of events
        pair = mirrored_efficiencies(eps[:, None], other[:, None])
        return ak.flatten(pair[0]), ak.flatten(pair[1])
    (offsets, rows), (others, moved) = (
        flat_rows(x, name=n) for x, n in ((eps, "eps"), (other, "other"))
    )
    if not np.array_equal(offsets, others) or rows.shape != moved.shape:
        raise InputError(
            f"other: expected one efficiency for each of {eps.type}, received {other.type}"
        )
    odds = log_odds(probabilities(rows, "eps"))
    down = from_log_odds(2.0 * odds - log_odds(probabilities(moved, "other")))
    down = np.where(rows == moved, rows, down)  # zero and one have no odds
    return other, unflatten(down if eps.ndim == 3 else down[:, 0], offsets)


def _columns(eps: ak.Array, replicas: ak.Array) -> tuple[Array, Array, Array]:
    """Offsets, efficiencies (n, points) and replicas (n, points, K) of all objects."""
    eps, replicas = _jagged(eps, replicas)
    offsets, rows = flat_rows(eps, name="eps")
    probabilities(rows, "eps")
    if not np.array_equal(offsets_of(replicas), offsets):
        raise InputError("replicas: expected those of the objects of eps, received others")
    flattened = np.asarray(ak.to_numpy(ak.flatten(replicas, axis=1)), np.float64)
    points = rows.shape[1]
    expected = (len(rows), points) if points > 1 else (len(rows),)
    if flattened.shape[:-1] not in {expected, (len(rows), points)} or flattened.shape[-1] < 2:
        raise InputError(
            "replicas: expected two or more for each object and working point of eps, received "
            f"{replicas.type}"
        )
    flattened = flattened.reshape(len(rows), points, flattened.shape[-1])
    probabilities(flattened.reshape(len(rows), -1), "replicas")
    return offsets, rows.reshape(len(flattened), points), flattened


def _jagged(eps: ak.Array, replicas: ak.Array) -> tuple[ak.Array, ak.Array]:
    """Efficiencies of events as those of one object each; others stay as they are."""
    if eps.ndim > 1:
        return eps, replicas
    if replicas.ndim != 2 or len(replicas) != len(eps):
        raise InputError(
            f"replicas: expected some for each of {len(eps)} events, received {replicas.type}"
        )
    values = np.asarray(ak.to_numpy(replicas), np.float64)[:, None]
    return ak.Array(np.asarray(ak.to_numpy(eps), np.float64)[:, None]), ak.Array(values)


def _of_events(pairs: dict[str, tuple[ak.Array, ak.Array]]) -> dict[str, tuple[ak.Array, ak.Array]]:
    """One number for each event again."""
    return {name: (ak.flatten(up), ak.flatten(down)) for name, (up, down) in pairs.items()}


def _codes(categories: ak.Array | None, offsets: Array, named: bool) -> Array | None:
    """Category of every object; what is asked for must be given, and nothing else."""
    if (categories is not None) != named:
        expected = "the category of every object" if named else "no categories"
        raise InputError(f"categories: expected {expected}, as when the variations were made")
    if categories is None:
        return None
    if not np.array_equal(offsets_of(categories), offsets):
        raise InputError("categories: expected one for each object of eps, received others")
    return flat(categories, name="categories")


@dataclass(frozen=True)
class EfficiencyVariations:
    """Directions in which the replicas of an efficiency vary the most; made once, used everywhere.

    Make them with :meth:`of` from some events, and use them for all chunks: a variation then means
    the same in each.

    Attributes
    ----------
    directions : dict of str to ndarray of float64, shape (n_replicas, n_directions)
        Orthonormal combinations of the replicas, by the name of the category (``""`` for all
        objects together).
    shares : dict of str to ndarray of float64, shape (n_directions,)
        Share of the variance of the reference numbers that each holds.
    codes : dict of str to tuple of float
        Values of the category that each name stands for; empty without categories.
    """

    directions: dict[str, Array]
    shares: dict[str, Array]
    codes: dict[str, tuple[float, ...]]

    @classmethod
    def of(
        cls,
        eps: ak.Array,
        replicas: ak.Array,
        *,
        categories: ak.Array | None = None,
        names: Mapping[str, int | tuple[int, ...]] | None = None,
        share: float = 0.9,
        at_most: int = 3,
    ) -> EfficiencyVariations:
        """Find the directions from some events.

        Parameters
        ----------
        eps : ak.Array of float64, shape (n_events, objects[, working points]) or (n_events,)
            Efficiency of every object, jagged, or of every event.
        replicas : ak.Array of float64, shape of eps and (n_replicas,)
            Its replicas, such as ``efficiency.replicas(jets, n_replicas=100)``.
        categories : jagged ak.Array of int, optional
            Category of every object, for variations of each category alone.
        names : mapping of str to int or tuple of int, optional
            Values of the category by the name that variations get, such as
            ``{"b": 5, "c": 4, "light": 0}``. Objects of other categories do not vary.
        share : float, default 0.9
            Share of the variance of the reference numbers that is asked for.
        at_most : int, default 3
            Largest number of directions of a category.

        Returns
        -------
        EfficiencyVariations
            Directions for all chunks.

        Raises
        ------
        InputError
            For values outside [0, 1], other numbers of objects, no objects of a category, or
            options out of range.

        Examples
        --------
        >>> import awkward as ak
        >>> from hepsilon.weights import EfficiencyVariations
        >>> eps = ak.Array([[0.5, 0.6], [0.4]])
        >>> replicas = ak.Array([[[0.45, 0.55], [0.5, 0.7]], [[0.35, 0.45]]])
        >>> variations = EfficiencyVariations.of(eps, replicas)
        >>> variations.names
        ('0', 'rest')
        """
        if not 0.0 < share <= 1.0 or at_most < 1:
            raise InputError(
                f"expected a share in (0, 1] and one direction or more, received share={share!r}, "
                f"at_most={at_most!r}"
            )
        if not ak.count(eps):
            raise InputError("expected some objects to find variations from, received none")
        offsets, values, drawn = _columns(eps, replicas)
        codes = _codes(categories, offsets, names is not None)
        given = {"": ()} if names is None else {n: np.atleast_1d(c) for n, c in names.items()}
        directions, shares = {}, {}
        for name, wanted in given.items():
            own = np.ones(len(values), bool) if codes is None else np.isin(codes, wanted)
            if not own.any():
                raise InputError(f"no object of the category {name!r} to find variations from")
            nominal, moved = values[own], drawn[own]
            if eps.ndim == 1:  # weights 1/E
                nominal, moved = (1.0 / np.maximum(each, FLOOR) for each in (nominal, moved))
            found = _principal(nominal, moved, share, at_most)
            directions[name], shares[name] = found
        by_name = {n: tuple(float(c) for c in wanted) for n, wanted in given.items() if n}
        return cls(directions, shares, by_name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variations: numbers from the largest, and the rest, by category."""
        found = []
        for category, directions in self.directions.items():
            numbers = [*map(str, range(directions.shape[1])), REST]
            found += [f"{category}_{n}" if category else n for n in numbers]
        return tuple(found)

    def shifted(
        self, eps: ak.Array, replicas: ak.Array, *, categories: ak.Array | None = None
    ) -> dict[str, tuple[ak.Array, ak.Array]]:
        """Efficiencies shifted up and down by every variation.

        Parameters
        ----------
        eps : ak.Array of float64, shape (n_events, objects[, working points]) or (n_events,)
            Efficiency of every object, jagged, or of every event.
        replicas : ak.Array of float64, shape of eps and (n_replicas,)
            Its replicas; the same number, of the same efficiency, as :meth:`of` was given.
        categories : jagged ak.Array of int, optional
            Category of every object, where variations are by category.

        Returns
        -------
        dict of str to tuple of ak.Array
            Up and down by the name of the variation, of the shape of eps; always in (0, 1), and
            falling from one working point to the next.

        Raises
        ------
        InputError
            For values outside [0, 1], or other numbers of objects, replicas or categories.
        """
        if not ak.count(eps):  # how many replicas there are, nobody knows
            return dict.fromkeys(self.names, (eps, eps))
        offsets, values, drawn = _columns(eps, replicas)
        codes = _codes(categories, offsets, bool(self.codes))
        n_replicas = drawn.shape[-1]
        odds = log_odds(values)
        changes = log_odds(drawn) - odds[..., None]
        changes -= changes.mean(axis=-1, keepdims=True)
        changes /= np.sqrt(n_replicas - 1.0)
        found = {}
        for category, directions in self.directions.items():
            if len(directions) != n_replicas:
                raise InputError(
                    f"replicas: expected {len(directions)}, as when the variations were made, "
                    f"received {n_replicas}"
                )
            own = np.ones(len(values), bool)
            if codes is not None:
                own = np.isin(codes, self.codes[category])
            moved = changes @ directions
            others = np.sum(changes**2, axis=-1) - np.sum(moved**2, axis=-1)
            rest = np.sqrt(np.maximum(others, 0.0))
            for name, step in zip(
                [*map(str, range(directions.shape[1])), REST],
                [*np.moveaxis(moved, -1, 0), rest],
                strict=True,
            ):
                key = f"{category}_{name}" if category else name
                up, down = (
                    np.where(own[:, None], from_log_odds(odds + sign * step), values)
                    for sign in (1.0, -1.0)
                )
                shaped = [v if eps.ndim == 3 else v[:, 0] for v in (up, down)]
                found[key] = unflatten(shaped[0], offsets), unflatten(shaped[1], offsets)
        return found if eps.ndim > 1 else _of_events(found)


def _principal(values: Array, drawn: Array, share: float, at_most: int) -> tuple[Array, Array]:
    """Directions of the replicas by how much they move the sums over groups, and their shares."""
    n_groups = min(GROUPS, len(values))
    group = np.argsort(np.argsort(values[:, 0], kind="stable"), kind="stable")
    group = group * n_groups // len(values)
    deviations = drawn - drawn.mean(axis=-1, keepdims=True)
    rows = []
    for point in range(values.shape[1]):
        total = np.bincount(group, values[:, point], minlength=n_groups)
        moved = np.stack(
            [np.bincount(group, d, minlength=n_groups) for d in deviations[:, point].T], axis=1
        )
        rows.append(moved / np.maximum(total, SMALLEST)[:, None])
    _, singular, vectors = np.linalg.svd(np.concatenate(rows), full_matrices=False)
    squares = singular**2
    if not squares.sum() > 0.0:
        return vectors[:1].T, np.zeros(1)
    shares = squares / squares.sum()
    needed = int(np.searchsorted(np.cumsum(shares), share - 1e-9)) + 1
    kept = min(needed, at_most, len(shares))
    signs = np.sign((np.concatenate(rows) @ vectors[:kept].T).sum(axis=0))
    signs[signs == 0.0] = 1.0  # up is where more objects pass
    return vectors[:kept].T * signs, shares[:kept]
