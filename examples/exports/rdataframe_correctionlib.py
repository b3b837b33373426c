"""Efficiencies from a correctionlib file as a column of RDataFrame, in C++ that ROOT compiles.

    hepsilon export mlp.hepsilon --format correctionlib --out mlp.json
    python rdataframe_correctionlib.py nano.root mlp.json out.root

Needs PyROOT and correctionlib. The last argument of the correction is room for the sine of phi: any
number. Networks of single jets and maps have such files; graph networks have not.
"""

from __future__ import annotations

import sys

import correctionlib
import ROOT

CODE = """
#include <ROOT/RVec.hxx>
auto file = correction::CorrectionSet::from_file("%s");
auto efficiency = file->at("efficiency");

ROOT::RVecD efficiencies(const ROOT::RVecF &pt, const ROOT::RVecF &eta, const ROOT::RVecF &phi,
                         const ROOT::RVec<int> &flavour) {
  ROOT::RVecD found;
  for (std::size_t i = 0; i < pt.size(); ++i)
    found.push_back(efficiency->evaluate({flavour[i], pt[i], eta[i], phi[i], 0.0}));
  return found;
}
"""


def main(nano: str, correction: str, out: str) -> None:
    """Write pt and efficiency of all jets."""
    correctionlib.register_pyroot_binding()
    ROOT.gInterpreter.Declare(CODE % correction)
    jets = "Jet_pt, Jet_eta, Jet_phi, ROOT::RVec<int>(Jet_hadronFlavour)"
    frame = ROOT.RDataFrame("Events", nano).Define("Jet_efficiency", f"efficiencies({jets})")
    frame.Snapshot("Events", out, ["Jet_pt", "Jet_efficiency"])


if __name__ == "__main__":
    main(*sys.argv[1:])
