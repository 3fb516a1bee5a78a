// SPDX-License-Identifier: Apache-2.0
#include "support/test_environment.hpp"

#include <boost/filesystem/operations.hpp>

#include <algorithm>
#include <fstream>
#include <map>

namespace layerhub::testing {

namespace fs = boost::filesystem;

TestEnvironment::TestEnvironment() { set_plugin_roots({root()}); }

TestEnvironment::~TestEnvironment() {
  register_kernel_mapping({}, false);
  set_plugin_roots({});
}

fs::path fake_library(const std::string& fake) { return fs::path(LAYERHUB_FAKES_ROOT) / (fake + ".so"); }

fs::path TestEnvironment::add(const std::string& fake, const std::function<void(Json&)>& edit) {
  fs::path described = fs::path(LAYERHUB_FAKES_ROOT) / (fake + ".json");
  const bool has_query = fs::exists(described);
  std::ifstream file((has_query ? described : fs::path(LAYERHUB_FAKES_ROOT) / "twice.json").string());
  Json metadata = Json::parse(file);
  Json& library = metadata["layerhub"]["libraries"][0];
  if (!has_query) {
    std::string repo = "fakes/" + fake;
    std::replace(repo.begin(), repo.end(), '_', '-');
    metadata["layerhub"]["repo"] = repo;
    library["build-id"] = "fake-" + fake;
  }
  library["file"] = fake + ".so";
  if (edit) {
    edit(metadata);
  }
  const fs::path folder =
      this->folder(metadata["layerhub"]["repo"], metadata["layerhub"]["revision"], metadata["backend"]["type"]);
  fs::create_directories(folder);
  fs::copy_file(fake_library(fake), folder / (fake + ".so"), fs::copy_options::overwrite_existing);
  std::ofstream((folder / "metadata.json").string()) << metadata.dump(2);
  return folder;
}

fs::path TestEnvironment::folder(const std::string& repo, const std::string& revision,
                                 const std::string& backend) const {
  const std::map<std::string, std::string> tags{{"cuda", "cu130"}, {"rocm", "rocm52"}, {"opencl", "opencl12"}};
  const auto tag = tags.find(backend);
  return root_.path() / repo / revision / "build" /
         ("layerhub1-" + (tag == tags.end() ? backend : tag->second) + "-x86_64-linux");
}

Mapping scale_from(const std::string& repo, const std::string& revision) {
  return {{"Scale", {{"cpu", LayerRepository{.repo_id = repo, .layer_name = "Scale", .revision = revision}}}}};
}

std::string error_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& error) {
    std::string text = error.what();
    for (const Fact& fact : error.reason().facts) {
      text += "\n  " + fact.name + ": " + fact.value;
    }
    return text;
  }
  return "no error";
}

}  // namespace layerhub::testing
