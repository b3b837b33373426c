"""Layers with which an architecture of a user's own sees the other objects of an event.

Both take the pairs in either layout (see :mod:`hepsilon.networks`), and padding changes nothing.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hepsilon.networks.layers import at_receivers, at_senders, sum_over_partners

__all__ = ["PairRows", "SumOverPartners"]


class PairRows(keras.layers.Layer):  # type: ignore[misc]
    """Rows of all ordered pairs of an event: those of the object, then those of its partner.

    The output has the shape (edges, 2 n), or (nodes, partners, 2 n) without receivers.
    """

    def call(self, inputs: list[Any]) -> Any:
        values, receivers, senders = inputs
        edges = receivers, senders
        partner = at_senders(values, edges)
        own = at_receivers(values, edges) + ops.zeros_like(partner)  # for each of its partners
        return ops.concatenate([own, partner], axis=-1)


class SumOverPartners(keras.layers.Layer):  # type: ignore[misc]
    """Sum of the rows of all pairs of an object; zeros for an object without partners."""

    def compute_output_shape(self, input_shape: list[Any]) -> tuple[int | None, int]:
        """One row per node (given here since the number of segments is known at run time only)."""
        return input_shape[3][0], input_shape[0][-1]

    def call(self, inputs: list[Any]) -> Any:
        messages, receivers, senders, nodes = inputs
        return sum_over_partners(messages, (receivers, senders), nodes)
