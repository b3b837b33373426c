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
    "reading": ("uproot/", "fsspec/"),
    "columns and features": ("columns", "features", "kernels", "reading", "efficiency"),
    "observables": ("geometry", "histograms"),
    "inference": ("inference", "runtimes", "resources", "graphs", "backends", "maps", "engine"),
    "weights": ("tagging", "tag_kernels", "weights", "conditions", "methods", "analysis_tools"),
    "filling": ("filling", "entries", "categories"),
    "coffea": ("coffea/",),
}
"""Folders of packages, or modules of hepsilon, that a stack is in; the innermost one counts."""


def _stage(frame: FrameType | None) -> str:
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        for stage, names in STAGES.items():
            if any(name[:-1] in path.parts for name in names if name.endswith("/")):
                return stage
            if "hepsilon" in path.parts and path.stem in names:
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
