"""A producer of columnflow: the weight of two or more b tags, from an exported map.

It reads the file of ``hepsilon export map.hepsilon --format correctionlib --out map.json.gz`` and
needs no hepsilon. Put this module beside your other producers, and name the file in the
configuration::

    cfg.x.external_files = DotDict.wrap({"btag_efficiency": "/path/to/map.json.gz"})

It produces the columns ``truth_tag_weight``, ``truth_tag_weight_up`` and ``truth_tag_weight_down``.
The last two have the ends of the 68 % intervals of all bins at once, as if they were correlated.
"""

from __future__ import annotations

from columnflow.columnar_util import flat_np_view, layout_ak_array, set_ak_column
from columnflow.production import Producer, producer
from columnflow.util import load_correction_set, maybe_import

np = maybe_import("numpy")
ak = maybe_import("awkward")

VARIATIONS = {"nominal": "", "up": "_up", "down": "_down"}


@producer(
    uses={"Jet.{pt,eta,phi,hadronFlavour}"},
    produces={"truth_tag_weight{,_up,_down}"},
    mc_only=True,
    get_efficiency_file=(lambda self, external_files: external_files.btag_efficiency),
    # the selection of the map's training
    pt_min=20.0,
    abs_eta_max=2.5,
)
def truth_tag_weights(self: Producer, events: ak.Array, **kwargs) -> ak.Array:
    """Add the probability that two or more of an event's jets are tagged."""
    jets = events.Jet[(events.Jet.pt > self.pt_min) & (abs(events.Jet.eta) < self.abs_eta_max)]
    columns = {
        variable.name: flat_np_view(jets[variable.name], axis=1)
        for variable in self.efficiency.inputs
        if variable.name in ak.fields(jets)
    }
    for systematic, postfix in VARIATIONS.items():
        values = {"systematic": systematic, **columns}
        flat = self.efficiency.evaluate(*(values[v.name] for v in self.efficiency.inputs))
        eps = layout_ak_array(flat, jets.pt)
        none = ak.prod(1.0 - eps, axis=1)
        one = none * ak.sum(eps / (1.0 - eps), axis=1)
        events = set_ak_column(
            events, f"truth_tag_weight{postfix}", 1.0 - none - one, value_type=np.float32
        )
    return events


@truth_tag_weights.requires
def truth_tag_weights_requires(self: Producer, task, reqs: dict, **kwargs) -> None:
    """Ask for the bundle of external files."""
    if "external_files" in reqs:
        return
    from columnflow.tasks.external import BundleExternalFiles

    reqs["external_files"] = BundleExternalFiles.req(task)


@truth_tag_weights.setup
def truth_tag_weights_setup(
    self: Producer, task, reqs: dict, inputs: dict, reader_targets, **kwargs
) -> None:
    """Open the file, once for each job."""
    file = self.get_efficiency_file(reqs["external_files"].files)
    self.efficiency = load_correction_set(file)["efficiency"]
