"""Salts and Poisson counts of keys."""

import numpy as np

from hepsilon.arrays import keys
from hepsilon.training.loss import bootstrap_counts


def test_salts_keep_their_values() -> None:
    """Splits, replicas and sampled tags of earlier versions stay what they were."""
    salts = keys.SPLIT_SALT, keys.MEMBER_SALT, keys.REPLICA_SALT, keys.TAG_SALT
    assert salts == (1, 2, 3, 4)


def test_counts_of_words_are_where_the_words_lie_among_the_thresholds() -> None:
    words = np.array([0, *keys.POISSON[:4], keys.POISSON[3] - np.uint64(1)], np.uint64)
    assert keys.poisson_of(words).tolist() == [0, 1, 2, 3, 4, 3]


def test_counts_of_a_member_are_the_inverse_of_the_distribution_function() -> None:
    """An independent calculation of the counts, from the key as a uniform number."""
    events = np.arange(50_000, dtype=np.uint64)
    zeros = np.zeros(len(events), np.uint64)
    key = keys.event_key(events, zeros + np.uint64(3), zeros + np.uint64(1), keys.MEMBER_SALT)
    cumulative = np.cumsum(np.exp(-1.0) / np.cumprod([1.0, *range(1, 20)]))
    expected = np.searchsorted(cumulative, keys.key_uniform(key), side="right")
    np.testing.assert_array_equal(bootstrap_counts(events, 3, 1), expected)
