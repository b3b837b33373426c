// Efficiencies of jets from standard input: in each line an event, four numbers for every jet.
//
//     g++ -std=c++17 -O2 -I $ORT/include evaluate.cc -L $ORT/lib -lonnxruntime -o evaluate
//     echo "50 0.1 0.2 5  30 -1.2 2.0 0" | ./evaluate gnn.onnx
//
// with ONNX Runtime from https://github.com/microsoft/onnxruntime/releases unpacked in $ORT.
#include "efficiency.hpp"

#include <iostream>
#include <sstream>

int main(int, char **arguments) {
  const Efficiency efficiency(arguments[1]);
  std::vector<float> pt, eta, phi;
  std::vector<std::int32_t> flavour;
  std::vector<std::int64_t> counts;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream event(line);
    std::int64_t jets = 0;
    for (double p, e, f, b; event >> p >> e >> f >> b; ++jets) {
      pt.push_back(p);
      eta.push_back(e);
      phi.push_back(f);
      flavour.push_back(static_cast<std::int32_t>(b));
    }
    counts.push_back(jets);
  }
  std::cout.precision(9);
  for (const float value : efficiency(pt, eta, phi, flavour, counts))
    std::cout << value << "\n";
}
