// SPDX-License-Identifier: Apache-2.0
// What is measured on a card: calls of layers on tensors in its memory, at the sizes of real models, each held to its
// layer's reference before and after it is timed.
//
// A call that memory bounds moves some hundred MiB, in several layers one after the other where one has not as much. A
// call that arithmetic bounds has the many rows of a prompt.
#pragma once

#include "bench/support/report.hpp"
#include "card.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace layerhub::bench {

struct Sizes {
  std::size_t bytes;              // that a call bound by memory moves at most
  std::int64_t outputs, columns;  // of the weight of a Linear
  std::int64_t prompt;            // rows of a prefill
  struct Decode {
    std::int64_t depth, group;  // positions before the token; query heads of a key head
  } decodes[2];
};

class Subject {
 public:
  virtual ~Subject() = default;
  virtual void call() = 0;  // enqueues on the stream in use
  // What is wrong with the outputs of the calls so far: "" or "output[17] is 0.25, want 0.3 (...)".
  virtual std::string complaint() const = 0;

  std::size_t moved = 0;       // bytes of a call
  double multiply_adds = 0;    // of a call
  DLDataType multiplied = {};  // of which dtype they are
};

struct SubjectRow {
  std::string name;
  std::optional<Goal> goal;
  std::function<std::unique_ptr<Subject>(const Card&)> make;
};
std::vector<SubjectRow> rows_bound_by_memory(const Sizes& sizes);
std::vector<SubjectRow> rows_bound_by_arithmetic(const Sizes& sizes);

// The layers of all rows, each by its plugin of this project or by none.
Mapping plugins_for_cards();

}  // namespace layerhub::bench
