"""Salts and Poisson counts of keys."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from hepsilon.arrays import keys
from hepsilon.training.loss import bootstrap_counts


def test_salts_keep_their_values() -> None:
    """Splits, replicas and sampled tags of earlier versions stay what they were."""
    salts = keys.SPLIT_SALT, keys.MEMBER_SALT, keys.REPLICA_SALT, keys.TAG_SALT, keys.FOLD_SALT
    assert salts == (1, 2, 3, 4, 5)


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


@given(st.lists(st.integers(0, 2**64 - 1), max_size=30), st.integers(1, 40), st.randoms())
def test_the_fold_of_an_event_depends_on_its_key_alone(values, n_folds, random) -> None:
    key = np.array(values, np.uint64)
    found = keys.fold_numbers(key, n_folds)
    assert found.shape == key.shape
    assert np.all((found >= 0) & (found < n_folds))
    order = random.sample(range(len(values)), len(values))
    np.testing.assert_array_equal(keys.fold_numbers(key[order], n_folds), found[order])
    for one, fold in zip(key, found, strict=True):
        assert keys.fold_numbers(np.array([one]), n_folds)[0] == fold


@pytest.mark.parametrize("n_folds", [2, 5, 10])
def test_folds_are_equally_large_and_independent_of_the_split(n_folds) -> None:
    """The keys are fixed; both tests would fail by chance for one set of keys in 10,000."""
    events = np.arange(20_000, dtype=np.uint64)
    zeros = np.zeros(len(events), np.uint64)
    key = keys.event_key(events, zeros, zeros, keys.SPLIT_SALT)
    fold = keys.fold_numbers(key, n_folds)
    assert chisquare(np.bincount(fold, minlength=n_folds)).pvalue > 1e-4
    validation = keys.key_uniform(key) < 0.1  # sorted keys: the split is a range of them
    assert chisquare(np.bincount(fold[validation], minlength=n_folds)).pvalue > 1e-4
