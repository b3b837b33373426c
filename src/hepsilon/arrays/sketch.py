"""Sketch of a sample: few digests of the content of its events, by which shared events are found.

Run and event numbers do not tell simulated events apart (those of two samples are often equal), and
files may be copied, skimmed or written in another format. The features of all objects of an event
do: two events that agree in all bits are one. A sketch is the smallest digests of all events. An
event of the sample is in it with the probability ``size / n_events``, whichever event it is.
"""

from __future__ import annotations

import numpy as np

from hepsilon.arrays.kernels import njit
from hepsilon.arrays.keys import mixed
from hepsilon.arrays.types import Array, Nodes, Offsets

__all__ = ["SKETCH", "event_digests", "sketch"]

SKETCH = 512
"""Number of digests of a sketch."""


@njit
def _digests(offsets: Array, bits: Array) -> Array:
    golden = np.uint64(0x9E3779B97F4A7C15)
    out = np.empty(offsets.size - 1, np.uint64)
    for event in range(out.size):
        z = np.uint64(offsets[event + 1] - offsets[event])
        for i in range(offsets[event], offsets[event + 1]):
            for j in range(bits.shape[1]):
                z = mixed((z ^ np.uint64(bits[i, j])) + golden)
        out[event] = z
    return out


def event_digests(offsets: Offsets, nodes: Nodes) -> Array:
    """Digest of the content of every event.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
        Event i has the objects ``offsets[i]:offsets[i + 1]``.
    nodes : ndarray of float32, shape (n_objects, n_features)
        Features of the objects.

    Returns
    -------
    ndarray of uint64, shape (n_events,)
        Equal for events that agree in all bits, in the order of their objects, too.
    """
    rows = np.ascontiguousarray(nodes, np.float32)
    return np.asarray(_digests(np.ascontiguousarray(offsets, np.int64), rows.view(np.uint32)))


def sketch(digests: Array) -> tuple[int, ...]:
    """Smallest digests of a sample.

    Parameters
    ----------
    digests : ndarray of uint64, shape (n_events,)
        Digests of all events.

    Returns
    -------
    tuple of int
        At most :data:`SKETCH`, from the smallest; none where many events are alike, since their
        content does not tell them apart.
    """
    distinct = np.unique(digests)
    if len(distinct) < 0.999 * len(digests):
        return ()
    return tuple(int(number) for number in distinct[:SKETCH])
