"""Ratios of two small samples, learned once per session."""

from __future__ import annotations

from pathlib import Path

import pytest

from hepsilon import LearnedRatio, train_ratio
from tests.helpers.ratio_toys import ratio_config, write_two


@pytest.fixture(scope="session")
def ratio_samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Files of the numerator and the denominator."""
    return write_two(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="session")
def learned_ratio(
    ratio_samples: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> LearnedRatio:
    """Ratio of densities."""
    out = tmp_path_factory.mktemp("ratio") / "ratio.hepsilon"
    numerator, denominator = map(str, ratio_samples)
    config = ratio_config({"numerator": numerator, "denominator": denominator})
    return train_ratio(config, out, progress=False).ratio


@pytest.fixture(scope="session")
def ratio_of_efficiencies(
    ratio_samples: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> LearnedRatio:
    """Ratio of efficiencies."""
    out = tmp_path_factory.mktemp("ratio") / "efficiencies.hepsilon"
    config = ratio_config({"kind": "efficiency"}, task={"passed": {"field": "fired"}})
    train_ratio(config, out, [ratio_samples[0]], [ratio_samples[1]], progress=False)
    return LearnedRatio.load(out)
