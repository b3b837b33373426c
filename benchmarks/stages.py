"""Where the time of an analysis goes: a sampler of the main thread's stack."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = ["shares"]

INTERVAL = 0.002
STAGES = {
    "reading": ("/uproot/", "/fsspec/", "/hepsilon/data/"),
    "columns and features": ("/hepsilon/arrays/",),
    "observables": ("/hepsilon/histograms/observables", "/hepsilon/histograms/jets"),
    "inference": ("/hepsilon/efficiencies/", "/hepsilon/networks/", "/hepsilon/_system/"),
    "weights": ("/hepsilon/weights/", "/hepsilon/analysis_tools", "/processors/selections"),
    "filling": ("/hepsilon/histograms/", "/hepsilon/processors/filling"),
    "coffea": ("/coffea/",),
}
"""Packages, or modules of them, that a stack is in; the innermost frame and first match count."""


def _stage(frame: FrameType | None) -> str:
    while frame is not None:
        path = Path(frame.f_code.co_filename).as_posix()
        for stage, places in STAGES.items():
            if any(place in path for place in places):
                return stage
        frame = frame.f_back
    return "other"


def shares(function: Callable[[], Any]) -> dict[str, float]:
    """Share of the samples of each stage while the function runs in this thread."""
    found: Counter[str] = Counter()
    over, own = threading.Event(), threading.get_ident()

    def sample() -> None:
        while not over.wait(INTERVAL):
            found[_stage(sys._current_frames()[own])] += 1

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        function()
    finally:
        over.set()
        sampler.join()
    return {stage: number / found.total() for stage, number in found.most_common()}
