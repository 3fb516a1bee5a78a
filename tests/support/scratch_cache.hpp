// SPDX-License-Identifier: Apache-2.0
// A cache folder of a test's own, and a count of the files that are read through base/os.
#pragma once

#include "base/os.hpp"
#include "support/temporary_folder.hpp"

#include <boost/filesystem/operations.hpp>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace layerhub::testing {

class ScratchCache {
 public:
  ScratchCache() { ::setenv("LAYERHUB_CACHE", folder_.path().c_str(), 1); }
  ~ScratchCache() { ::unsetenv("LAYERHUB_CACHE"); }

  const boost::filesystem::path& folder() const { return folder_.path(); }

  std::vector<boost::filesystem::path> answers() const {
    std::vector<boost::filesystem::path> files;
    boost::system::error_code error;
    for (boost::filesystem::directory_iterator entry(folder() / "answers", error), end; !error && entry != end;
         entry.increment(error)) {
      files.push_back(entry->path());
    }
    return files;
  }

 private:
  TemporaryFolder folder_;
};

// How often `read` opens files whose path ends so.
template <class Read>
int times_opened(std::string_view ending, Read&& read) {
  static std::string_view wanted;
  static std::atomic<int> count;
  static int (*real_open)(const char*);
  wanted = ending;
  count = 0;
  real_open = system_calls().open_to_read;
  SystemCalls calls = system_calls();
  calls.open_to_read = [](const char* path) {
    count += std::string_view(path).ends_with(wanted) ? 1 : 0;
    return real_open(path);
  };
  replace_system_calls(&calls);
  read();
  replace_system_calls(nullptr);
  return count;
}

// Long enough that what a test has just written is old enough to be remembered.
inline void settle() { std::this_thread::sleep_for(std::chrono::milliseconds(60)); }

}  // namespace layerhub::testing
