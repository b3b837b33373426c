"""Sums of regression trees as flat arrays: what refines a network is stored and evaluated so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from hepsilon.arrays.kernels import njit
from hepsilon.arrays.types import Array
from hepsilon.errors import ArtifactError

__all__ = ["Trees"]

KINDS = {
    "feature": np.int32,
    "threshold": np.float32,
    "left": np.int32,
    "right": np.int32,
    "value": np.float64,
    "roots": np.int32,
    "outputs": np.int32,
}
"""Type of each array."""


@njit
def _sum_of_trees(
    inputs: Array,
    feature: Array,
    threshold: Array,
    left: Array,
    right: Array,
    value: Array,
    roots: Array,
    outputs: Array,
    out: Array,
) -> None:
    for i in range(inputs.shape[0]):
        for tree in range(roots.size):
            node = roots[tree]
            while feature[node] >= 0:
                below = inputs[i, feature[node]] <= threshold[node]
                node = left[node] if below else right[node]
            out[i, outputs[tree]] += value[node]


def _outside(numbers: Array, low: int, stop: int) -> bool:
    return bool(np.any((numbers < low) | (numbers >= stop)))


@dataclass(frozen=True)
class Trees:
    """Regression trees whose leaves are added up, for one or several outputs.

    A node is a leaf where its feature is -1. Else it sends on to the left what is not above its
    threshold, and to the right the rest; both are float32, so that no comparison is rounded. Nodes
    stand behind their parents, so that every way through a tree ends.

    Attributes
    ----------
    feature : ndarray of int32, shape (n_nodes,)
        Column of the inputs that a node compares; -1 for a leaf.
    threshold : ndarray of float32, shape (n_nodes,)
        Largest value that goes to the left; zero for a leaf.
    left, right : ndarray of int32, shape (n_nodes,)
        Next nodes; -1 for a leaf.
    value : ndarray of float64, shape (n_nodes,)
        What a leaf adds; zero for a node that compares.
    roots : ndarray of int32, shape (n_trees,)
        First node of each tree.
    outputs : ndarray of int32, shape (n_trees,)
        Output that each tree adds to.
    """

    feature: Array
    threshold: Array
    left: Array
    right: Array
    value: Array
    roots: Array
    outputs: Array

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, Array], n_inputs: int, n_outputs: int, name: str
    ) -> Trees:
        """Take trees from a file, and refuse what they cannot be.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            The attributes by name.
        n_inputs : int
            Number of columns of the inputs.
        n_outputs : int
            Number of outputs.
        name : str
            Name of the file, for errors.

        Returns
        -------
        Trees
            The trees.

        Raises
        ------
        ArtifactError
            If arrays are missing, unknown, of another type or size, or point outside.
        """
        if set(arrays) != set(KINDS):
            raise ArtifactError(
                f"{name}: expected the arrays {sorted(KINDS)} of trees, received {sorted(arrays)}"
            )
        for key, kind in KINDS.items():
            if arrays[key].dtype != kind or arrays[key].ndim != 1:
                raise ArtifactError(
                    f"{name}: expected {key} of trees as one row of {np.dtype(kind)}, received "
                    f"{arrays[key].dtype} of the shape {arrays[key].shape}"
                )
        found = cls(**{key: np.ascontiguousarray(arrays[key]) for key in KINDS})
        if (problem := found._problem(n_inputs, n_outputs)) is not None:
            raise ArtifactError(f"{name} is damaged: {problem}")
        return found

    def _problem(self, n_inputs: int, n_outputs: int) -> str | None:
        """Say what is wrong, if anything: the evaluation looks at nothing any more."""
        sizes = {len(x) for x in (self.feature, self.threshold, self.left, self.right, self.value)}
        if len(sizes) != 1 or len(self.roots) != len(self.outputs):
            return "the arrays of trees have different lengths"
        n_nodes, numbers, inner = sizes.pop(), np.arange(len(self.feature)), self.feature >= 0
        problems = {
            "nodes of trees are not behind their parents": any(
                np.any(inner & ((side <= numbers) | (side >= n_nodes)))
                for side in (self.left, self.right)
            ),
            f"trees compare inputs other than the {n_inputs} of the card": _outside(
                self.feature, -1, n_inputs
            ),
            "trees start at nodes that do not exist": _outside(self.roots, 0, n_nodes),
            f"trees add to outputs other than the {n_outputs} of the card": _outside(
                self.outputs, 0, n_outputs
            ),
            "numbers in trees are NaN or infinite": not (
                np.isfinite(self.value).all() and np.isfinite(self.threshold).all()
            ),
        }
        return next((text for text, wrong in problems.items() if wrong), None)

    @classmethod
    def joined(cls, parts: list[Trees], n_outputs: int) -> Trees:
        """Put trees beside each other, each part with outputs of its own.

        Parameters
        ----------
        parts : list of Trees
            At least one.
        n_outputs : int
            Number of outputs of each of them.

        Returns
        -------
        Trees
            Outputs of the first part come first.
        """
        starts = np.cumsum([0, *(len(part.feature) for part in parts)])
        moved = []
        for number, (part, start) in enumerate(zip(parts, starts, strict=False)):
            inner = part.feature >= 0
            left, right = (np.where(inner, x + start, -1) for x in (part.left, part.right))
            moved.append(
                {
                    **part.arrays,
                    "left": left,
                    "right": right,
                    "roots": part.roots + start,
                    "outputs": part.outputs + number * n_outputs,
                }
            )
        return cls(
            **{
                key: np.concatenate([part[key] for part in moved]).astype(kind)
                for key, kind in KINDS.items()
            }
        )

    @property
    def arrays(self) -> dict[str, Array]:
        """The arrays by name, as :meth:`from_arrays` takes them."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @property
    def n_trees(self) -> int:
        """Number of trees."""
        return len(self.roots)

    def __call__(self, inputs: Array, n_outputs: int) -> Array:
        """Add up the leaves that the inputs lead to.

        Parameters
        ----------
        inputs : ndarray of float32, shape (n, n_inputs)
            Inputs without NaN.
        n_outputs : int
            Number of outputs.

        Returns
        -------
        ndarray of float64, shape (n, n_outputs)
            Sums.
        """
        out = np.zeros((len(inputs), n_outputs))
        rows = np.ascontiguousarray(inputs, np.float32)
        nodes = self.feature, self.threshold, self.left, self.right, self.value
        _sum_of_trees(rows, *nodes, self.roots, self.outputs, out)
        return out
