"""A weight of PocketCoffea: two or more b tags, from an exported map.

It reads the file of ``hepsilon export map.hepsilon --format correctionlib --out map.json.gz`` and
needs no hepsilon, so that coffea 0.7 and awkward 1 are no obstacle. Add the class to the
``weights_classes`` of the configurator, and name the file in the parameters::

    truth_tag:
      file: /path/to/map.json.gz
      collection: JetGood

The variations up and down have the ends of the 68 % intervals of all bins at once, as if they were
correlated. With a varied jet energy the efficiencies are those of the varied jets.
"""

from __future__ import annotations

import awkward as ak
import correctionlib
import numpy as np
from pocket_coffea.lib.weights.weights import WeightData, WeightWrapper


class TruthTagWeight(WeightWrapper):
    """Probability that two or more of an event's jets are tagged."""

    name = "truth_tag"
    has_variations = True

    def __init__(self, params=None, metadata=None):
        super().__init__(params, metadata)
        options = params["truth_tag"]
        self._collection = options["collection"]
        self._efficiency = correctionlib.CorrectionSet.from_file(options["file"])["efficiency"]

    def compute(self, events, size, shape_variation):
        """Give the weights of a chunk; beside a shape variation only the nominal ones."""
        jets = events[self._collection]
        nominal = self._weight(jets, "nominal")
        if shape_variation != "nominal":
            return WeightData(name=self.name, nominal=nominal)
        up, down = (self._weight(jets, side) for side in ("up", "down"))
        return WeightData(name=self.name, nominal=nominal, up=up, down=down)

    def _weight(self, jets, systematic):
        values = {"systematic": systematic}
        for variable in self._efficiency.inputs:
            if variable.name in ak.fields(jets):
                values[variable.name] = ak.to_numpy(ak.flatten(jets[variable.name]))
        flat = self._efficiency.evaluate(*(values[v.name] for v in self._efficiency.inputs))
        eps = ak.unflatten(flat, ak.num(jets))
        none = ak.prod(1.0 - eps, axis=1)
        one = none * ak.sum(eps / (1.0 - eps), axis=1)
        return np.asarray(ak.to_numpy(1.0 - none - one), np.float64)
