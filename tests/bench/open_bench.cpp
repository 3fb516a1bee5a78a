// SPDX-License-Identifier: Apache-2.0
// What does it cost to load one plugin that was found, against a bare dlopen of its library?
// Bars: 1.5x, its verdict being known and valid by stat; 10 ms for a first load, which nobody notices.
//
// A process of its own for each sample, as in load_bench.cpp, and both sides load another one first: what a start
// costs, code and tables that are touched for the first time, is that bench's subject. "Load" is everything from a
// resolved variant to a library that is open, asked and held against its metadata. The first load ever, which reads
// the library's bytes, has a row of its own.
//
//   open_bench [--quick] [--json FILE]
//   open_bench --child load|dlopen VARIANT_FOLDER VARIANT_FOLDER    one sample, in nanoseconds: the bench starts these
#include "bench/support/nothing_copies.hpp"
#include "bench/support/report.hpp"
#include "bench/workers/worker.hpp"
#include "support/temporary_folder.hpp"

#include "device/cpu_device.hpp"
#include "hub/resolver.hpp"
#include "plugin/plugin.hpp"

#include <fmt/format.h>
#include <boost/filesystem.hpp>

#include <cstdlib>
#include <iostream>

#include <unistd.h>

namespace {

using namespace layerhub::bench;
namespace fs = boost::filesystem;
namespace hub = layerhub::hub;

hub::Resolved resolve(const std::string& folder) {
  hub::RepositoryRef ref;
  ref.local = folder;
  return hub::Resolver({}, layerhub::device::system_facts()).resolve(ref, "cpu").value();
}

const hub::LibraryInfo& best_library(const hub::Resolved& resolved) {
  return *hub::judge_libraries(resolved.metadata, layerhub::device::system_facts()).at(0).library;
}

double load(const hub::Resolved& resolved) {
  const hub::LibraryInfo& library = best_library(resolved);
  return nanoseconds_of([&] { layerhub::plugin::load_plugin(resolved, library).value(); });
}

double open(const hub::Resolved& resolved) {
  const std::string file = (resolved.folder / best_library(resolved).file).string();
  return nanoseconds_of([&] { open_bare(file); });
}

// One sample for the process that started this one.
int child(const std::vector<std::string>& arguments) {
  std::string line;
  std::getline(std::cin, line);
  const hub::Resolved first = resolve(arguments.at(2)), second = resolve(arguments.at(3));
  const auto sample = arguments.at(1) == "load" ? load : open;
  sample(first);
  std::cout << fmt::format("{:.0f}", sample(second)) << std::endl;
  return 0;
}

double sample(const char* what, const fs::path& first, const fs::path& second) {
  return Worker({"/proc/self/exe", "--child", what, first.string(), second.string()}, 0).nanoseconds("go");
}

// Copies of the bench's plugin, and a cache of their own, for as long as this object is there.
class Copies {
 public:
  Copies() { setenv("LAYERHUB_CACHE", (root_.path() / "cache").c_str(), 1); }

  // A variant's folder that nobody has loaded yet.
  fs::path add() {
    const fs::path original = variant_of_nothing();
    const fs::path copy = root_.path() / std::to_string(++count_) / original.filename();
    fs::create_directories(copy);
    for (const fs::directory_entry& file : fs::directory_iterator(original)) {
      fs::copy_file(file.path(), copy / file.path().filename());
    }
    return copy;
  }

 private:
  layerhub::testing::TemporaryFolder root_;
  int count_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  return layerhub::bench::run(argc, argv, {"--child"}, [](Report& report) {
    if (!report.arguments().empty() && report.arguments()[0] == "--child") {
      return child(report.arguments());
    }
    Copies copies;
    const fs::path first = copies.add(), second = copies.add();
    usleep(100'000);  // what was only just written is not remembered
    for (int warm = 0; warm < 2; ++warm) sample("load", first, second), sample("dlopen", first, second);
    report.heading("dlopen of its library");
    report.add("load one plugin, its verdict known",
               compare_measured([&] { return sample("load", first, second); },
                                [&] { return sample("dlopen", first, second); }, report.pairs()),
               at_most(1.5));
    report.heading("10 ms, a constant");
    report.add("load one plugin for the first time",
               compare_to_constant([&] { return sample("load", first, copies.add()); }, 10e6, report.pairs()),
               at_most(1));
    return 0;
  });
}
