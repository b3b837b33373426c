"""Elementwise work between matrix products, fused where the network as a whole is not compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

__all__ = ["fused"]


def fused(function: Callable[..., Any], precision: str) -> Callable[..., Any]:
    """Compile an elementwise function of tensors into one kernel, where that is needed.

    With TensorFlow on a CPU, products in bfloat16 reach the units for them only outside of XLA;
    what lies between them is then compiled in islands. Everywhere else the network is compiled as
    a whole, or the backend runs it eagerly, and the function is returned unchanged.

    Parameters
    ----------
    function : callable
        Function of tensors without a matrix product.
    precision : {"float32", "bfloat16"}
        Precision of the matrix products around it.

    Returns
    -------
    callable
        A function that gives the same numbers.
    """
    if precision == "float32" or keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    island: Callable[..., Any] = tf.function(function, jit_compile=True)
    return island
