"""Keys that occur more than once, found in a sample of bounded size.

Of all distinct keys the ones with the smallest hashes are kept, with the number of times that each
occurred ("bottom-k" sampling; E. Cohen and H. Kaplan, PODC 2007). The choice depends on the keys
alone, so that chunks can be counted anywhere and added in any order; up to :data:`SAMPLE` distinct
keys the count is exact, beyond it is the share in a random sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from hepsilon.arrays.types import Array

__all__ = ["SAMPLE", "KeySample", "repeats_text"]

SAMPLE = 1 << 16
"""Largest number of distinct keys that are kept."""


@dataclass(frozen=True, eq=False)
class KeySample:
    """Smallest of all keys, and how often each occurred.

    Attributes
    ----------
    keys : ndarray of uint64, shape (n,)
        Distinct keys, increasing.
    counts : ndarray of int64, shape (n,)
        Number of times that each occurred.
    """

    keys: Array
    counts: Array

    @classmethod
    def of(cls, keys: Array) -> KeySample:
        """Sample the keys of a chunk.

        Parameters
        ----------
        keys : ndarray of uint64, shape (n_events,)
            Uniform hashes, one for each event.

        Returns
        -------
        KeySample
            At most :data:`SAMPLE` distinct keys.
        """
        distinct, counts = np.unique(keys, return_counts=True)
        return cls(distinct[:SAMPLE], counts[:SAMPLE])

    def __add__(self, other: KeySample) -> Self:
        keys, rows = np.unique(np.concatenate([self.keys, other.keys]), return_inverse=True)
        counts = np.bincount(rows, np.concatenate([self.counts, other.counts]))
        return type(self)(keys[:SAMPLE], counts[:SAMPLE].astype(np.int64))

    @property
    def repeated(self) -> float:
        """Share of the events whose key had occurred before."""
        total = int(self.counts.sum())
        return 1.0 - len(self.keys) / total if total else 0.0

    def count(self, total: int) -> int:
        """Count the events whose key had occurred before: exact up to ``SAMPLE`` distinct keys.

        Parameters
        ----------
        total : int
            Number of all events.

        Returns
        -------
        int
            Number of events that are not the first ones with their key.
        """
        return round(self.repeated * total)


def repeats_text(count: int, total: int) -> str:
    """Say what it means that events share their numbers, and what helps.

    Parameters
    ----------
    count, total : int
        Number of events whose numbers had occurred before, and of all events.

    Returns
    -------
    str
        One sentence.
    """
    return (
        f"{count} of {total} events have the run, luminosity block and event number of another "
        "one: they are not independent in the validation split, the bootstrap and the drawing of "
        "tags, and errors are wrong; if files of a private production count from zero each, set "
        'event_key = "entry" under [input]'
    )
