// SPDX-License-Identifier: Apache-2.0
// What starting costs: from the first call of layerhub to the return of the first call of a layer, in a process of its
// own for each sample, with everything in the page cache. The plugin directories are made of copies of one small
// plugin, each under a name of its own, with layers and libraries of its own.
//
// "Start" binds and calls one layer, which an explicit mapping names, or the mapping of everything that is found. What
// it is held against: opening the libraries, which is what a host does that keeps no metadata.
//
//   load_bench [--quick] [--json FILE]
//   load_bench --child start|automatic ROOT | dlopen FILE...    one sample, in nanoseconds: the bench starts these
#include "bench/support/report.hpp"
#include "bench/workers/worker.hpp"

#include <layerhub/layerhub.hpp>

#include <fmt/format.h>
#include <boost/filesystem.hpp>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>

#include <dlfcn.h>

namespace {

using namespace layerhub::bench;
namespace fs = boost::filesystem;

struct Unchecked : layerhub::use_kernel_forward_from_hub<Unchecked, "Unchecked"> {
  void forward(const DLTensor&, DLTensor&) const { std::abort(); }
};

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

double open_all(const std::vector<std::string>& files) {
  return nanoseconds_of([&] {
    for (const std::string& file : files) {
      void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (library == nullptr || dlsym(library, "lh_plugin_query_v1") == nullptr) {
        fmt::print(stderr, "{}: {}\n", file, dlerror());
        std::exit(1);
      }
    }
  });
}

// One sample for the process that started this one: it asks, so that its clock does not count the start of a process.
int child(const std::vector<std::string>& arguments) {
  std::string line;
  std::getline(std::cin, line);
  const std::string& what = arguments.at(1);
  const double took = what == "dlopen" ? open_all({arguments.begin() + 2, arguments.end()})
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
  PluginDirectory(int others, bool own_libraries)
      : root_(fs::temp_directory_path() / fs::unique_path("layerhub-bench-%%%%%%%%")) {
    const fs::path original = fs::path(LAYERHUB_BENCH_PLUGIN_ROOT) / "bench" / "nothing" / "v1" / "build";
    variant_ = fs::directory_iterator(original)->path().filename();
    add(original / variant_, "nothing", "", own_libraries);
    for (int i = 0; i < others; ++i) {
      add(original / variant_, fmt::format("nothing-{:05}", i), fmt::format("{:05}", i), own_libraries);
    }
    std::sort(libraries_.begin(), libraries_.end());
  }
  ~PluginDirectory() {
    boost::system::error_code ignored;
    fs::remove_all(root_, ignored);
  }
  PluginDirectory(const PluginDirectory&) = delete;
  PluginDirectory& operator=(const PluginDirectory&) = delete;

  std::string root() const { return root_.string(); }
  // One library of each plugin.
  const std::vector<std::string>& libraries() const { return libraries_; }

 private:
  void add(const fs::path& from, const std::string& name, const std::string& suffix, bool own_libraries) {
    const fs::path to = root_ / "bench" / name / "v1" / "build" / variant_;
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

  fs::path root_, variant_;
  std::vector<std::string> libraries_;
};

void measure(Report& report) {
  const PluginDirectory one(0, true), hundred(99, true);
  std::vector<std::string> open_hundred{"dlopen"};
  open_hundred.insert(open_hundred.end(), hundred.libraries().begin(), hundred.libraries().end());
  const auto against = [&](const std::string& name, std::vector<std::string> ours, std::vector<std::string> theirs) {
    sample(ours), sample(theirs);
    return std::pair(name,
                     compare_measured([&] { return sample(ours); }, [&] { return sample(theirs); }, report.pairs()));
  };
  report.heading("dlopen of one library of each plugin");
  const auto named =
      against("start with 100 plugins, one is named, faster by", {"start", hundred.root()}, open_hundred);
  report.add(named.first, named.second.inverse(), at_least(15));
  const auto found =
      against("start with 100 plugins, all are found, faster by", {"automatic", hundred.root()}, open_hundred);
  report.add(found.first, found.second.inverse(), at_least(15));
  const auto bare = against("start with one plugin", {"start", one.root()}, {"dlopen", one.libraries()[0]});
  report.add(bare.first, bare.second, std::nullopt);  // of loading alone there is open_bench.cpp

  const PluginDirectory many(9'999, false);
  report.heading("20 ms, and the start with 100 plugins");
  sample({"start", many.root()});
  report.add("start with 10,000 variants, one is named, to 20 ms",
             compare_measured(
                 [&] {
                   return sample({"start", many.root()});
                 },
                 [] { return 20e6; }, report.pairs()),
             at_most(1));
  const auto growth = against("the same to a start with 100", {"start", many.root()}, {"start", hundred.root()});
  report.add(growth.first, growth.second, at_most(1.2));
}

}  // namespace

int main(int argc, char** argv) {
  Report report(argc, argv);
  if (!report.arguments().empty() && report.arguments()[0] == "--child") {
    return child(report.arguments());
  }
  measure(report);
  return 0;
}
