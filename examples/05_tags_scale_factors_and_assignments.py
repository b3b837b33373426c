"""Working points, scale factors with their systematics, and which jets are tagged."""

import sys
import tempfile
from pathlib import Path

import awkward as ak
import uproot
from coffea.analysis_tools import Weights
from correctionlib import schemav2

import hepsilon
from hepsilon import at_least, enumerate_tags, exactly, sample_tags, truth_tag_weight
from hepsilon.analysis_tools import add_truth_tag
from hepsilon.config import Passed
from hepsilon.data.dataset import read_columns
from hepsilon.simulation import toy_task, write_jets

n_events = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
folder = Path(tempfile.mkdtemp())
files = [write_jets(folder / f"{seed}.root", n_events, seed=seed) for seed in (1, 2)]

# a map of three working points of one discriminant; a network is trained in the same way
points = Passed(field="tagger", above=(0.5, 1.0, 2.0), names=("L", "M", "T"))
task = toy_task().model_copy(update={"passed": points, "truth": None})
columns = read_columns(files[:1], hepsilon.Config(task=task))
efficiency = hepsilon.EfficiencyMap.fit(task, columns)

with uproot.open(files[1]) as file:
    events = file["Events"].arrays()
found = efficiency.evaluate(events, out_of_domain="ignore")
jets, eps = found.records, found.eps  # eps: events x jets x working points, falling

# two or more jets at medium, of which one or more at tight: expected and observed
condition = at_least(2, "M") & at_least(1, "T")
options = {"jets": None, "working_points": efficiency.working_points}
expected = truth_tag_weight(eps, condition, **options)
medium, tight = (ak.sum(jets.tagger > cut, axis=1) for cut in (1.0, 2.0))
observed = ak.sum((medium >= 2) & (tight >= 1))
print(f"{condition}: {observed} observed, {expected.sum():.1f} expected")


# a correctionlib file in the layout of BTV: b jets 5 % less often tagged in data, +- 2 %
def factors(shift: float) -> schemav2.Category:
    """Scale factors of b jets; those of other jets are one."""
    binned = schemav2.Binning(
        nodetype="binning", input="pt", edges=[20.0, 200.0, 600.0], content=[0.95 + shift] * 2,
        flow="error",
    )  # fmt: skip
    items = [{"key": 5, "value": binned}, {"key": 4, "value": 1.0}, {"key": 0, "value": 1.0}]
    return schemav2.Category(nodetype="category", input="flavor", content=items)


systematics = {"central": 0.0, "up": 0.02, "down": -0.02}
inputs = {"systematic": "string", "flavor": "int", "pt": "real"}
correction = schemav2.Correction(
    name="toy_btag",
    version=1,
    inputs=[schemav2.Variable(name=name, type=kind) for name, kind in inputs.items()],
    output=schemav2.Variable(name="weight", type="real"),
    data=schemav2.Category(
        nodetype="category",
        input="systematic",
        content=[{"key": key, "value": factors(shift)} for key, shift in systematics.items()],
    ),
)
file = folder / "scale_factors.json"
file.write_text(
    schemav2.CorrectionSet(schema_version=2, corrections=[correction]).model_dump_json(
        exclude_unset=True
    )
)
scale_factors = hepsilon.TagScaleFactors.load(file, "toy_btag")

# exactly two medium tags, as in data, with the systematics of the scale factors
weights = Weights(len(events))
replicas = efficiency.replicas(jets)[:, :, 1, :]
tag = add_truth_tag(
    weights, "btag", eps[:, :, 1], 2, jets=None, scale_factors=scale_factors(jets),
    replicas=replicas,
)  # fmt: skip
print(f"two tags in data: {weights.weight().sum():.1f}")
for name in tag.variations:
    up, down = (weights.weight(f"{name}{side}").sum() for side in ("Up", "Down"))
    print(f"  {name}: up {up:.1f}, down {down:.1f}")

# which jets: one assignment drawn per event, or all of them with their weights
numbers = events["run"], events["luminosityBlock"], events["event"]
pair = jets[sample_tags(eps[:, :, 1], numbers, 2, jets=None)]
every = enumerate_tags(eps[:, :, 1], exactly(2), jets=None)
candidates = every.jets(jets)  # events x assignments x two jets
print(f"{int(ak.sum(ak.num(pair) == 2))} drawn pairs, {ak.count(every.weights)} enumerated ones")
mean = [
    ak.sum(w * ak.sum(p.pt, axis=-1)) / ak.sum(w)
    for w, p in ((truth_tag_weight(eps[:, :, 1], 2, jets=None), pair), (every.weights, candidates))
]
print(f"mean scalar sum of pt of the two: {mean[0]:.1f} and {mean[1]:.1f} GeV")
