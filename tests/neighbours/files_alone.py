"""Run where hepsilon cannot be installed: exported files give its numbers without it.

``python files_alone.py FOLDER`` reads a map (correctionlib) and a network (ONNX).
"""

import json
import sys
from pathlib import Path

import awkward as ak
import coffea
import correctionlib
import numpy as np
import onnxruntime

folder = Path(sys.argv[1])
expected = json.loads((folder / "expected.json").read_text())
jets = ak.from_iter(json.loads((folder / "jets.json").read_text()))
flat = {name: ak.to_numpy(ak.flatten(jets[name])) for name in ak.fields(jets)}

correction = correctionlib.CorrectionSet.from_file(str(folder / "map.json.gz"))["efficiency"]
values = [
    "nominal" if variable.name == "systematic" else flat[variable.name]
    for variable in correction.inputs
]
np.testing.assert_allclose(correction.evaluate(*values), expected["map"], rtol=0, atol=1e-12)

session = onnxruntime.InferenceSession(str(folder / "mlp.onnx"), providers=["CPUExecutionProvider"])
features = json.loads((folder / "features.json").read_text())
rows = np.stack([flat[name] for name in features], axis=1).astype(np.float32)
(given,) = session.get_inputs()
logits = session.run(["logits"], {given.name: rows})[0][:, 0].astype(np.float64)
np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected["mlp"], rtol=0, atol=1e-5)

assert "hepsilon" not in sys.modules
print({"coffea": coffea.__version__, "awkward": ak.__version__, "jets": len(rows)})
