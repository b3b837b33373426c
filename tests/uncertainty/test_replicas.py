from __future__ import annotations

import numpy as np
import pytest

from hepsilon.uncertainty import replica_covariance, shrunk_covariance


def test_covariance_of_bins_is_that_of_numpy() -> None:
    values = np.random.default_rng(1).normal(size=(30, 2, 3))
    expected = np.cov(values.reshape(30, 6).T)
    np.testing.assert_allclose(replica_covariance(values), expected)
    assert replica_covariance(values[:, :1, 0]).shape == (1, 1)


def test_few_replicas_leave_no_direction_without_error() -> None:
    """Five replicas of 20 bins: the sample covariance has 16 directions of no variance."""
    values = np.random.default_rng(2).normal(size=(5, 20))
    assert np.linalg.matrix_rank(replica_covariance(values)) == 4
    found = shrunk_covariance(values)
    assert np.linalg.eigvalsh(found).min() > 0.0
    np.testing.assert_allclose(np.diag(found), values.var(axis=0, ddof=1))


def test_many_replicas_keep_their_correlations() -> None:
    rng = np.random.default_rng(3)
    common = rng.normal(size=(20_000, 1))
    values = common + 0.3 * rng.normal(size=(20_000, 4))
    np.testing.assert_allclose(shrunk_covariance(values), replica_covariance(values), rtol=1e-3)


@pytest.mark.parametrize("values", [np.zeros((4, 3)), np.eye(4)[:, :1]])
def test_bins_that_do_not_move_or_are_alone(values: np.ndarray) -> None:
    np.testing.assert_allclose(shrunk_covariance(values), replica_covariance(values))
