"""All weights of a network in two vectors.

A step of a small network costs little more than handing its variables to compiled code and back;
two of them are handed over faster than a hundred.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hepsilon.arrays.types import Array

if TYPE_CHECKING:
    import keras

__all__ = ["Vectors"]

UNDECAYED = "product/track_", "product/pair_"
"""Factors of a product: small networks whose shape is the assumption that others need."""


def _decays(variable: keras.Variable) -> bool:
    """Whether penalties and weight decay act on a variable."""
    return variable.name == "kernel" and not variable.path.startswith(UNDECAYED)


class Vectors:
    """Two vectors of all weights: kernels, on which penalties and weight decay act, and the rest.

    The kernels of the factors of a product belong to the rest.

    Parameters
    ----------
    model : keras.Model
        Network whose trainable variables are joined.
    """

    def __init__(self, model: keras.Model) -> None:
        variables = model.trainable_variables
        self._shapes = [tuple(v.shape) for v in variables]
        self._which = [int(not _decays(v)) for v in variables]  # number of the vector

    def join(self, weights: Sequence[Array]) -> list[Array]:
        """Join the weights of a network into two vectors.

        Parameters
        ----------
        weights : sequence of ndarray
            Arrays of all trainable variables, in Keras' order.

        Returns
        -------
        list of two ndarrays, shape (n_kernels,) and (n_others,)
            Kernels, and all other weights.
        """
        parts: tuple[list[Array], list[Array]] = ([], [])
        for which, array in zip(self._which, weights, strict=True):
            parts[which].append(np.ravel(array))
        none = np.empty(0, np.float32)  # of a plain product nothing decays
        return [np.concatenate([none, *arrays]) for arrays in parts]

    def split(
        self, vectors: Sequence[Any], reshape: Callable[[Any, Any], Any] = np.reshape
    ) -> list[Any]:
        """Cut two vectors into the weights of a network: the inverse of :meth:`join`.

        Parameters
        ----------
        vectors : sequence of two ndarrays or tensors
            Kernels, and all other weights.
        reshape : callable, default numpy.reshape
            Function of an array and a shape; that of the backend for its tensors.

        Returns
        -------
        list of ndarray or tensor
            Arrays of all trainable variables, in Keras' order.
        """
        ends, weights = [0, 0], []
        for which, shape in zip(self._which, self._shapes, strict=True):
            first, ends[which] = ends[which], ends[which] + int(np.prod(shape))
            weights.append(reshape(vectors[which][first : ends[which]], shape))
        return weights
