# SPDX-License-Identifier: Apache-2.0
# The only place that knows toolchains: which file suffix is compiled how, and into which library of the
# variant.
#
# A plugin's library for level L is made of one object per stem: x.cpu-L.cpp where it exists, else the file of
# the level that L inherits from, else x.cpu.cpp. So a kernel is written once and replaced where a level
# deserves better. Two levels never share a library: the linker would merge inline functions across them and
# the baseline would run wide code.

# Levels, in order of preference from the lowest. A level marked ALWAYS is built for every plugin with a
# .cpu.cpp file, the others where a file of their suffix exists.
set(LAYERHUB_CPU_LEVELS v2 v3 v3-vnni v4 v4-vnni)

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

# OpenCL: host code of the baseline that carries the source of its kernels. Any device of 1.2 can run them.
# Its headers are all that a build needs: the functions are found when a plugin runs.
find_path(LAYERHUB_OPENCL_HEADERS CL/cl.h)
set(LAYERHUB_OPENCL_BACKEND opencl12)
set(LAYERHUB_OPENCL_CAPABILITY 12)

# For every object of a plugin. No -ffast-math: linked into a library it sets flush-to-zero in the host's
# thread. The two relaxations below change no result (errno and the exception flags are read by nobody) and
# let loops vectorise. Hidden visibility and no GNU unique symbols keep two revisions in one process apart.
set(LAYERHUB_PLUGIN_FLAGS -O3 -fPIC -fno-lto -fvisibility=hidden -fvisibility-inlines-hidden -fno-math-errno
    -fno-trapping-math -fopenmp-simd -Wall -Wextra)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND LAYERHUB_PLUGIN_FLAGS -fno-gnu-unique)
endif()
set(LAYERHUB_ENTRY_FLAGS -O1 -fPIC -fno-lto -fvisibility=hidden -march=x86-64)
