// SPDX-License-Identifier: Apache-2.0
#include "admission/elf_image.hpp"

#include "base/reason.hpp"

#include <fmt/format.h>

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>

namespace layerhub::admission {
namespace {

constexpr std::uint64_t max_dynamic_entries = 4096;
constexpr std::uint64_t max_symbols = 1u << 20;

#if defined(__x86_64__)
constexpr Elf64_Half this_machine = EM_X86_64;
#elif defined(__aarch64__)
constexpr Elf64_Half this_machine = EM_AARCH64;
#endif

// The bytes of a file, by offset and by the address that they will be loaded at. Nothing is read without a check.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  bool contains(std::uint64_t offset, std::uint64_t size) const {
    return offset <= bytes_.size() && size <= bytes_.size() - offset;
  }
  template <class T>
  std::optional<T> at(std::uint64_t offset) const {
    if (!contains(offset, sizeof(T))) {
      return std::nullopt;
    }
    T value;
    std::memcpy(&value, bytes_.data() + offset, sizeof value);
    return value;
  }
  void add_segment(const Elf64_Phdr& segment) { loads_.push_back(segment); }

  // Where an address of the loaded image stands in the file.
  std::optional<std::uint64_t> offset_of(std::uint64_t address) const {
    for (const Elf64_Phdr& load : loads_) {
      if (address >= load.p_vaddr && address - load.p_vaddr < load.p_filesz) {
        return load.p_offset + (address - load.p_vaddr);
      }
    }
    return std::nullopt;
  }
  template <class T>
  std::optional<T> at_address(std::uint64_t address) const {
    const auto offset = offset_of(address);
    return offset ? at<T>(*offset) : std::nullopt;
  }
  // The text that begins at `index` of a table of `size` bytes, if it ends within it.
  std::optional<std::string_view> text(std::uint64_t table, std::uint64_t size, std::uint64_t index) const {
    if (!contains(table, size) || index >= size) {
      return std::nullopt;
    }
    const char* begin = reinterpret_cast<const char*>(bytes_.data()) + table + index;
    const void* end = std::memchr(begin, 0, size - index);
    if (end == nullptr) {
      return std::nullopt;
    }
    return std::string_view(begin, static_cast<const char*>(end));
  }
  std::uint64_t size() const { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
  std::vector<Elf64_Phdr> loads_;
};

// Each step returns what is wrong with the file, or "".
class ImageCheck {
 public:
  explicit ImageCheck(std::span<const std::byte> bytes) : file_(bytes) {}

  std::string run(ElfImage& image) {
    for (const auto step : {&ImageCheck::header, &ImageCheck::segments, &ImageCheck::dynamic_table, &ImageCheck::needed,
                            &ImageCheck::symbols}) {
      if (std::string fact = (this->*step)(); !fact.empty()) {
        return fact;
      }
    }
    image = std::move(image_);
    return {};
  }

 private:
  std::string header() {
    const auto ident = file_.at<std::array<unsigned char, EI_NIDENT>>(0);
    if (!ident || std::memcmp(ident->data(), ELFMAG, SELFMAG) != 0) {
      return "it is not a shared library (no ELF header)";
    }
    const auto header = file_.at<Elf64_Ehdr>(0);
    if (!header) {
      return fmt::format("it is cut off within its header, at {} bytes", file_.size());
    }
    if ((*ident)[EI_CLASS] != ELFCLASS64 || (*ident)[EI_DATA] != ELFDATA2LSB) {
      return "it is not a 64-bit little-endian library";
    }
    if (header->e_machine != this_machine) {
      return fmt::format("it is for another processor (ELF machine {}, this one is {})", header->e_machine,
                         this_machine);
    }
    if (header->e_type != ET_DYN) {
      return "it is an ELF file but no shared library";
    }
    if (header->e_phnum == 0 || header->e_phentsize != sizeof(Elf64_Phdr)) {
      return "it has no program headers";
    }
    header_ = *header;
    return {};
  }

  std::string segments() {
    for (std::uint64_t i = 0; i < header_.e_phnum; ++i) {
      std::uint64_t at;
      if (__builtin_add_overflow(header_.e_phoff, i * sizeof(Elf64_Phdr), &at) || !file_.at<Elf64_Phdr>(at)) {
        return fmt::format("its program headers lie beyond its end, at {} bytes", file_.size());
      }
      const Elf64_Phdr segment = *file_.at<Elf64_Phdr>(at);
      if ((segment.p_type == PT_LOAD || segment.p_type == PT_DYNAMIC) &&
          !file_.contains(segment.p_offset, segment.p_filesz)) {
        return fmt::format("it is cut off: a segment of {} bytes at {} lies beyond its end at {}", segment.p_filesz,
                           segment.p_offset, file_.size());
      }
      if (segment.p_type == PT_LOAD) {
        if (segment.p_filesz > segment.p_memsz || segment.p_vaddr + segment.p_memsz < segment.p_vaddr ||
            (segment.p_align > 1 && (segment.p_vaddr - segment.p_offset) % segment.p_align != 0)) {
          return "a segment contradicts itself";
        }
        file_.add_segment(segment);
      } else if (segment.p_type == PT_DYNAMIC) {
        dynamic_ = segment;
      }
    }
    return dynamic_.p_type == PT_DYNAMIC ? "" : "it has no dynamic table";
  }

  std::string dynamic_table() {
    const std::uint64_t entries = std::min<std::uint64_t>(dynamic_.p_filesz / sizeof(Elf64_Dyn), max_dynamic_entries);
    for (std::uint64_t i = 0; i < entries; ++i) {
      const Elf64_Dyn entry = *file_.at<Elf64_Dyn>(dynamic_.p_offset + i * sizeof(Elf64_Dyn));
      switch (entry.d_tag) {
        case DT_NULL: i = entries; break;
        case DT_SYMTAB: symbol_table_ = entry.d_un.d_ptr; break;
        case DT_STRTAB: text_table_ = entry.d_un.d_ptr; break;
        case DT_STRSZ: text_size_ = entry.d_un.d_val; break;
        case DT_HASH: hash_ = entry.d_un.d_ptr; break;
        case DT_GNU_HASH: gnu_hash_ = entry.d_un.d_ptr; break;
        case DT_NEEDED: needed_.push_back(entry.d_un.d_val); break;
        default: break;
      }
    }
    const auto texts = file_.offset_of(text_table_);
    if (!texts || !file_.contains(*texts, text_size_)) {
      return "its table of names lies outside the file";
    }
    texts_ = *texts;
    return {};
  }

  std::string needed() {
    for (const std::uint64_t index : needed_) {
      const auto name = file_.text(texts_, text_size_, index);
      if (!name) {
        return "the name of a library that it needs lies outside the file";
      }
      image_.needed.push_back(*name);
    }
    return {};
  }

  std::string symbols() {
    const std::optional<std::uint64_t> count = gnu_hash_ != 0 ? count_by_gnu_hash() : count_by_hash();
    if (!count || *count > max_symbols) {
      return "its table of symbols has no readable size";
    }
    for (std::uint64_t i = 1; i < *count; ++i) {
      const auto symbol = file_.at_address<Elf64_Sym>(symbol_table_ + i * sizeof(Elf64_Sym));
      const auto name = symbol ? file_.text(texts_, text_size_, symbol->st_name) : std::nullopt;
      if (!name) {
        return fmt::format("symbol {} lies outside the file", i);
      }
      if (symbol->st_shndx != SHN_UNDEF) {
        image_.exports.push_back({*name, ELF64_ST_BIND(symbol->st_info) == STB_GNU_UNIQUE});
      }
    }
    return {};
  }

  std::optional<std::uint64_t> count_by_hash() const {
    const auto chains = file_.at_address<std::uint32_t>(hash_ + 4);
    return hash_ != 0 && chains ? std::optional<std::uint64_t>(*chains) : std::nullopt;
  }

  // The table ends with the chain of the highest bucket: its last entry has the lowest bit set.
  std::optional<std::uint64_t> count_by_gnu_hash() const {
    const auto n_buckets = file_.at_address<std::uint32_t>(gnu_hash_);
    const auto first = file_.at_address<std::uint32_t>(gnu_hash_ + 4);
    const auto bloom_words = file_.at_address<std::uint32_t>(gnu_hash_ + 8);
    if (!n_buckets || !first || !bloom_words || *n_buckets > max_symbols || *bloom_words > max_symbols) {
      return std::nullopt;
    }
    const std::uint64_t buckets = gnu_hash_ + 16 + std::uint64_t{*bloom_words} * 8;
    const std::uint64_t chains = buckets + std::uint64_t{*n_buckets} * 4;
    std::uint64_t last = 0;
    for (std::uint64_t i = 0; i < *n_buckets; ++i) {
      const auto bucket = file_.at_address<std::uint32_t>(buckets + i * 4);
      if (!bucket) {
        return std::nullopt;
      }
      last = std::max<std::uint64_t>(last, *bucket);
    }
    if (last < *first) {
      return *first;  // exports nothing
    }
    for (; last < max_symbols; ++last) {
      const auto entry = file_.at_address<std::uint32_t>(chains + (last - *first) * 4);
      if (!entry) {
        return std::nullopt;
      }
      if ((*entry & 1u) != 0) {
        return last + 1;
      }
    }
    return std::nullopt;
  }

  Reader file_;
  ElfImage image_;
  Elf64_Ehdr header_{};
  Elf64_Phdr dynamic_{};
  std::uint64_t symbol_table_ = 0, text_table_ = 0, text_size_ = 0, texts_ = 0, hash_ = 0, gnu_hash_ = 0;
  std::vector<std::uint64_t> needed_;
};

}  // namespace

Result<ElfImage> read_elf_image(std::span<const std::byte> bytes, std::string_view name) {
  ElfImage image;
  if (const std::string fact = ImageCheck(bytes).run(image); !fact.empty()) {
    return make_reason(ErrorCode::bad_library, "elf", fmt::format("{}: {}; install the plugin again", name, fact));
  }
  return image;
}

}  // namespace layerhub::admission
