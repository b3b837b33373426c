// Efficiencies of jets from an ONNX file, by ONNX Runtime's C++ interface. Write the file with
//
//     hepsilon export gnn.hepsilon --format onnx --named-inputs --probabilities --out gnn.onnx
//
// It takes the features of all jets by their names, in GeV and rad, and, of networks that look at
// partners, the number of jets of every event; it gives one efficiency for each jet. What it
// expects stands in its metadata: features, units, categories, working points, domain.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

class Efficiency {
public:
  explicit Efficiency(const std::string &path)
      : environment_(ORT_LOGGING_LEVEL_WARNING, "hepsilon"), session_(environment_, path.c_str(), options()) {
    Ort::AllocatorWithDefaultOptions allocator;
    for (std::size_t i = 0; i < session_.GetInputCount(); ++i)
      has_counts_ |= std::string(session_.GetInputNameAllocated(i, allocator).get()) == "counts";
  }

  // Of all jets of some events, one after the other; one jet has one entry for each working point.
  std::vector<float> operator()(std::vector<float> pt, std::vector<float> eta, std::vector<float> phi,
                                std::vector<std::int32_t> flavour, std::vector<std::int64_t> counts) const {
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const std::array<std::int64_t, 1> jets{static_cast<std::int64_t>(pt.size())};
    const std::array<std::int64_t, 1> events{static_cast<std::int64_t>(counts.size())};
    std::vector<const char *> names{"pt", "eta", "phi", "hadronFlavour"};
    std::vector<Ort::Value> inputs;
    for (auto *column : {&pt, &eta, &phi}) {
      if (column->size() != flavour.size())
        throw std::invalid_argument("expected as many numbers of each feature as jets");
      inputs.push_back(Ort::Value::CreateTensor<float>(memory, column->data(), column->size(), jets.data(), 1));
    }
    inputs.push_back(Ort::Value::CreateTensor<std::int32_t>(memory, flavour.data(), flavour.size(), jets.data(), 1));
    if (has_counts_) {
      names.push_back("counts");
      inputs.push_back(Ort::Value::CreateTensor<std::int64_t>(memory, counts.data(), counts.size(), events.data(), 1));
    }
    const char *output = "efficiency";
    const auto found = session_.Run(Ort::RunOptions{nullptr}, names.data(), inputs.data(), inputs.size(), &output, 1);
    const float *first = found.front().GetTensorData<float>();
    return {first, first + found.front().GetTensorTypeAndShapeInfo().GetElementCount()};
  }

private:
  static Ort::SessionOptions options() {
    Ort::SessionOptions made;
    made.SetIntraOpNumThreads(1);  // events run in parallel elsewhere
    return made;
  }

  Ort::Env environment_;
  mutable Ort::Session session_;
  bool has_counts_ = false;
};
