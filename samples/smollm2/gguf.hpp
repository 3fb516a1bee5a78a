// SPDX-License-Identifier: Apache-2.0
// A GGUF file, mapped read-only: its metadata and its tensors, every count and offset checked before it is followed.
// Format: version 2 and 3, little-endian, as in ggml's docs/gguf.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace smollm2 {

// One line: "<file>: <fact>; <remedy>".
struct GgufError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class TensorType : std::uint32_t { f32 = 0, f16 = 1, q4_0 = 2, q4_1 = 3, q8_0 = 8 };

// "gguf.q4_1" of a block format, "" of plain numbers.
const char* format_of(TensorType type);

struct GgufTensor {
  std::string name;
  std::vector<std::int64_t> shape;  // rows first: [vocabulary, width]
  TensorType type = TensorType::f32;
  std::span<const std::byte> bytes;

  std::int64_t columns() const { return shape.back(); }
  std::int64_t rows() const { return shape.size() == 1 ? 1 : shape[0]; }
};

// A list's texts stay where the file is mapped: there are a hundred thousand of them.
using GgufTexts = std::vector<std::string_view>;
using GgufValue = std::variant<std::uint64_t, double, bool, std::string, GgufTexts, std::vector<double>>;

class Gguf {
 public:
  explicit Gguf(const std::string& path);  // throws GgufError
  ~Gguf();
  Gguf(const Gguf&) = delete;
  Gguf& operator=(const Gguf&) = delete;

  // Of metadata, by key. Throw GgufError where the key is missing or of another type.
  std::uint64_t integer(std::string_view key) const;
  double real(std::string_view key) const;
  const GgufTexts& texts(std::string_view key) const;  // they live as long as the file does
  const std::vector<double>& numbers(std::string_view key) const;
  bool has(std::string_view key) const { return values_.contains(key); }

  const GgufTensor& tensor(std::string_view name) const;  // throws GgufError
  bool has_tensor(std::string_view name) const { return tensors_.contains(name); }
  const std::string& path() const { return path_; }

  // The pages of the tensor whose bytes begin there leave this process' memory; whoever reads them again gets them from
  // the file. Data of no tensor is left alone. [thread-safe]
  void give_back(const void* tensor_data) const;
  // The same for all that stands before the tensors: texts are read again where they are needed. [thread-safe]
  void give_back_metadata() const;
  // The same for the whole file. [thread-safe]
  void give_back_all() const;

 private:
  void give_back(std::uintptr_t begin, std::uintptr_t end) const;
  const GgufValue& value(std::string_view key) const;

  std::string path_;
  void* mapped_ = nullptr;
  std::size_t size_ = 0;
  std::map<std::string, GgufValue, std::less<>> values_;
  std::map<std::string, GgufTensor, std::less<>> tensors_;
};

}  // namespace smollm2
