"""Efficiencies from a correctionlib file as a column of RDataFrame, in compiled C++.

    hepsilon export mlp.hepsilon --format correctionlib --out mlp.json
    python rdataframe_correctionlib.py nano.root mlp.json out.root

Needs PyROOT, a compiler and correctionlib. The last argument of the correction is room for the sine
of phi: any number. Networks of single jets, and maps, have such files; graph networks have not.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import correctionlib
import ROOT

CODE = """
#include <ROOT/RVec.hxx>
#include <correction.h>

static const auto file = correction::CorrectionSet::from_file("%s");
static const auto efficiency = file->at("efficiency");

ROOT::RVecD efficiencies(const ROOT::RVecF &pt, const ROOT::RVecF &eta, const ROOT::RVecF &phi,
                         const ROOT::RVecI &flavour) {
  ROOT::RVecD found;
  for (std::size_t i = 0; i < pt.size(); ++i)
    found.push_back(efficiency->evaluate({flavour[i], pt[i], eta[i], phi[i], 0.0}));
  return found;
}
"""


def main(nano: str, correction: str, out: str) -> None:
    """Write pt and efficiency of all jets."""
    package = Path(correctionlib.__file__).parent
    ROOT.gSystem.AddIncludePath(f"-I{package}/include")
    ROOT.gInterpreter.AddIncludePath(f"{package}/include")
    ROOT.gSystem.AddLinkedLibs(f"-L{package}/lib -lcorrectionlib -Wl,-rpath,{package}/lib")
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / "efficiencies.cc"
        code.write_text(CODE % Path(correction).resolve())
        ROOT.gSystem.CompileMacro(str(code), "kO")
        flavour = "ROOT::RVecI(Jet_hadronFlavour.begin(), Jet_hadronFlavour.end())"
        jets = f"Jet_pt, Jet_eta, Jet_phi, {flavour}"
        frame = ROOT.RDataFrame("Events", nano).Define("Jet_efficiency", f"efficiencies({jets})")
        frame.Snapshot("Events", out, ["Jet_pt", "Jet_efficiency"])


if __name__ == "__main__":
    main(*sys.argv[1:])
