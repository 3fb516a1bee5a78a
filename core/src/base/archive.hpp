// SPDX-License-Identifier: Apache-2.0
// Values to bytes and back, for files that the same build of layerhub reads again. A struct says its fields once, for
// both directions, by a function beside it:
//
//   template <class Archive, same_value_as<Point> P>
//   void fields(Archive& archive, P& point) { archive(point.x, point.y); }
//
// The reader trusts nothing: what ends too early or claims more than is left fails, and leaves the values unspecified.
#pragma once

#include <boost/filesystem/path.hpp>

#include <concepts>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace layerhub {

// T or const T: the writer's values are const.
template <class Value, class T>
concept same_value_as = std::same_as<std::remove_const_t<Value>, T>;

class ArchiveWriter {
 public:
  template <class... Values>
  void operator()(const Values&... values) {
    (write(values), ...);
  }
  std::string& bytes() { return bytes_; }

 private:
  template <class T>
    requires std::is_arithmetic_v<T>
  void write(T value) {
    char raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    bytes_.append(raw, sizeof raw);
  }
  void write(std::string_view text) {
    write(static_cast<std::uint32_t>(text.size()));
    bytes_ += text;
  }
  void write(const std::string& text) { write(std::string_view(text)); }
  void write(const boost::filesystem::path& path) { write(path.native()); }
  template <class T>
  void write(const std::optional<T>& value) {
    write(value.has_value());
    if (value) {
      write(*value);
    }
  }
  template <class T>
  void write(const std::vector<T>& list) {
    write(static_cast<std::uint32_t>(list.size()));
    for (const T& value : list) {
      write(value);
    }
  }
  template <class K, class V>
  void write(const std::map<K, V>& map) {
    write(static_cast<std::uint32_t>(map.size()));
    for (const auto& [key, value] : map) {
      (*this)(key, value);
    }
  }
  template <class T>
    requires std::is_class_v<T>
  void write(const T& value) {
    fields(*this, value);
  }

  std::string bytes_;
};

class ArchiveReader {
 public:
  explicit ArchiveReader(std::string_view bytes) : rest_(bytes) {}

  template <class... Values>
  void operator()(Values&... values) {
    (read(values), ...);
  }
  // Everything was there, and nothing is left.
  bool is_complete() const { return !failed_ && rest_.empty(); }

 private:
  std::string_view take(std::size_t bytes) {
    failed_ |= bytes > rest_.size();
    const std::string_view taken = failed_ ? std::string_view() : rest_.substr(0, bytes);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  // No element takes less than a byte.
  std::uint32_t read_size() {
    std::uint32_t size = 0;
    read(size);
    failed_ |= size > rest_.size();
    return failed_ ? 0 : size;
  }

  template <class T>
    requires std::is_arithmetic_v<T>
  void read(T& value) {
    if (const std::string_view raw = take(sizeof value); raw.size() == sizeof value) {
      std::memcpy(&value, raw.data(), sizeof value);
    }
  }
  void read(bool& value) {
    const std::string_view raw = take(1);
    value = !raw.empty() && raw[0] != 0;
  }
  void read(std::string& text) { text = take(read_size()); }
  void read(std::string_view& text) { text = take(read_size()); }  // within the bytes that are read
  void read(boost::filesystem::path& path) {
    std::string text;
    read(text);
    path = std::move(text);
  }
  template <class T>
  void read(std::optional<T>& value) {
    bool is_there = false;
    read(is_there);
    value.reset();
    if (is_there) {
      read(value.emplace());
    }
  }
  template <class T>
  void read(std::vector<T>& list) {
    const std::uint32_t size = read_size();
    list.clear();
    for (std::uint32_t i = 0; i < size && !failed_; ++i) {
      read(list.emplace_back());
    }
  }
  template <class K, class V>
  void read(std::map<K, V>& map) {
    const std::uint32_t size = read_size();
    map.clear();
    for (std::uint32_t i = 0; i < size && !failed_; ++i) {
      std::pair<K, V> entry;
      (*this)(entry.first, entry.second);
      map.insert(map.end(), std::move(entry));
    }
  }
  template <class T>
    requires std::is_class_v<T>
  void read(T& value) {
    fields(*this, value);
  }

  std::string_view rest_;
  bool failed_ = false;
};

}  // namespace layerhub
