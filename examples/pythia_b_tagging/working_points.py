"""Cuts on the b tag that light jets of a sample pass at the rates 10 %, 1 % and 0.1 %.

    python working_points.py ttbar/*.root

prints the line ``passed`` of btag.toml for the jets that it selects.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import awkward as ak
import numpy as np
import uproot

RATES = {"L": 0.1, "M": 0.01, "T": 0.001}


def cuts(files: Sequence[str]) -> list[float]:
    """Quantiles of the light jets with pt above 20 GeV, rounded to three digits."""
    names = ["pt", "btagJP", "hadronFlavour"]
    branches = [f"Jet_{name}" for name in names]
    events = uproot.concatenate(dict.fromkeys(files, "Events"), branches)
    jets = {name: ak.to_numpy(ak.flatten(events[f"Jet_{name}"])) for name in names}
    light = jets["btagJP"][(jets["hadronFlavour"] == 0) & (jets["pt"] >= 20.0)]
    return [round(float(x), 3) for x in np.quantile(light, [1.0 - r for r in RATES.values()])]


if __name__ == "__main__":
    names = json.dumps([*RATES])
    print(f'passed = {{ field = "btagJP", above = {cuts(sys.argv[1:])}, names = {names} }}')
