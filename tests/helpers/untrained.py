"""Artifacts of networks with random weights, made once per session."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from hepsilon import Task
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.export.onnx import add_graph
from tests.helpers.network_toys import NETWORKS, write_untrained
from tests.helpers.toys import TASK

Make = Callable[..., NetworkEfficiency]


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Write such an artifact into a folder of its own."""
    numbers = itertools.count()

    def make(task: Task = TASK, **options: Any) -> NetworkEfficiency:
        folder = tmp_path_factory.mktemp("untrained")
        return write_untrained(folder / f"network{next(numbers)}.hepsilon", task, **options)

    return make


@pytest.fixture(scope="session")
def exported(untrained: Make) -> Callable[[str], NetworkEfficiency]:
    """One of :data:`NETWORKS` by its name, with its graph; made when first asked for."""
    made: dict[str, NetworkEfficiency] = {}

    def get(name: str) -> NetworkEfficiency:
        if name not in made:
            task, options = NETWORKS[name]
            network = untrained(task, last_layer=True, **options)
            made[name] = add_graph(network, network.path)
        return made[name]

    return get
