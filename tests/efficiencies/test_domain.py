"""Combinations of features as part of the domain."""

from __future__ import annotations

import warnings
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import pytest

from hepsilon import DomainError, Efficiency, OutOfDomainWarning, Task
from hepsilon.config import Passed
from hepsilon.data.features import fit_features

Array = npt.NDArray[Any]
N = 20_000
TASK = Task(
    features=("pt", "hadronFlavour"),
    categorical={"hadronFlavour": (5, 0)},
    passed=Passed(field="tag"),
)


def sample(seed: int, n: int = N) -> Array:
    """pt and flavour; no light jets above 100 GeV."""
    rng = np.random.default_rng(seed)
    flavour = rng.choice([5.0, 0.0], n)
    pt = np.where(flavour == 5.0, rng.uniform(20.0, 200.0, n), rng.uniform(20.0, 100.0, n))
    pt = np.clip(pt, 20.1, 199.9)  # the range is that of every sample
    return np.stack([pt, flavour], axis=1).astype(np.float32)


class Half(Efficiency):
    """0.5 everywhere, with the domain of the sample."""

    task = TASK
    features = fit_features(TASK, sample(1), np.ones(N), np.arange(N + 1))

    def _predict(self, offsets: Array, nodes: Array, replicas: int) -> tuple[Array, None]:
        return np.full(len(nodes), 0.5), None


def jets(nodes: Array) -> ak.Array:
    records = ak.zip({"pt": nodes[:, 0], "hadronFlavour": nodes[:, 1].astype(int)})
    return ak.unflatten(records, np.ones(len(nodes), int))


def strange(seed: int) -> Array:
    """The sample with a tenth of its light jets at 150 GeV."""
    nodes = sample(seed)
    moved = (nodes[:, 1] == 0.0) & (np.arange(N) % 10 == 0)
    nodes[moved, 0] = 150.0
    return nodes


def test_the_own_distribution_says_nothing() -> None:
    """Unusual ones are Poisson with a mean below 20: five standard deviations, 3e-7."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Half().evaluate(jets(sample(2)), out_of_domain="raise")
    assert np.mean(~ak.to_numpy(ak.flatten(found.in_domain))) <= 1e-3 + 5.0 * np.sqrt(1e-3 / N)


def test_unusual_objects_are_told_one_by_one() -> None:
    nodes = strange(3)
    inside = ak.to_numpy(ak.flatten(Half().in_domain(jets(nodes))))
    expected = ~((nodes[:, 1] == 0.0) & (nodes[:, 0] == 150.0))
    assert np.mean(inside == expected) > 0.995
    assert not inside[~expected].any()


def test_many_of_them_are_said_with_the_pair_of_features() -> None:
    text = r"9\d\d of 20000 objects have combinations of features .* in pt and hadronFlavour"
    with pytest.warns(OutOfDomainWarning, match=text):
        Half()(jets(strange(4)))
    with pytest.raises(DomainError, match=text):
        Half()(jets(strange(4)), out_of_domain="raise")


def test_another_efficiency_answers_for_them() -> None:
    nodes = strange(5)
    eps = Half()(jets(nodes), out_of_domain=lambda objects: ak.full_like(objects.pt, 0.25))
    unusual = (nodes[:, 1] == 0.0) & (nodes[:, 0] == 150.0)
    assert np.all(ak.to_numpy(ak.flatten(eps))[unusual] == 0.25)
    assert np.mean(ak.to_numpy(ak.flatten(eps))[~unusual] == 0.5) > 0.995
