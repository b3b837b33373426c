"""Verdict on a training by its held-out events."""

from __future__ import annotations

from typing import Any

import pytest

from hepsilon.closure.held_out import judge_held_out
from hepsilon.config.verdict import VerdictConfig
from hepsilon.efficiencies.held_out_cards import HeldOutBins, HeldOutCard


def bins(name: str = "all", **given: Any) -> HeldOutBins:
    """Two bins that agree."""
    values: dict[str, Any] = {
        "name": name,
        "bins": (f"{name} below 1", f"{name} from 1"),
        "categories": ("", ""),
        "n_effective": (2e5, 2e5),
        "observed": (40_000.0, 60_000.0),
        "expected": (40_000.0, 60_000.0),
        "variance": (2e4, 2e4),
        "chi2": 2.0,
        "ndf": 2,
        "p_value": 0.4,
    }
    return HeldOutBins(**(values | given))


def card(*inputs: HeldOutBins) -> HeldOutCard:
    return HeldOutCard(events="validation", n_events=1234, inputs=inputs)


CLEAR = {"chi2": 90.0, "p_value": 1e-9}


@pytest.mark.parametrize(
    ("inputs", "status", "words"),
    [
        ((bins(), bins("pt")), "pass", "none of 3 differences is clear"),
        # clear, and 10 % off on average
        ((bins(), bins("pt", observed=(44_000.0, 54_000.0), **CLEAR)), "fail", "pt: chi2 / bins"),
        # clear, and 1 % off
        ((bins(), bins("pt", observed=(40_400.0, 59_400.0), **CLEAR)), "warn", "pt: chi2 / bins"),
        # 3 % more in total with an error of 0.2 %
        ((bins(observed=(41_000.0, 62_000.0)), bins("pt")), "fail", "passed 3 % more"),
        # 0.8 % more in total: four standard deviations
        ((bins(observed=(40_800.0, 60_000.0)), bins("pt")), "warn", "passed 0.8 % more"),
        # not clear after three tests: 0.0018 each
        ((bins(), bins("pt", p_value=0.0018)), "pass", "p = 0.0054 after as many tests"),
        # an error of the total of 2 %
        ((bins(variance=(2e6, 2e6)), bins("pt")), "warn", "could not have seen less than 4 %"),
        ((bins(expected=(0.0, 0.0), observed=(0.0, 0.0)),), "warn", "nothing is expected"),
    ],
)
def test_clear_and_large_fails(inputs: tuple[HeldOutBins, ...], status: str, words: str) -> None:
    found = judge_held_out(card(*inputs))
    assert found.status == status
    assert words in "; ".join(found.reasons)


def test_thresholds_decide() -> None:
    inputs = bins(), bins("pt", observed=(44_000.0, 54_000.0), **CLEAR)
    lenient = judge_held_out(card(*inputs), VerdictConfig(bin=0.2))
    assert lenient.status == "warn"
    assert judge_held_out(card(*inputs), VerdictConfig(p_value=1e-10)).status == "pass"


def test_working_points_have_totals_of_their_own() -> None:
    found = judge_held_out(
        card(bins(working_point="loose"), bins(working_point="tight", observed=(4e4, 7e4)))
    )
    assert found.status == "fail"
    assert [r.split(":")[0] for r in found.reasons[:2]] == ["total of loose", "total of tight"]
