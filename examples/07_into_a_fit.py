"""From truth-tag weights to a fit: two processes, variations of the efficiency, pyhf and cabinetry.

python examples/07_into_a_fit.py [EVENTS]
"""

import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import awkward as ak
import hist
import numpy as np
import uproot

import hepsilon
from hepsilon.data.dataset import read_columns
from hepsilon.fits import Process, templates, workspace, write_templates
from hepsilon.histograms.methods import replica_axis
from hepsilon.simulation import toy_task, write_jets

REPLICAS = 50
n_events = int(sys.argv[1]) if len(sys.argv) > 1 else 40_000
folder = Path(tempfile.mkdtemp())
training = write_jets(folder / "train.root", n_events, seed=1)
samples = {
    "signal": write_jets(folder / "signal.root", n_events // 4, kind="jets-alternative", seed=2),
    "background": write_jets(folder / "background.root", n_events, seed=3),
}
efficiency = hepsilon.EfficiencyMap.fit(
    toy_task(), read_columns([training], hepsilon.Config(task=toy_task()))
)

# two tags of the leading two jets by the leading pt, once for each replica of the efficiency
axis = hist.axis.Variable([20, 60, 100, 150, 220, 320, 600], name="pt", label="leading pt [GeV]")


def process(file: Path) -> tuple[Process, np.ndarray]:
    """Expected sums with their replicas, and the pt of events that are tagged directly."""
    with uproot.open(file) as opened:
        events = opened["Events"].arrays()
    found = efficiency.evaluate(events, out_of_domain="ignore", replicas=REPLICAS)
    pairs = np.asarray(ak.num(found.eps) >= 2)
    jets, eps, drawn = (a[pairs] for a in (found.records, found.eps, found.replicas))
    pt = np.asarray(jets.pt[:, 0])
    nominal = hist.Hist(axis, storage=hist.storage.Weight())
    nominal.fill(pt, weight=hepsilon.truth_tag_weight(eps, 2))
    replicas = hist.Hist(replica_axis(REPLICAS), axis, storage=hist.storage.Double())
    for number in range(REPLICAS):
        weight = hepsilon.truth_tag_weight(drawn[..., number], 2)
        replicas.fill(number, pt, weight=weight)
    tagged = jets.discriminant[:, :2] > 0.0
    return Process(nominal, replicas, norms={"lumi": (1.02, 0.98)}), pt[np.asarray(tagged).all(1)]


made = {name: process(file) for name, file in samples.items()}
observed = hist.Hist(axis, storage=hist.storage.Weight())
for _, tagged_pt in made.values():
    observed.fill(tagged_pt)
found = templates({"two_tags": {name: p for name, (p, _) in made.items()}}, {"two_tags": observed})
for name, share in found.shares.items():
    print(f"{name}: {share:.1%} of the variance by the efficiency")

for format_, name in (("pyhf", "workspace.json"), ("combine", "card.txt"), ("hepdata", "tables")):
    write_templates(found, format_, folder / name, signal="signal")
print("wrote", ", ".join(sorted(path.name for path in folder.iterdir() if path.suffix != ".root")))

if find_spec("cabinetry") is None:
    print("pip install 'hepsilon[fit]' to fit them here")
else:
    import cabinetry

    model, data = cabinetry.model_utils.model_and_data(workspace(found, signal="signal"))
    result = cabinetry.fit.fit(model, data)
    best = dict(
        zip(result.labels, zip(result.bestfit, result.uncertainty, strict=True), strict=True)
    )
    print("mu = {:.3f} +- {:.3f}".format(*best["mu"]))
