# SPDX-License-Identifier: Apache-2.0
# The only place that knows toolchains: which file suffix is compiled how, and into which library of the
# variant.
#
# A plugin's library for level L is made of one object per stem: x.cpu-L.cpp where it exists, else that of the
# nearest level that L inherits from, else x.cpu.cpp. So a kernel is written once and replaced where a level
# deserves better. Two levels never share a library: the linker would merge inline functions across them and
# the baseline would run wide code.

# Levels, in order of preference from the lowest. A level marked ALWAYS is built for every plugin with a
# .cpu.cpp file, the others where a file of their suffix exists.
set(LAYERHUB_CPU_LEVELS v2 v3 v3-vnni v4 v4-vnni v4-amx)

set(LAYERHUB_CPU_v2_ALWAYS TRUE)
set(LAYERHUB_CPU_v2_CAPABILITY 2)
set(LAYERHUB_CPU_v2_FEATURES "")
set(LAYERHUB_CPU_v2_FLAGS -march=x86-64-v2)

set(LAYERHUB_CPU_v3_ALWAYS TRUE)
set(LAYERHUB_CPU_v3_CAPABILITY 3)
set(LAYERHUB_CPU_v3_FEATURES "")
set(LAYERHUB_CPU_v3_FLAGS -march=x86-64-v3)

set(LAYERHUB_CPU_v3-vnni_INHERITS v3)
set(LAYERHUB_CPU_v3-vnni_CAPABILITY 3)
set(LAYERHUB_CPU_v3-vnni_FEATURES "avx_vnni")
set(LAYERHUB_CPU_v3-vnni_FLAGS -march=x86-64-v3 -mavxvnni)

set(LAYERHUB_CPU_v4_ALWAYS TRUE)
set(LAYERHUB_CPU_v4_CAPABILITY 4)
set(LAYERHUB_CPU_v4_FEATURES "")
set(LAYERHUB_CPU_v4_FLAGS -march=x86-64-v4 -mprefer-vector-width=512)

set(LAYERHUB_CPU_v4-vnni_INHERITS v4)
set(LAYERHUB_CPU_v4-vnni_CAPABILITY 4)
set(LAYERHUB_CPU_v4-vnni_FEATURES "avx512_bf16,avx512_vnni")
set(LAYERHUB_CPU_v4-vnni_FLAGS -march=x86-64-v4 -mavx512vnni -mavx512bf16 -mprefer-vector-width=512)

set(LAYERHUB_CPU_v4-amx_INHERITS v4-vnni)
set(LAYERHUB_CPU_v4-amx_CAPABILITY 4)
set(LAYERHUB_CPU_v4-amx_FEATURES "amx_bf16,avx512_bf16,avx512_vnni")
set(LAYERHUB_CPU_v4-amx_FLAGS ${LAYERHUB_CPU_v4-vnni_FLAGS} -mamx-tile -mamx-bf16)

# GNU zeroes arrays of a hundred bytes, such as a row's sums, with `rep stos` where vectors are short: microcode, which
# waits for stores past the cache that are under way. Written out, an RMSNorm out of cache takes half the time with
# AVX2, on an AMD EPYC of the fifth generation.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  foreach(level IN LISTS LAYERHUB_CPU_LEVELS)
    list(APPEND LAYERHUB_CPU_${level}_FLAGS -mmemset-strategy=unrolled_loop:512:noalign,libcall:-1:noalign)
  endforeach()
endif()

# OpenCL: host code of the baseline that carries the source of its kernels. Any device of 1.2 can run them.
# Its headers are all that a build needs: the functions are found when a plugin runs.
find_path(LAYERHUB_OPENCL_HEADERS CL/cl.h)
set(LAYERHUB_OPENCL_BACKEND opencl12)
set(LAYERHUB_OPENCL_CAPABILITY 12)
set(LAYERHUB_opencl_TOOLCHAIN "headers in ${LAYERHUB_OPENCL_HEADERS}")
set(LAYERHUB_opencl_MISSING "")
if(NOT LAYERHUB_OPENCL_HEADERS)
  set(LAYERHUB_opencl_MISSING "no CL/cl.h on this system (Debian: opencl-headers)")
endif()

# CUDA: device code for each of the targets, and PTX of the last for what comes after it. "90a" is the code that runs
# on nothing but 9.0. The runtime is linked statically: what a system must have is the driver.
set(LAYERHUB_CUDA_TARGETS 80 90a 100 120 CACHE STRING "Compute capabilities that cuda variants are compiled for")
find_program(LAYERHUB_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin
  DOC "nvcc of CUDA 12.8 or newer; OFF: no cuda variants")

# HIP: device code for each of the targets. The runtime is a shared library of the system's ROCm.
set(LAYERHUB_HIP_TARGETS gfx906 gfx90a gfx1030 CACHE STRING "Processors that rocm variants are compiled for")
find_program(LAYERHUB_HIPCC hipcc HINTS ENV ROCM_PATH PATHS /opt/rocm PATH_SUFFIXES bin
  DOC "hipcc of ROCm; OFF: no rocm variants")

# For every object of a plugin. No -ffast-math: linked into a library it sets flush-to-zero in the host's
# thread. The two relaxations below change no result (errno and the exception flags are read by nobody) and
# let loops vectorise. Hidden visibility and no GNU unique symbols keep two revisions in one process apart.
set(LAYERHUB_PLUGIN_FLAGS -O3 -fPIC -fno-lto -fvisibility=hidden -fvisibility-inlines-hidden -fno-math-errno
    -fno-trapping-math -fopenmp-simd -Wall -Wextra)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND LAYERHUB_PLUGIN_FLAGS -fno-gnu-unique)
endif()
set(LAYERHUB_HOST_TOOLCHAIN "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")  # for people
set(LAYERHUB_ENTRY_FLAGS -O1 -fPIC -fno-lto -fvisibility=hidden -march=x86-64)

# ---- What is known of a GPU backend, asked of its compiler ----
# LAYERHUB_<backend>_MISSING: why it can't be built, or empty. TAG: its part of a variant's name. SUFFIXES: globs of its
# sources. CAPABILITY: what its kernels need at least. ARCHS: the targets as metadata has them. TOOLCHAIN: for people.
# COMPILE: the command up to the include folders. INCLUDES, DEFINITIONS and LIBRARIES: for host code that calls the
# runtime.

# LAYERHUB_<prefix>_VERSION, once per compiler, since some take a second to answer; another compiler's runtime is
# looked for again.
function(_layerhub_ask_version prefix compiler pattern)
  if(NOT "${LAYERHUB_${prefix}_VERSION_OF}" STREQUAL "${compiler}")
    execute_process(COMMAND ${compiler} --version OUTPUT_VARIABLE answer ERROR_QUIET)
    string(REGEX MATCH "${pattern}" matched "${answer}")
    set(LAYERHUB_${prefix}_VERSION "${CMAKE_MATCH_1}" CACHE INTERNAL "")
    set(LAYERHUB_${prefix}_VERSION_OF ${compiler} CACHE INTERNAL "")
    unset(LAYERHUB_${prefix}_RUNTIME CACHE)
    unset(LAYERHUB_${prefix}_HEADERS CACHE)
  endif()
endfunction()

# Why a compiler is not there: OFF, or NAME-NOTFOUND.
function(_layerhub_why_missing compiler name out)
  if(compiler STREQUAL "OFF")
    set(${out} "switched off" PARENT_SCOPE)
  else()
    set(${out} "no ${name} on this system" PARENT_SCOPE)
  endif()
endfunction()

set(LAYERHUB_cuda_SUFFIXES *.gpu.cu *.cuda.cu)
_layerhub_why_missing("${LAYERHUB_NVCC}" nvcc LAYERHUB_cuda_MISSING)
if(LAYERHUB_NVCC)
  _layerhub_ask_version(CUDA ${LAYERHUB_NVCC} "V([0-9.]+)")
  file(REAL_PATH ${LAYERHUB_NVCC} folder)
  get_filename_component(folder ${folder} DIRECTORY)
  get_filename_component(folder ${folder} DIRECTORY)
  find_library(LAYERHUB_CUDA_RUNTIME cudart_static HINTS ${folder} ${folder}/targets/x86_64-linux
    PATH_SUFFIXES lib64 lib NO_DEFAULT_PATH)
  find_path(LAYERHUB_CUDA_HEADERS cuda_runtime_api.h HINTS ${folder} ${folder}/targets/x86_64-linux
    PATH_SUFFIXES include NO_DEFAULT_PATH)
  if(LAYERHUB_CUDA_VERSION VERSION_LESS 12.8)
    set(LAYERHUB_cuda_MISSING "${LAYERHUB_NVCC} is of ${LAYERHUB_CUDA_VERSION}; 12.8 or newer is needed")
  elseif(NOT LAYERHUB_CUDA_RUNTIME OR NOT LAYERHUB_CUDA_HEADERS)
    set(LAYERHUB_cuda_MISSING "${LAYERHUB_NVCC} has no libcudart_static.a or no cuda_runtime_api.h beside it")
  else()
    set(LAYERHUB_cuda_MISSING "")
  endif()
endif()
if(NOT LAYERHUB_cuda_MISSING)
  string(REGEX REPLACE "^([0-9]+)\\.([0-9]+).*" "cu\\1\\2" LAYERHUB_cuda_TAG ${LAYERHUB_CUDA_VERSION})
  set(LAYERHUB_cuda_TOOLCHAIN "nvcc ${LAYERHUB_CUDA_VERSION} with ${LAYERHUB_HOST_TOOLCHAIN}")
  list(GET LAYERHUB_CUDA_TARGETS 0 least)
  string(REGEX MATCH "^[0-9]+" LAYERHUB_cuda_CAPABILITY ${least})
  list(TRANSFORM LAYERHUB_CUDA_TARGETS REPLACE "^([0-9]+)([0-9][af]?)$" "\\1.\\2" OUTPUT_VARIABLE archs)
  list(JOIN archs "," LAYERHUB_cuda_ARCHS)
  string(APPEND LAYERHUB_cuda_ARCHS "+PTX")

  # The SDK's constant functions are called in kernels: hence relaxed-constexpr.
  list(JOIN LAYERHUB_PLUGIN_FLAGS "," host_flags)
  set(LAYERHUB_cuda_COMPILE ${LAYERHUB_NVCC} -ccbin ${CMAKE_CXX_COMPILER} -std=c++20 -O3 --expt-relaxed-constexpr
      --threads 2 -Xcompiler ${host_flags})
  list(POP_BACK LAYERHUB_CUDA_TARGETS last)
  foreach(target IN LISTS LAYERHUB_CUDA_TARGETS)
    list(APPEND LAYERHUB_cuda_COMPILE -gencode arch=compute_${target},code=sm_${target})
  endforeach()
  list(APPEND LAYERHUB_cuda_COMPILE -gencode arch=compute_${last},code=[sm_${last},compute_${last}])
  list(APPEND LAYERHUB_CUDA_TARGETS ${last})
  set(LAYERHUB_cuda_INCLUDES ${LAYERHUB_CUDA_HEADERS})
  set(LAYERHUB_cuda_LIBRARIES ${LAYERHUB_CUDA_RUNTIME} rt pthread dl)
endif()

set(LAYERHUB_rocm_SUFFIXES *.gpu.cu *.hip.cpp)
_layerhub_why_missing("${LAYERHUB_HIPCC}" hipcc LAYERHUB_rocm_MISSING)
if(LAYERHUB_HIPCC)
  _layerhub_ask_version(HIP ${LAYERHUB_HIPCC} "HIP version: ([0-9.]+)")
  find_library(LAYERHUB_HIP_RUNTIME amdhip64 HINTS ENV ROCM_PATH PATHS /opt/rocm PATH_SUFFIXES lib)
  find_path(LAYERHUB_HIP_HEADERS hip/hip_runtime_api.h HINTS ENV ROCM_PATH PATHS /opt/rocm PATH_SUFFIXES include)
  if(LAYERHUB_HIP_VERSION AND LAYERHUB_HIP_RUNTIME AND LAYERHUB_HIP_HEADERS)
    set(LAYERHUB_rocm_MISSING "")
  else()
    set(LAYERHUB_rocm_MISSING "${LAYERHUB_HIPCC} has no version, or no libamdhip64 and headers are beside it")
  endif()
endif()
if(NOT LAYERHUB_rocm_MISSING)
  string(REGEX REPLACE "^([0-9]+)\\.([0-9]+).*" "rocm\\1\\2" LAYERHUB_rocm_TAG ${LAYERHUB_HIP_VERSION})
  set(LAYERHUB_rocm_TOOLCHAIN "hipcc ${LAYERHUB_HIP_VERSION}")
  list(JOIN LAYERHUB_HIP_TARGETS "," LAYERHUB_rocm_ARCHS)
  # "gfx90a" is major 9, minor 0, stepping a; the least of the list.
  list(TRANSFORM LAYERHUB_HIP_TARGETS REPLACE "^gfx([0-9]+[0-9])[0-9a-f].*$" "\\1" OUTPUT_VARIABLE capabilities)
  list(SORT capabilities COMPARE NATURAL)
  list(GET capabilities 0 LAYERHUB_rocm_CAPABILITY)

  set(host_flags ${LAYERHUB_PLUGIN_FLAGS})
  # clang, whatever the host's compiler is; -fopenmp-simd makes it call what devices do not have
  list(REMOVE_ITEM host_flags -fno-gnu-unique -fopenmp-simd)
  set(LAYERHUB_rocm_COMPILE ${LAYERHUB_HIPCC} -x hip -std=c++20 ${host_flags})
  foreach(target IN LISTS LAYERHUB_HIP_TARGETS)
    list(APPEND LAYERHUB_rocm_COMPILE --offload-arch=${target})
  endforeach()
  set(LAYERHUB_rocm_INCLUDES ${LAYERHUB_HIP_HEADERS})
  set(LAYERHUB_rocm_DEFINITIONS __HIP_PLATFORM_AMD__)
  set(LAYERHUB_rocm_LIBRARIES ${LAYERHUB_HIP_RUNTIME})
endif()
