// SPDX-License-Identifier: Apache-2.0
// The commands of the program `layerhub`. Each reads the plugin directories and writes a table, or JSON with --json.
// Exit: 0 done, 1 a check failed (nothing found, a plugin that can't be read), 2 wrong usage.
#pragma once

#include "hub/resolver.hpp"

#include <layerhub/device.hpp>

#include <set>
#include <string>
#include <vector>

namespace layerhub::cli {

struct Options {
  std::vector<std::string> plugins;  // searched before LAYERHUB_PATH
  std::string subject;               // a repository or a layer
  std::string device = "cpu";
  std::string mode = "inference";
  std::string mapping;  // a file; empty: the automatic mapping
  std::string output;   // a file; empty: standard output
  bool hub = false;     // lock: in the Hub's format
  bool json = false;
};

int devices(const Options& options);
int list(const Options& options);
int info(const Options& options);
int versions(const Options& options);
int explain(const Options& options);
int lock(const Options& options);

hub::Resolver resolver(const Options& options);

// "x86-64 level 3", "capability 90", "capability 90, sm_90".
std::string capability_text(const DeviceInfo& info);
// The device types that the libraries of a plugin are runtimes for: "cuda".
std::set<std::string> runtime_types(const hub::Metadata& metadata);
// "runtime for cuda devices"; nothing of none.
std::string runtime_text(const std::set<std::string>& types);

// Aligned columns; the first row is the heading.
void print_table(const std::vector<std::vector<std::string>>& rows);
// One line to standard error, what was compared below it. Returns 1.
int print_error(const Reason& reason, bool json);

}  // namespace layerhub::cli
