"""Files that hold what other files hold."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import uproot


def rewritten(path: Path, out: Path) -> Path:
    """Write the events of a NanoAOD-like file once more, as another production would."""
    with uproot.open(path) as file, uproot.recreate(out) as copy:
        counters = {"nJet", "nTrack"}
        columns = {n: a for n, a in file["Events"].arrays(how=dict).items() if n not in counters}
        copy.mktree("Events", {n: ak.type(a).content for n, a in columns.items()})
        copy["Events"].extend(columns)
    return out
