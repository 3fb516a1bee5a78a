// SPDX-License-Identifier: Apache-2.0
// What starting costs: from the first call of layerhub to the return of the first call of a layer, in a process of its
// own for each sample, with everything in the page cache. The plugin directories are made of copies of one small
// plugin, each under a name of its own, with layers and libraries of its own.
//
// "Start" binds and calls one layer, which an explicit mapping names, or the mapping of everything that is found. What
// it is held against: opening the libraries, which is what a host does that keeps no metadata; with 10,000 variants
// the start with 100, and 20 ms, which is a goal and no measurement.
//
//   load_bench [--quick] [--json FILE]
//   load_bench --child start|automatic ROOT | model | dlopen FILE...    one sample, in nanoseconds: the bench starts
//                                    these, and tests/bench/peers the one with the plugins of a model's layers
#include "bench/support/host.hpp"
#include "bench/support/nothing_copies.hpp"
#include "bench/support/report.hpp"
#include "bench/workers/worker.hpp"
#include "support/temporary_folder.hpp"

#include <layerhub/layerhub.hpp>

#include <fmt/format.h>
#include <boost/filesystem.hpp>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>

namespace {

using namespace layerhub::bench;
namespace fs = boost::filesystem;

layerhub::Mapping named_mapping() {
  const layerhub::LayerRepository repository{.repo_id = "bench/nothing", .layer_name = "Unchecked", .revision = "v1"};
  return {{"Unchecked", {{"cpu", repository}}}};
}

layerhub::Mapping all_that_is_found() { return layerhub::automatic_mapping(); }

double start(const std::string& root, layerhub::Mapping (*mapping)()) {
  std::int64_t shape = 1, x = 0, y = 0;
  const DLTensor from{&x, {kDLCPU, 0}, 1, {kDLInt, 64, 1}, &shape, nullptr, 0};
  DLTensor to = from;
  to.data = &y;
  std::optional<layerhub::use_kernel_mapping> scope;  // ends with the sample: leaving it is no part of a start
  const Unchecked layer;
  return nanoseconds_of([&] {
    layerhub::set_plugin_roots({root});
    scope.emplace(mapping());
    layerhub::kernelize(layer, {.fallback = layerhub::Fallback::never});
    layer(from, to);
  });
}

// The plugins of a model's layers, each with a library for every kind of processor that its kernels know: one of each
// is chosen and opened.
struct Model {
  SiluAndMul activation;
  RMSNorm norm{64};
  Linear linear{64, 64, "gguf.q4_1"};
  CausalAttention attention;
  void visit_layers(auto&& visit) { visit(activation), visit(norm), visit(linear), visit(attention); }
};

double start_model() {
  Model model;
  std::optional<layerhub::use_kernel_mapping> scope;
  return nanoseconds_of([&] {
    scope.emplace(built_plugins());
    layerhub::kernelize(model, {.fallback = layerhub::Fallback::never});
  });
}

double open_all(const std::vector<std::string>& files) {
  return nanoseconds_of([&] {
    for (const std::string& file : files) {
      open_bare(file);
    }
  });
}

// One sample for the process that started this one: it asks, so that its clock does not count the start of a process.
int child(const std::vector<std::string>& arguments) {
  std::string line;
  std::getline(std::cin, line);
  const std::string& what = arguments.at(1);
  const double took = what == "model"    ? start_model()
                      : what == "dlopen" ? open_all({arguments.begin() + 2, arguments.end()})
                                         : start(arguments.at(2), what == "start" ? named_mapping : all_that_is_found);
  std::cout << fmt::format("{:.0f}", took) << std::endl;
  return 0;
}

double sample(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"/proc/self/exe", "--child"});
  return Worker(std::move(arguments), 0).nanoseconds("go");
}

// A plugin directory with the bench's plugin and `others` more like it, for as long as this object is there.
class PluginDirectory {
 public:
  PluginDirectory(int others, bool own_libraries) {
    const fs::path original = variant_of_nothing();
    add(original, "nothing", "", own_libraries);
    for (int i = 0; i < others; ++i) {
      add(original, fmt::format("nothing-{:05}", i), fmt::format("{:05}", i), own_libraries);
    }
    std::sort(libraries_.begin(), libraries_.end());
  }

  std::string root() const { return root_.path().string(); }
  // One library of each plugin.
  const std::vector<std::string>& libraries() const { return libraries_; }

 private:
  void add(const fs::path& from, const std::string& name, const std::string& suffix, bool own_libraries) {
    const fs::path to = root_.path() / "bench" / name / "v1" / "build" / from.filename();
    fs::create_directories(to);
    std::ifstream in((from / "metadata.json").string());
    std::string text{std::istreambuf_iterator<char>(in), {}};
    for (const auto& [old, renamed] :
         {std::pair<std::string, std::string>{"\"bench/nothing\"", "\"bench/" + name + "\""},
          {"\"Checked\"", "\"Checked" + suffix + "\""},
          {"\"Unchecked\"", "\"Unchecked" + suffix + "\""}}) {
      for (std::size_t at = 0; (at = text.find(old, at)) != std::string::npos; at += renamed.size()) {
        text.replace(at, old.size(), renamed);
      }
    }
    std::ofstream((to / "metadata.json").string()) << text;
    for (const fs::directory_entry& file : fs::directory_iterator(from)) {
      if (file.path().extension() == ".so") {
        const fs::path target = to / file.path().filename();
        if (own_libraries) {
          fs::copy_file(file.path(), target);
        } else {
          fs::create_hard_link(file.path(), target);
        }
      }
    }
    libraries_.push_back((to / "nothing-v2.so").string());
  }

  layerhub::testing::TemporaryFolder root_;
  std::vector<std::string> libraries_;
};

void measure(Report& report) {
  const PluginDirectory one(0, true), hundred(99, true);
  std::vector<std::string> open_hundred{"dlopen"};
  open_hundred.insert(open_hundred.end(), hundred.libraries().begin(), hundred.libraries().end());
  const auto compare = [&](std::vector<std::string> ours, std::vector<std::string> theirs) {
    sample(ours), sample(theirs);
    return compare_measured([&] { return sample(ours); }, [&] { return sample(theirs); }, report.pairs());
  };
  report.heading("dlopen of one library of each plugin, faster by");
  report.add("start with 100 plugins, one is named", compare({"start", hundred.root()}, open_hundred).inverse(),
             at_least(15));
  report.add("start with 100 plugins, all are found", compare({"automatic", hundred.root()}, open_hundred).inverse(),
             at_least(15));
  report.add("start with one plugin", compare({"start", one.root()}, {"dlopen", one.libraries()[0]}).inverse(),
             std::nullopt);  // of loading alone there is open_bench.cpp

  const PluginDirectory many(9'999, false);
  report.heading("the start with 100 plugins");
  report.add("start with 10,000 variants, one is named", compare({"start", many.root()}, {"start", hundred.root()}),
             at_most(1.2));
  report.heading("20 ms, a constant");
  report.add("start with 10,000 variants, one is named",
             compare_to_constant(
                 [&] {
                   return sample({"start", many.root()});
                 },
                 20e6, report.pairs()),
             at_most(1));
}

}  // namespace

int main(int argc, char** argv) {
  return layerhub::bench::run(argc, argv, {"--child"}, [](Report& report) {
    if (!report.arguments().empty() && report.arguments()[0] == "--child") {
      return child(report.arguments());
    }
    measure(report);
    return 0;
  });
}
