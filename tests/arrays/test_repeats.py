"""Keys that occur more than once: exact for samples that fit, and the same for any chunks."""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon.arrays import repeats
from hepsilon.arrays.repeats import KeySample, repeats_text

keys = st.lists(st.integers(0, 40), max_size=80).map(lambda each: np.array(each, np.uint64))
KEPT = 16
"""Largest sample in some of the tests, so that it overflows."""


def equal(a: KeySample, b: KeySample) -> bool:
    return a.keys.tolist() == b.keys.tolist() and a.counts.tolist() == b.counts.tolist()


@given(keys)
def test_few_keys_are_counted_exactly(given_keys: np.ndarray) -> None:
    total = len(given_keys)
    expected = total - len(set(given_keys.tolist()))
    assert KeySample.of(given_keys).count(total) == expected


@given(st.lists(keys, min_size=1, max_size=5), st.randoms())
@pytest.mark.parametrize("kept", [KEPT, repeats.SAMPLE])
def test_chunks_in_any_order_give_one_sample(kept, chunks, random) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "SAMPLE", kept)
        whole = KeySample.of(np.concatenate(chunks))
        shuffled = random.sample(chunks, len(chunks))
        found = reduce(add, map(KeySample.of, shuffled))
    assert equal(found, whole)
    assert len(found.keys) <= kept
    assert found.counts.dtype == np.int64


@given(keys, keys)
def test_kept_keys_are_counted_in_full(first, second) -> None:
    """What was cut off before is among no sum later: the smallest keys stay the smallest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "SAMPLE", KEPT)
        found = KeySample.of(first) + KeySample.of(second)
    every = np.concatenate([first, second]).tolist()
    assert found.counts.tolist() == [every.count(key) for key in found.keys.tolist()]


def test_many_keys_are_estimated() -> None:
    """Every third event twice: 1/4 of all; from 4096 keys within 5 standard errors of 0.7 %.

    The seed is fixed; for a random one a false alarm would have the chance 1e-6.
    """
    rng = np.random.default_rng(1)
    distinct = rng.integers(0, 1 << 63, 90_000).astype(np.uint64)
    every = np.concatenate([distinct, distinct[::3]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "SAMPLE", 4096)
        found = KeySample.of(every)
    assert found.repeated == pytest.approx(0.25, abs=0.035)
    assert found.count(len(every)) == pytest.approx(30_000, rel=0.14)


def test_nothing_is_no_repeat() -> None:
    found = KeySample.of(np.zeros(0, np.uint64))
    assert found.repeated == 0.0
    assert found.count(0) == 0


def test_the_sentence_has_both_numbers_and_the_remedy() -> None:
    text = repeats_text(3, 10)
    assert text.startswith("3 of 10 events have the run, luminosity block and event number")
    assert 'event_key = "entry" under [input]' in text
