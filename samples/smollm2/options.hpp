// SPDX-License-Identifier: Apache-2.0
// What the command line asks for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace smollm2 {

struct Options {
  std::string prompt = "Write a short story about a lighthouse keeper who finds a message in a bottle.";
  bool raw = false;
  int tokens = 128;
  unsigned threads = 0;  // 0: as many as there are processors
  bool own = false, hub = false, session = false;
  std::string plugins;               // "" : the default directories
  std::vector<std::string> devices;  // "opencl", "mlp=opencl"
  std::string mapping;               // a mapping file or a lock; "": what is found
  std::string model;
  std::string json, tokenize, evaluate;
  double temperature = 0;
  std::uint64_t seed = 1;
};

// Exits the process after --help or a wrong usage (status 2).
Options parse_options(int argc, char** argv);

}  // namespace smollm2
