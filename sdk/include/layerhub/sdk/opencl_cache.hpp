// SPDX-License-Identifier: Apache-2.0
// Programs of OpenCL as their drivers built them, kept on disk: building takes a second, reading some milliseconds.
//
// One file for each (source, options, device, driver), in $LAYERHUB_CACHE/opencl, by default in the user's cache
// folder. A file begins with all that it was built from, and one that does not begin so, is cut, has not the sum that
// it was written with or is refused by the driver counts as none: drivers run what they are given, and crash of what is
// damaged. It is written beside its place and renamed, so that nobody ever reads half of one; where it can't be written
// the program is built each time.
#pragma once

#include <sys/stat.h>
#include <unistd.h>
#include <layerhub/sdk/opencl_api.hpp>
#include <layerhub/sdk/signature.hpp>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace layerhub::sdk::opencl {

// What a queue's programs are built for.
struct QueueTarget {
  cl_context context = nullptr;
  cl_device_id device = nullptr;
};

inline QueueTarget target_of(cl_command_queue queue) {
  QueueTarget target;
  check(api().clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof target.context, &target.context, nullptr),
        "clGetCommandQueueInfo");
  check(api().clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof target.device, &target.device, nullptr),
        "clGetCommandQueueInfo");
  return target;
}

// The environment counts for nothing in a privileged process.
inline std::string cache_folder() {
  if (const char* folder = secure_getenv("LAYERHUB_CACHE"); folder != nullptr && *folder == '/') {
    return folder;
  }
  if (const char* folder = secure_getenv("XDG_CACHE_HOME"); folder != nullptr && *folder == '/') {
    return std::string(folder) + "/layerhub";
  }
  const char* home = secure_getenv("HOME");
  return home != nullptr && *home == '/' ? std::string(home) + "/.cache/layerhub" : std::string();
}

inline bool make_folders(const std::string& path) {
  for (std::size_t end = path.find('/', 1); end != std::string::npos; end = path.find('/', end + 1)) {
    mkdir(path.substr(0, end).c_str(), 0700);
  }
  return mkdir(path.c_str(), 0700) == 0 || access(path.c_str(), W_OK) == 0;
}

// All that a built program depends on, in one text.
inline std::string identity_of(const QueueTarget& target, const std::string& source, const std::string& options) {
  return "layerhub opencl program 2\n" + device_text(target.device, CL_DEVICE_NAME) + "\n" +
         device_text(target.device, CL_DEVICE_VERSION) + "\n" + device_text(target.device, CL_DRIVER_VERSION) + "\n" +
         options + "\n" + source + "\n";
}

inline std::string file_of(const std::string& folder, const std::string& identity) {
  Fnv1a hash;
  hash.add(identity);
  char name[32];
  std::snprintf(name, sizeof name, "/%016llx.bin", static_cast<unsigned long long>(hash.value()));
  return folder + name;
}

// What stands between the identity and the driver's bytes.
struct BuiltHeader {
  std::uint64_t size = 0, sum = 0;
  bool operator==(const BuiltHeader&) const = default;
};

inline BuiltHeader header_of(const std::string& bytes) {
  Fnv1a sum;
  sum.add(bytes);
  return {bytes.size(), sum.value()};
}

// The driver's bytes, where the file is whole and of this identity.
inline std::optional<std::string> read_built(const std::string& file, const std::string& identity) {
  std::ostringstream read;
  read << std::ifstream(file, std::ios::binary).rdbuf();
  const std::string text = read.str();
  BuiltHeader header;
  if (!text.starts_with(identity) || text.size() <= identity.size() + sizeof header) {
    return std::nullopt;
  }
  std::memcpy(&header, text.data() + identity.size(), sizeof header);
  std::string bytes = text.substr(identity.size() + sizeof header);
  return header == header_of(bytes) ? std::optional(std::move(bytes)) : std::nullopt;
}

inline void write_built(const std::string& file, const std::string& identity, const std::string& bytes) {
  static std::atomic<unsigned> serial{0};
  const std::string staging = file + "." + std::to_string(getpid()) + "." + std::to_string(serial.fetch_add(1));
  std::ofstream stream(staging, std::ios::binary | std::ios::trunc);
  const BuiltHeader header = header_of(bytes);
  stream << identity;
  stream.write(reinterpret_cast<const char*>(&header), sizeof header);
  stream << bytes;
  stream.close();
  if (!stream || std::rename(staging.c_str(), file.c_str()) != 0) {
    std::remove(staging.c_str());
  }
}

inline std::string binary_of(cl_program program) {
  std::size_t size = 0;
  if (api().clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, nullptr) != CL_SUCCESS) {
    return {};
  }
  std::string bytes(size, '\0');
  char* out = bytes.data();
  return api().clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof out, static_cast<void*>(&out), nullptr) ==
                 CL_SUCCESS
             ? bytes
             : std::string();
}

// nullptr: the driver refuses these bytes.
inline cl_program load_built(const QueueTarget& target, const std::string& bytes, const std::string& options) {
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  const std::size_t size = bytes.size();
  cl_int code = CL_SUCCESS, loaded = CL_SUCCESS;
  const cl_program program =
      api().clCreateProgramWithBinary(target.context, 1, &target.device, &size, &data, &loaded, &code);
  if (code != CL_SUCCESS || loaded != CL_SUCCESS) {
    return nullptr;
  }
  if (api().clBuildProgram(program, 1, &target.device, options.c_str(), nullptr, nullptr) != CL_SUCCESS) {
    api().clReleaseProgram(program);
    return nullptr;
  }
  return program;
}

inline cl_program build_from_source(const QueueTarget& target, const std::string& source, const std::string& options) {
  const char* text = source.data();
  const std::size_t size = source.size();
  cl_int code = CL_SUCCESS;
  const cl_program program = api().clCreateProgramWithSource(target.context, 1, &text, &size, &code);
  check(code, "clCreateProgramWithSource");
  code = api().clBuildProgram(program, 1, &target.device, options.c_str(), nullptr, nullptr);
  if (code != CL_SUCCESS) {
    std::string log = info_text([&](std::size_t room, void* out, std::size_t* needed) {
      return api().clGetProgramBuildInfo(program, target.device, CL_PROGRAM_BUILD_LOG, room, out, needed);
    });
    api().clReleaseProgram(program);
    throw Failure(status_of(code, false),
                  "the driver can't build it (" + error_name(code) + "): " + log.substr(0, 400));
  }
  return program;
}

inline cl_program build_cached(const QueueTarget& target, const std::string& source, const std::string& options) {
  const std::string identity = identity_of(target, source, options);
  const std::string folder = cache_folder().empty() ? std::string() : cache_folder() + "/opencl";
  const std::string file = file_of(folder, identity);
  if (!folder.empty()) {
    if (const std::optional<std::string> bytes = read_built(file, identity)) {
      if (const cl_program program = load_built(target, *bytes, options)) {
        return program;
      }
    }
  }
  const cl_program program = build_from_source(target, source, options);
  if (!folder.empty() && make_folders(folder)) {
    if (const std::string bytes = binary_of(program); !bytes.empty()) {
      write_built(file, identity, bytes);
    }
  }
  return program;
}

}  // namespace layerhub::sdk::opencl
