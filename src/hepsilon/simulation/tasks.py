"""Tasks that fit the simulated samples of jets and tracks."""

from __future__ import annotations

from hepsilon.config.task import Cut, Fiducial, Passed, Task

__all__ = ["FEATURES", "FLAVOURS", "toy_task", "track_task"]

FEATURES = ("pt", "eta", "phi", "hadronFlavour")
FLAVOURS: dict[str, tuple[int, ...]] = {"hadronFlavour": (5, 4, 0)}


def toy_task() -> Task:
    """Task of the tagging efficiency of simulated jets.

    Returns
    -------
    Task
        Efficiency of single jets in pt, eta, phi and flavour, with their true efficiency.
    """
    return Task(
        features=FEATURES,
        categorical=FLAVOURS,
        passed=Passed(field="discriminant", above=(0.0,)),
        weight="genWeight",
        truth="trueEfficiency",
    )


def track_task() -> Task:
    """Task of the efficiency of events with two simulated tracks.

    Returns
    -------
    Task
        Efficiency of whole events in the momenta and charges of both tracks, with a fiducial
        region and the true efficiency.
    """
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
