"""NanoAOD schema of the events that a task reads."""

from __future__ import annotations

import warnings
from typing import Any

from coffea.nanoevents import NanoAODSchema

__all__ = ["TaskSchema"]


class TaskSchema(NanoAODSchema):  # type: ignore[misc]
    """NanoAODSchema that does not warn of collections a task does not need.

    Parameters
    ----------
    *args
        Arguments of NanoAODSchema.
    **kwargs
        Options of NanoAODSchema.
    """

    warn_missing_crossrefs = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Branch .* already exists", RuntimeWarning)
            super().__init__(*args, **kwargs)
