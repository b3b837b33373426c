// Efficiencies of the jets of a NanoAOD file as a column of RDataFrame:
//
//     root -l -b -q -e '.include $ORT/include' -e 'gSystem->Load("libonnxruntime")' \
//         'rdataframe.C("nano.root", "gnn.onnx", "out.root")'
//
// One session serves one thread: without ROOT::EnableImplicitMT, or with one Efficiency for each
// slot (DefineSlot).
#include "efficiency.hpp"

#include <ROOT/RDataFrame.hxx>
#include <ROOT/RVec.hxx>

#include <memory>

void rdataframe(const char *file, const char *network, const char *out) {
  using ROOT::RVecF;
  const auto efficiency = std::make_shared<Efficiency>(network);
  const auto of_event = [efficiency](const RVecF &pt, const RVecF &eta, const RVecF &phi,
                                     const ROOT::RVec<unsigned char> &flavour) {
    const auto found = (*efficiency)({pt.begin(), pt.end()}, {eta.begin(), eta.end()}, {phi.begin(), phi.end()},
                                     {flavour.begin(), flavour.end()}, {static_cast<std::int64_t>(pt.size())});
    return RVecF(found.begin(), found.end());
  };
  ROOT::RDataFrame("Events", file)
      .Define("Jet_efficiency", of_event, {"Jet_pt", "Jet_eta", "Jet_phi", "Jet_hadronFlavour"})
      .Snapshot("Events", out, {"Jet_pt", "Jet_efficiency"});
}
