// SPDX-License-Identifier: Apache-2.0
// To open a plugin's library changes nothing in the process. A library linked with -ffast-math would set
// flush-to-zero in the thread that opens it, and the host's own arithmetic would silently differ from then on. A
// constructor in a library for a wide processor would die of an illegal instruction: so the libraries of all
// levels are opened here, on any machine.
#include "support/catch.hpp"

#include <dlfcn.h>
#include <xmmintrin.h>

#include <cfenv>
#include <clocale>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

namespace {

std::vector<std::filesystem::path> built_libraries() {
  std::vector<std::filesystem::path> libraries;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(LAYERHUB_PLUGIN_ROOT)) {
    if (entry.path().extension() == ".so") libraries.push_back(entry.path());
  }
  return libraries;
}

// What a thread and a process have that a library could change behind their back.
struct ProcessState {
  unsigned mxcsr = _mm_getcsr();
  int rounding = std::fegetround();
  std::string locale = std::setlocale(LC_ALL, nullptr);
  decltype(SIG_DFL) on_fault = handler_of(SIGSEGV);
  decltype(SIG_DFL) on_pipe = handler_of(SIGPIPE);
  bool operator==(const ProcessState&) const = default;

  static decltype(SIG_DFL) handler_of(int signal) {
    struct sigaction action = {};
    sigaction(signal, nullptr, &action);
    return action.sa_handler;
  }
};

}  // namespace

TEST_CASE("Opening a plugin's library changes neither arithmetic modes, locale nor signal handlers") {
  const auto libraries = built_libraries();
  REQUIRE_FALSE(libraries.empty());
  const ProcessState before;
  for (const auto& library : libraries) {
    INFO(library.string());
    void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    INFO((handle == nullptr ? dlerror() : "opened"));
    REQUIRE(handle != nullptr);
    CHECK(ProcessState() == before);
    dlclose(handle);
    CHECK(ProcessState() == before);
  }
}
