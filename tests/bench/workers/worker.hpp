// SPDX-License-Identifier: Apache-2.0
// Another process that is asked for its times: it reads a command a line and answers a line
// (samples/smollm2/session.hpp has the commands of a model). Two of them take turns: the one that is not asked sleeps,
// warm, in its read.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include <sys/types.h>

namespace layerhub::bench {

class Worker {
 public:
  // threads == 1 pins the process to the last processor that this one may use.
  Worker(std::vector<std::string> command, unsigned threads);
  ~Worker();  // ends its input and waits for it
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Throws std::runtime_error with the worker's words where it answers "error ..." or ends.
  std::string ask(const std::string& command);
  double nanoseconds(const std::string& command);

 private:
  std::string name_;
  pid_t process_ = -1;
  std::FILE *to_ = nullptr, *from_ = nullptr;
};

// Asks after a pause in which the threads that served somebody else have gone to sleep: they may spin for a while.
double rested(Worker& worker, const std::string& command);

}  // namespace layerhub::bench
