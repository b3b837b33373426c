"""Tasks of the toy samples."""

from __future__ import annotations

from hepsilon.config.task import Cut, Fiducial, Passed, Task

__all__ = ["FEATURES", "FLAVOURS", "toy_task", "track_task"]

FEATURES = ("pt", "eta", "phi", "hadronFlavour")
FLAVOURS: dict[str, tuple[int, ...]] = {"hadronFlavour": (5, 4, 0)}


def toy_task() -> Task:
    """Tagging of the simulated jets."""
    return Task(
        features=FEATURES,
        categorical=FLAVOURS,
        passed=Passed(field="discriminant", above=(0.0,)),
        weight="genWeight",
        truth="trueEfficiency",
    )


def track_task() -> Task:
    """Efficiency of two simulated tracks together."""
    return Task(
        level="event",
        collection="Track",
        objects=2,
        order_by="charge",
        features=("px", "py", "pz", "charge"),
        categorical={"charge": (1, -1)},
        passed=Passed(field="reco"),
        weight="genWeight",
        truth="trueEfficiency",
        fiducial=Fiducial(cuts=(Cut(field="pt", min=0.2), Cut(field="eta", abs_max=0.9))),
    )
