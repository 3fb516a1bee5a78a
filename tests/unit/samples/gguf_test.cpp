// SPDX-License-Identifier: Apache-2.0
#include "gguf.hpp"

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <cstring>
#include <fstream>

using namespace smollm2;

namespace {

// A file with one text, one number and one tensor of four floats, byte by byte.
class Writer {
 public:
  template <class T>
  Writer& add(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Writer& text(const std::string& value) {
    add(std::uint64_t{value.size()});
    bytes_ += value;
    return *this;
  }
  Writer& raw(const std::string& value) {
    bytes_ += value;
    return *this;
  }
  Writer& align() {
    bytes_.resize((bytes_.size() + 31) / 32 * 32);
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

std::string small_file(std::uint32_t tensor_type = 0, std::uint64_t offset = 0) {
  Writer w;
  w.raw("GGUF").add(std::uint32_t{3}).add(std::uint64_t{1}).add(std::uint64_t{2});
  w.text("name").add(std::uint32_t{8}).text("tiny").text("count").add(std::uint32_t{4}).add(std::uint32_t{7});
  w.text("w").add(std::uint32_t{2}).add(std::uint64_t{2}).add(std::uint64_t{2}).add(tensor_type).add(offset);
  w.align();
  for (const float value : {1.f, 2.f, 3.f, 4.f}) w.add(value);
  return w.bytes();
}

class File {
 public:
  explicit File(const std::string& bytes) { std::ofstream(path(), std::ios::binary) << bytes; }
  std::string error() const {
    try {
      const Gguf opened(path());
      return "no error";
    } catch (const GgufError& failure) {
      return failure.what();
    }
  }
  std::string path() const { return folder_.file("model.gguf"); }

 private:
  layerhub::testing::TemporaryFolder folder_;
};

}  // namespace

TEST_CASE("a GGUF file gives its metadata and its tensors, rows first") {
  const File file(small_file());
  const Gguf gguf(file.path());
  CHECK(gguf.integer("count") == 7);
  CHECK(gguf.tensor("w").shape == std::vector<std::int64_t>{2, 2});
  float third;
  std::memcpy(&third, gguf.tensor("w").bytes.data() + 8, 4);
  CHECK(third == 3);
  CHECK_THROWS_AS(gguf.integer("name"), GgufError);
  CHECK_THROWS_AS(gguf.tensor("x"), GgufError);
}

TEST_CASE("a GGUF file that is cut off anywhere is refused in one line") {
  const std::string whole = small_file();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string error = File(whole.substr(0, size)).error();
    INFO(size << ": " << error);
    CHECK(error != "no error");
    CHECK(error.find('\n') == std::string::npos);
  }
}

TEST_CASE("a GGUF file with any byte changed is read or refused, never more") {
  const std::string whole = small_file();
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 0xff);
    CHECK_NOTHROW(File(changed).error());
  }
}

TEST_CASE("an unknown tensor type and an offset beyond the file are refused by the tensor's name") {
  CHECK(File(small_file(99)).error().find("tensor w is of type 99") != std::string::npos);
  CHECK(File(small_file(0, 1u << 20)).error().find("tensor w lies beyond") != std::string::npos);
}
