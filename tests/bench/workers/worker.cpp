// SPDX-License-Identifier: Apache-2.0
#include "bench/workers/worker.hpp"

#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

namespace layerhub::bench {
namespace {

void pin_to_last_processor() {
  cpu_set_t allowed, one;
  CPU_ZERO(&one);
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
    for (int cpu = CPU_SETSIZE - 1; cpu >= 0; --cpu) {
      if (CPU_ISSET(cpu, &allowed)) {
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
        return;
      }
    }
  }
}

}  // namespace

Worker::Worker(std::vector<std::string> command, unsigned threads) : name_(command.at(0)) {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) {
    throw std::system_error(errno, std::generic_category(), "pipe");
  }
  std::vector<char*> arguments;
  for (std::string& word : command) {
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);
  process_ = fork();
  if (process_ == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    if (threads == 1) {
      pin_to_last_processor();
    }
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  to_ = fdopen(in[1], "w");
  from_ = fdopen(out[0], "r");
  if (process_ < 0 || to_ == nullptr || from_ == nullptr) {
    throw std::system_error(errno, std::generic_category(), name_);
  }
}

Worker::~Worker() {
  std::fclose(to_);
  std::fclose(from_);
  waitpid(process_, nullptr, 0);
}

std::string Worker::ask(const std::string& command) {
  std::string answer;
  if (std::fputs((command + "\n").c_str(), to_) >= 0 && std::fflush(to_) == 0) {
    char* line = nullptr;
    std::size_t capacity = 0;
    const ssize_t length = getline(&line, &capacity, from_);
    answer.assign(line == nullptr || length < 0 ? "" : line, length < 0 ? 0 : static_cast<std::size_t>(length));
    std::free(line);
  }
  if (answer.empty() || answer.starts_with("error")) {
    throw std::runtime_error(name_ + ": `" + command.substr(0, 40) +
                             "`: " + (answer.empty() ? "it ended; run it by hand to see why" : answer));
  }
  answer.pop_back();
  return answer;
}

double Worker::nanoseconds(const std::string& command) { return std::stod(ask(command)); }

double rested(Worker& worker, const std::string& command) {
  std::this_thread::sleep_for(std::chrono::milliseconds(40));
  return worker.nanoseconds(command);
}

}  // namespace layerhub::bench
