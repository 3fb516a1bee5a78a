// SPDX-License-Identifier: Apache-2.0
#include "gguf.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace smollm2 {
namespace {

constexpr std::uint64_t max_entries = 1u << 20, max_text = 1u << 24;

struct Block {
  std::uint64_t elements, bytes;
};

class Parser {
 public:
  Parser(const std::string& path, std::span<const std::byte> file) : path_(path), file_(file) {}

  void run(std::map<std::string, GgufValue, std::less<>>& values,
           std::map<std::string, GgufTensor, std::less<>>& tensors) {
    if (file_.size() < 4 || std::memcmp(file_.data(), "GGUF", 4) != 0) {
      fail("it is not a GGUF file", "give one, such as SmolLM2-135M-Instruct.Q4_1.gguf");
    }
    at_ = 4;
    if (const auto version = read<std::uint32_t>(); version < 2 || version > 3) {
      fail("it is GGUF version " + std::to_string(version), "versions 2 and 3 can be read");
    }
    const std::uint64_t n_tensors = count("tensors"), n_values = count("metadata entries");
    for (std::uint64_t i = 0; i < n_values; ++i) {
      std::string key(text());
      const auto type = read<std::uint32_t>();
      values.insert_or_assign(std::move(key), value(type));
    }
    std::vector<std::pair<GgufTensor, std::uint64_t>> found;
    for (std::uint64_t i = 0; i < n_tensors; ++i) {
      found.push_back(tensor());
    }
    place(found, values, tensors);
  }

 private:
  [[noreturn]] void fail(const std::string& fact, const std::string& remedy) const {
    throw GgufError(path_ + ": " + fact + "; " + remedy);
  }
  [[noreturn]] void cut_off() const {
    fail("it is cut off at " + std::to_string(file_.size()) + " bytes", "fetch it again");
  }

  std::span<const std::byte> take(std::uint64_t bytes) {
    if (bytes > file_.size() - at_) {
      cut_off();
    }
    const auto part = file_.subspan(at_, bytes);
    at_ += bytes;
    return part;
  }
  template <class T>
  T read() {
    T to;
    std::memcpy(&to, take(sizeof to).data(), sizeof to);
    return to;
  }
  std::uint64_t count(const char* of) {
    const auto n = read<std::uint64_t>();
    if (n > max_entries) {
      fail("it claims " + std::to_string(n) + " " + of, "it is damaged, fetch it again");
    }
    return n;
  }
  std::string_view text() {
    const auto size = read<std::uint64_t>();
    if (size > max_text) {
      fail("it holds a text of " + std::to_string(size) + " bytes", "it is damaged, fetch it again");
    }
    const auto bytes = take(size);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  GgufValue value(std::uint32_t type) {
    switch (type) {
      case 8: return std::string(text());
      case 7: return read<std::uint8_t>() != 0;
      case 9: return array();
      case 6: return static_cast<double>(read<float>());
      case 12: return read<double>();
      default: return static_cast<std::uint64_t>(whole(type));
    }
  }
  std::int64_t whole(std::uint32_t type) {
    switch (type) {
      case 0: return read<std::uint8_t>();
      case 1: return read<std::int8_t>();
      case 2: return read<std::uint16_t>();
      case 3: return read<std::int16_t>();
      case 4: return read<std::uint32_t>();
      case 5: return read<std::int32_t>();
      case 10:
      case 11: return read<std::int64_t>();
      default: fail("it has metadata of the unknown type " + std::to_string(type), "it is damaged or too new");
    }
  }
  GgufValue array() {
    const auto type = read<std::uint32_t>();
    const std::uint64_t n = count("entries of a list");
    if (type == 8) {
      GgufTexts texts;
      texts.reserve(n);
      for (std::uint64_t i = 0; i < n; ++i) {
        texts.push_back(text());
      }
      return texts;
    }
    std::vector<double> numbers;
    for (std::uint64_t i = 0; i < n; ++i) {
      numbers.push_back(type == 6    ? read<float>()
                        : type == 12 ? read<double>()
                        : type == 7  ? read<std::uint8_t>()
                                     : static_cast<double>(whole(type)));
    }
    return numbers;
  }

  // GGUF writes the fastest dimension first; here rows come first.
  std::pair<GgufTensor, std::uint64_t> tensor() {
    GgufTensor t;
    t.name = text();
    const auto rank = read<std::uint32_t>();
    if (rank == 0 || rank > 4) {
      fail("tensor " + t.name + " has " + std::to_string(rank) + " dimensions", "it is damaged, fetch it again");
    }
    for (std::uint32_t d = 0; d < rank; ++d) {
      const auto size = read<std::uint64_t>();
      if (size == 0 || size > (std::uint64_t{1} << 31)) {
        fail("tensor " + t.name + " has a dimension of " + std::to_string(size), "it is damaged, fetch it again");
      }
      t.shape.insert(t.shape.begin(), static_cast<std::int64_t>(size));
    }
    t.type = static_cast<TensorType>(read<std::uint32_t>());
    return {std::move(t), read<std::uint64_t>()};
  }

  Block block_of(const GgufTensor& t) const {
    switch (t.type) {
      case TensorType::f32: return {1, 4};
      case TensorType::f16: return {1, 2};
      case TensorType::q4_0: return {32, 18};
      case TensorType::q4_1: return {32, 20};
      case TensorType::q8_0: return {32, 34};
    }
    fail("tensor " + t.name + " is of type " + std::to_string(static_cast<std::uint32_t>(t.type)),
         "F32, F16, Q8_0, Q4_0 and Q4_1 can be read");
  }

  void place(std::vector<std::pair<GgufTensor, std::uint64_t>>& found,
             const std::map<std::string, GgufValue, std::less<>>& values,
             std::map<std::string, GgufTensor, std::less<>>& tensors) {
    std::uint64_t alignment = 32;
    if (const auto given = values.find("general.alignment"); given != values.end()) {
      const auto* number = std::get_if<std::uint64_t>(&given->second);
      if (number == nullptr || *number == 0 || *number > 65536 || (*number & (*number - 1)) != 0) {
        fail("its alignment is no power of two", "it is damaged, fetch it again");
      }
      alignment = *number;
    }
    const std::uint64_t data = (at_ + alignment - 1) / alignment * alignment;
    for (auto& [t, offset] : found) {
      const Block block = block_of(t);
      std::uint64_t elements = 1, begin = 0;
      bool overflow = __builtin_add_overflow(data, offset, &begin);
      for (const std::int64_t size : t.shape) {
        overflow |= __builtin_mul_overflow(elements, static_cast<std::uint64_t>(size), &elements);
      }
      if (overflow || static_cast<std::uint64_t>(t.columns()) % block.elements != 0 || offset % alignment != 0) {
        fail("tensor " + t.name + " has a size or place that cannot be", "it is damaged, fetch it again");
      }
      std::uint64_t bytes;
      if (__builtin_mul_overflow(elements / block.elements, block.bytes, &bytes) || begin > file_.size() ||
          bytes > file_.size() - begin) {
        fail("tensor " + t.name + " lies beyond its end at " + std::to_string(file_.size()) + " bytes",
             "it is cut off, fetch it again");
      }
      t.bytes = file_.subspan(begin, bytes);
      std::string name = t.name;
      tensors.insert_or_assign(std::move(name), std::move(t));
    }
  }

  const std::string& path_;
  std::span<const std::byte> file_;
  std::uint64_t at_ = 0;
};

}  // namespace

const char* format_of(TensorType type) {
  switch (type) {
    case TensorType::q4_0: return "gguf.q4_0";
    case TensorType::q4_1: return "gguf.q4_1";
    case TensorType::q8_0: return "gguf.q8_0";
    default: return "";
  }
}

Gguf::Gguf(const std::string& path) : path_(path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info {};
  if (file < 0 || fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
    const std::string fact = file < 0 ? std::strerror(errno) : "it is not a file";
    if (file >= 0) {
      close(file);
    }
    throw GgufError(path + ": " + fact + "; run samples/run, which fetches the model, or give --model FILE");
  }
  size_ = static_cast<std::size_t>(info.st_size);
  mapped_ = size_ == 0 ? nullptr : mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
  close(file);
  if (mapped_ == nullptr || mapped_ == MAP_FAILED) {
    mapped_ = nullptr;
    throw GgufError(path + ": it is empty or cannot be mapped; fetch it again");
  }
  try {
    Parser(path_, {static_cast<const std::byte*>(mapped_), size_}).run(values_, tensors_);
  } catch (...) {
    munmap(mapped_, size_);
    throw;
  }
}

Gguf::~Gguf() { munmap(mapped_, size_); }

const GgufValue& Gguf::value(std::string_view key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) {
    throw GgufError(path_ + ": it has no " + std::string(key) + "; give a model of the llama architecture");
  }
  return found->second;
}

namespace {
template <class T>
const T& typed(const GgufValue& value, const std::string& path, std::string_view key) {
  if (const T* typed_value = std::get_if<T>(&value)) {
    return *typed_value;
  }
  throw GgufError(path + ": its " + std::string(key) +
                  " is of another kind than expected; it is damaged, fetch it again");
}
}  // namespace

std::uint64_t Gguf::integer(std::string_view key) const { return typed<std::uint64_t>(value(key), path_, key); }
double Gguf::real(std::string_view key) const { return typed<double>(value(key), path_, key); }
const GgufTexts& Gguf::texts(std::string_view key) const { return typed<GgufTexts>(value(key), path_, key); }
const std::vector<double>& Gguf::numbers(std::string_view key) const {
  return typed<std::vector<double>>(value(key), path_, key);
}

void Gguf::give_back(const void* tensor_data) const {
  const auto tensor = std::find_if(tensors_.begin(), tensors_.end(),
                                   [&](const auto& named) { return named.second.bytes.data() == tensor_data; });
  if (tensor == tensors_.end()) {
    return;
  }
  const auto begin = reinterpret_cast<std::uintptr_t>(tensor_data);
  give_back(begin, begin + tensor->second.bytes.size());
}

void Gguf::give_back_metadata() const {
  const auto begin = reinterpret_cast<std::uintptr_t>(mapped_);
  std::uintptr_t end = begin + size_;
  for (const auto& [name, tensor] : tensors_) {
    end = std::min(end, reinterpret_cast<std::uintptr_t>(tensor.bytes.data()));
  }
  give_back(begin, end);
}

void Gguf::give_back_all() const {
  const auto begin = reinterpret_cast<std::uintptr_t>(mapped_);
  give_back(begin, begin + size_);
}

void Gguf::give_back(std::uintptr_t begin, std::uintptr_t end) const {
  begin -= begin % static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);  // a hint: without it they only stay longer
}

const GgufTensor& Gguf::tensor(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    throw GgufError(path_ + ": it has no tensor " + std::string(name) + "; give a model of the llama architecture");
  }
  return found->second;
}

}  // namespace smollm2
