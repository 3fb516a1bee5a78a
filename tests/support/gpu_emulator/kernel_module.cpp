// SPDX-License-Identifier: Apache-2.0
#include "kernel_module.hpp"

#include <cxxabi.h>
#include <link.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" void* __tls_get_addr(std::size_t*);  // of {module, offset}, as the ABI of x86-64 has it

namespace layerhub::gpu_emulator {
namespace {

struct Module {
  std::uintptr_t address;  // that is looked for
  std::string path;
  std::uintptr_t base = 0;
  std::size_t tls_module = 0, tls_bytes = 0;
};

bool contains(const dl_phdr_info& info, std::uintptr_t address) {
  for (unsigned i = 0; i < info.dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = info.dlpi_phdr[i];
    const std::uintptr_t begin = info.dlpi_addr + part.p_vaddr;
    if (part.p_type == PT_LOAD && begin <= address && address < begin + part.p_memsz) {
      return true;
    }
  }
  return false;
}

Module module_of(const void* address) {
  Module module{reinterpret_cast<std::uintptr_t>(address), {}};
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* found_here) {
        Module& found = *static_cast<Module*>(found_here);
        if (!contains(*info, found.address)) {
          return 0;
        }
        found.path = *info->dlpi_name == '\0' ? "/proc/self/exe" : info->dlpi_name;
        found.base = info->dlpi_addr;
        found.tls_module = info->dlpi_tls_modid;
        for (unsigned i = 0; i < info->dlpi_phnum; ++i) {
          if (info->dlpi_phdr[i].p_type == PT_TLS) {
            found.tls_bytes = info->dlpi_phdr[i].p_memsz;
          }
        }
        return 1;
      },
      &module);
  return module;
}

std::string demangled(const char* name) {
  int status = 0;
  char* text = abi::__cxa_demangle(name, nullptr, nullptr, &status);
  const std::string result = status == 0 ? text : name;
  std::free(text);
  return result;
}

}  // namespace

std::string kernel_name(const void* kernel) {
  const Module module = module_of(kernel);
  std::ifstream file(module.path, std::ios::binary);
  const std::vector<char> image{std::istreambuf_iterator<char>(file), {}};
  if (image.size() < sizeof(ElfW(Ehdr))) {
    return "a kernel without a name";
  }
  const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(image.data());
  const auto* sections = reinterpret_cast<const ElfW(Shdr)*>(image.data() + header->e_shoff);
  for (unsigned i = 0; i < header->e_shnum; ++i) {
    if (sections[i].sh_type != SHT_SYMTAB) {
      continue;
    }
    const auto* symbols = reinterpret_cast<const ElfW(Sym)*>(image.data() + sections[i].sh_offset);
    const char* names = image.data() + sections[sections[i].sh_link].sh_offset;
    for (std::size_t s = 0; s < sections[i].sh_size / sizeof *symbols; ++s) {
      if (module.base + symbols[s].st_value == module.address && (symbols[s].st_info & 0xf) == STT_FUNC) {
        return demangled(names + symbols[s].st_name);
      }
    }
  }
  return "a kernel without a name";
}

std::span<std::byte> static_shared_memory(const void* kernel) {
  const Module module = module_of(kernel);
  if (module.tls_bytes == 0) {
    return {};
  }
  std::size_t index[2] = {module.tls_module, 0};
  return {static_cast<std::byte*>(__tls_get_addr(index)), module.tls_bytes};
}

}  // namespace layerhub::gpu_emulator
