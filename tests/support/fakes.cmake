# SPDX-License-Identifier: Apache-2.0
# Plugins that tests need and nobody should write: one source, a row for each. <name>.so and, where it answers
# the query, <name>.json (its metadata) lie in LAYERHUB_FAKES_ROOT; test_environment.hpp lays them out as
# plugin directories.
#
# fake(NAME definitions...): repository fakes/<NAME>, revision v1, of fake_plugin.cpp, but for those that say otherwise.
set(LAYERHUB_FAKES_ROOT ${CMAKE_CURRENT_BINARY_DIR}/fakes)
add_custom_target(fakes)

function(fake name)
  cmake_parse_arguments(FAKE "NO_QUERY;GNU_UNIQUE" "REPO;REVISION;SOURCE;BACKEND" "" ${ARGN})
  if(NOT FAKE_BACKEND)
    set(FAKE_BACKEND cpu)
  endif()
  if(NOT FAKE_REPO)
    string(REPLACE "_" "-" FAKE_REPO fakes/${name})
  endif()
  if(NOT FAKE_REVISION)
    set(FAKE_REVISION v1)
  endif()
  if(NOT FAKE_SOURCE)
    set(FAKE_SOURCE fake_plugin)
  endif()
  set(sources ${CMAKE_CURRENT_SOURCE_DIR}/support/${FAKE_SOURCE}.cpp)
  if(NOT FAKE_NO_QUERY)
    list(APPEND sources ${PROJECT_SOURCE_DIR}/sdk/src/plugin_entry.cpp)
  endif()
  add_library(fake-${name} MODULE ${sources})
  target_link_libraries(fake-${name} PRIVATE layerhub::sdk)
  target_include_directories(fake-${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  set_target_properties(fake-${name} PROPERTIES PREFIX "" OUTPUT_NAME ${name}
    LIBRARY_OUTPUT_DIRECTORY ${LAYERHUB_FAKES_ROOT} INTERPROCEDURAL_OPTIMIZATION OFF)
  target_compile_options(fake-${name} PRIVATE -fvisibility=hidden -fvisibility-inlines-hidden)
  if(NOT FAKE_GNU_UNIQUE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(fake-${name} PRIVATE -fno-gnu-unique)
  endif()
  target_compile_definitions(fake-${name} PRIVATE LAYERHUB_PLUGIN_REPO="${FAKE_REPO}"
    LAYERHUB_PLUGIN_REVISION="${FAKE_REVISION}" LAYERHUB_PLUGIN_BUILD_ID="fake-${name}"
    LAYERHUB_PLUGIN_TOOLCHAIN="a test" ${FAKE_UNPARSED_ARGUMENTS})
  add_dependencies(fakes fake-${name})
  if(NOT FAKE_NO_QUERY)
    add_custom_command(TARGET fake-${name} POST_BUILD
      COMMAND layerhub::describe_plugin --repo ${FAKE_REPO} --revision ${FAKE_REVISION} --license Apache-2.0
              --backend ${FAKE_BACKEND}
              $<TARGET_FILE:fake-${name}>:1: > ${LAYERHUB_FAKES_ROOT}/${name}.json VERBATIM)
    add_dependencies(fake-${name} layerhub_describe_plugin)
  endif()
endfunction()

# Good ones. `twice` and `thrice` have the same layer; `counter` is one repository in two revisions with statics.
fake(twice FAKE_FACTOR=2)
fake(thrice FAKE_FACTOR=3)
fake(counter_v1 REPO fakes/counter FAKE_COUNTS=1)
fake(counter_v2 REPO fakes/counter REVISION v2 FAKE_COUNTS=100)
fake(weighted FAKE_NEEDS_WEIGHT)                 # param `weight`, attribute `bias`
fake(strict FAKE_NARROW)                         # constraints that hosts break easily
fake(instance FAKE_INSTANCE)                     # create and destroy; destroy poisons what forward reads
fake(workspace FAKE_WORKSPACE)                   # infer() and a workspace that forward fills
fake(ordered FAKE_ORDERED)                       # state before output, scalars between, an optional input
fake(function FAKE_FUNCTION)                     # a plain function beside the layer

# Modes and training.
fake(trains SOURCE fake_training FAKE_FACTOR=2 FAKE_BACKWARD)
fake(captures SOURCE fake_training FAKE_FACTOR=3 FAKE_CAPTURE)
fake(trains_and_captures SOURCE fake_training FAKE_FACTOR=4 FAKE_BACKWARD FAKE_CAPTURE)
fake(random SOURCE fake_training FAKE_FACTOR=5 FAKE_RANDOM)
fake(trains_v2 REPO fakes/trains REVISION v2 SOURCE fake_training FAKE_FACTOR=20 FAKE_BACKWARD)
fake(saves SOURCE fake_training FAKE_SAVES)      # backward needs what forward saved, and a workspace
fake(weight SOURCE fake_training FAKE_WEIGHT)    # backward for a param, which it packs
fake(updated_weight SOURCE fake_training FAKE_WEIGHT FAKE_UPDATES)
fake(backward_fails SOURCE fake_training FAKE_FACTOR=2 FAKE_BACKWARD_FAILS)

# Devices without hardware, and a layer for them: each type with a factor of its own.
set(fake_cuda FAKE_DEVICE_TYPE=kDLCUDA FAKE_CAPABILITY=80 FAKE_VERSION=130)
set(fake_rocm FAKE_DEVICE_TYPE=kDLROCM FAKE_CAPABILITY=90 FAKE_VERSION=52)
set(fake_opencl FAKE_DEVICE_TYPE=kDLOpenCL FAKE_CAPABILITY=20 FAKE_VERSION=30 FAKE_HANDLES)
fake(device_cuda REPO layerhub/device-cuda SOURCE fake_device ${fake_cuda})
fake(device_rocm REPO layerhub/device-rocm SOURCE fake_device ${fake_rocm})
fake(device_opencl REPO layerhub/device-opencl SOURCE fake_device ${fake_opencl})
fake(device_second REPO layerhub/device-second SOURCE fake_device ${fake_cuda})
fake(device_none REPO layerhub/device-cuda SOURCE fake_device ${fake_cuda} FAKE_NO_DEVICES)
set(for_any FAKE_MIN_CAPABILITY=1)
fake(scale_cuda REPO fakes/scale BACKEND cuda SOURCE fake_device_kernel ${fake_cuda} ${for_any} FAKE_FACTOR=5)
fake(scale_cuda_90 REPO fakes/scale-90 BACKEND cuda SOURCE fake_device_kernel ${fake_cuda} FAKE_MIN_CAPABILITY=90
  FAKE_FACTOR=50)
fake(scale_rocm REPO fakes/scale BACKEND rocm SOURCE fake_device_kernel ${fake_rocm} ${for_any} FAKE_FACTOR=6)
fake(scale_opencl REPO fakes/scale BACKEND opencl SOURCE fake_device_kernel ${fake_opencl} ${for_any} FAKE_FACTOR=7)
fake(scale_cpu REPO fakes/scale FAKE_FACTOR=4)
fake(scale_workspace REPO fakes/workspace BACKEND cuda SOURCE fake_device_kernel ${fake_cuda} ${for_any} FAKE_FACTOR=8
  FAKE_WORKSPACE)
fake(scale_no_memory REPO fakes/no-memory BACKEND cuda SOURCE fake_device_kernel ${fake_cuda} ${for_any} FAKE_FACTOR=9
  FAKE_SHORT_OF_MEMORY)

# Bad ones, each for one rule.
fake(declines FAKE_DECLINES)                     # forward returns LH_DECLINED
fake(throws FAKE_THROWS)                         # forward throws a std::exception
fake(throws_int FAKE_THROWS_INT)                 # forward throws what is no exception
fake(create_fails FAKE_CREATE_FAILS)
fake(create_declines FAKE_CREATE_DECLINES)
fake(no_query NO_QUERY FAKE_NO_QUERY)            # exports nothing that a loader knows
fake(other_major NO_QUERY FAKE_OTHER_MAJOR)      # exports lh_plugin_query_v2 alone
fake(too_new NO_QUERY FAKE_TOO_NEW)              # refuses hosts of this minor
fake(newer_minor NO_QUERY FAKE_NEWER_MINOR)      # longer structs of a later minor, negotiates down
fake(older_minor NO_QUERY FAKE_OLDER_MINOR)      # shorter structs, as an earlier header would have had
fake(lies NO_QUERY FAKE_LIES)                    # chooses a minor that was not offered
fake(broken_table NO_QUERY FAKE_BROKEN_TABLE)    # a constraint names an argument that is not there
fake(unique GNU_UNIQUE FAKE_UNIQUE)              # a symbol that the whole process shares
