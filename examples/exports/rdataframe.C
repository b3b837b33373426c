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

static std::unique_ptr<Efficiency> network;

// Columns of any types: flavours are bytes in NanoAOD v12 and integers before.
template <typename Number, typename Flavour>
ROOT::RVecF efficiencies(const ROOT::RVec<Number> &pt, const ROOT::RVec<Number> &eta, const ROOT::RVec<Number> &phi,
                         const ROOT::RVec<Flavour> &flavour) {
  const auto found = (*network)({pt.begin(), pt.end()}, {eta.begin(), eta.end()}, {phi.begin(), phi.end()},
                                {flavour.begin(), flavour.end()}, {static_cast<std::int64_t>(pt.size())});
  return {found.begin(), found.end()};
}

void rdataframe(const char *file, const char *graph, const char *out) {
  network = std::make_unique<Efficiency>(graph);
  // a text, since a function with fixed types of columns would not read those of other types
  ROOT::RDataFrame("Events", file)
      .Define("Jet_efficiency", "efficiencies(Jet_pt, Jet_eta, Jet_phi, Jet_hadronFlavour)")
      .Snapshot("Events", out, {"Jet_pt", "Jet_efficiency"});
}
