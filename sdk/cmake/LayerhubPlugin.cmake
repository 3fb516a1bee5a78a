# SPDX-License-Identifier: Apache-2.0
# layerhub_add_plugin(REPO org/name REVISION v1 [LICENSE Apache-2.0] [ROOT dir] [RUNTIME cuda] [BASELINE] [RESIDENT])
#
# Makes a plugin from the files of the current folder: sources are found by suffix (LayerhubBackends.cmake),
# compiled for each backend that has some, on the cpu once per capability level, linked into one library per
# level, described by a small program that queries each of them, and laid out as
# <root>/<org>/<name>/<revision>/build/<variant>/, one variant per backend. Include folders of the plugin: its
# own folder. ROOT defaults to LAYERHUB_PLUGIN_ROOT, and that to <build>/plugins. The target is
# plugin-<org>-<name>-<revision>, one of `plugins`; `plugins-<backend>` builds one backend's variants of all of them.
# BASELINE: one library for every processor, where speed lies elsewhere. RESIDENT: once loaded it stays loaded, as what
# a driver calls back into must. RUNTIME: it is the runtime of that device type: host code, linked with what the
# backend's libraries need, built with plugins-<backend> and left out with it. LAYERHUB_TARGET_PREFIX stands before all
# of these targets' names: with it one folder can be built a second time, by another toolchain.
include_guard()
include(${CMAKE_CURRENT_LIST_DIR}/LayerhubBackends.cmake)
set(LAYERHUB_SDK_CMAKE_DIR ${CMAKE_CURRENT_LIST_DIR})
set(LAYERHUB_SDK_ENTRY ${CMAKE_CURRENT_LIST_DIR}/plugin_entry.cpp)  # installed: beside this file
if(NOT EXISTS ${LAYERHUB_SDK_ENTRY})
  get_filename_component(LAYERHUB_SDK_ENTRY ${CMAKE_CURRENT_LIST_DIR}/../src/plugin_entry.cpp ABSOLUTE)
endif()

# The file of `stem` for `level`: its own, that of the nearest level it inherits from, or the general one. Empty where
# there is none.
function(_layerhub_source_for stem level out)
  set(candidates "")
  while(level)
    list(APPEND candidates ${stem}.cpu-${level}.cpp)
    set(level ${LAYERHUB_CPU_${level}_INHERITS})
  endwhile()
  list(APPEND candidates ${stem}.cpu.cpp)
  set(${out} "" PARENT_SCOPE)
  foreach(candidate IN LISTS candidates)
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${candidate})
      set(${out} ${CMAKE_CURRENT_SOURCE_DIR}/${candidate} PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

# _layerhub_add_library(<target> <file name> <identity> <toolchain> <resident> objects...): a library of these objects
# and the entry unit at baseline flags.
function(_layerhub_add_library target name identity toolchain resident)
  add_library(${target}-entry OBJECT ${LAYERHUB_SDK_ENTRY})
  target_link_libraries(${target}-entry PRIVATE layerhub::sdk)
  target_compile_features(${target}-entry PRIVATE cxx_std_20)
  target_compile_options(${target}-entry PRIVATE ${LAYERHUB_ENTRY_FLAGS})
  # The identity of the sources, not of the moment: the same sources give the same library.
  set(made_of ${identity}/${CMAKE_CXX_COMPILER_VERSION}/${sources_digest})
  string(SHA256 build_id "${PLUGIN_REPO}@${PLUGIN_REVISION}/${made_of}")
  string(SUBSTRING ${build_id} 0 16 build_id)
  target_compile_definitions(${target}-entry PRIVATE
    LAYERHUB_PLUGIN_REPO="${PLUGIN_REPO}" LAYERHUB_PLUGIN_REVISION="${PLUGIN_REVISION}"
    LAYERHUB_PLUGIN_BUILD_ID="${build_id}" $<$<BOOL:${resident}>:LAYERHUB_PLUGIN_RESIDENT>
    LAYERHUB_PLUGIN_TOOLCHAIN="${toolchain}")

  add_library(${target} MODULE ${ARGN} $<TARGET_OBJECTS:${target}-entry>)
  set_target_properties(${target} PROPERTIES PREFIX "" OUTPUT_NAME ${name} LINKER_LANGUAGE CXX
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/libraries INTERPROCEDURAL_OPTIMIZATION OFF
    LINK_DEPENDS ${LAYERHUB_SDK_CMAKE_DIR}/plugin.version)
  target_link_libraries(${target} PRIVATE ${CMAKE_DL_LIBS})
  target_link_options(${target} PRIVATE -Wl,--version-script=${LAYERHUB_SDK_CMAKE_DIR}/plugin.version -Wl,--as-needed)
  if(NOT LAYERHUB_SANITIZER)  # a sanitizer's runtime is resolved from the program
    target_link_options(${target} PRIVATE -Wl,-z,defs)
  endif()
endfunction()

# One library of host code: `level` names it, `capability` and `features` are what its kernels then need.
function(_layerhub_add_host_library target name level capability features flags sources)
  add_library(${target}-kernels OBJECT ${sources})
  target_link_libraries(${target}-kernels PRIVATE layerhub::sdk)
  target_include_directories(${target}-kernels PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_compile_features(${target}-kernels PRIVATE cxx_std_20)
  target_compile_options(${target}-kernels PRIVATE ${LAYERHUB_PLUGIN_FLAGS} ${flags})
  target_compile_definitions(${target}-kernels PRIVATE LAYERHUB_TU_CAPABILITY=${capability}
    LAYERHUB_TU_FEATURES="${features}" LAYERHUB_TU_LEVEL="${level}")
  _layerhub_add_library(${target} ${name}-${level} ${level} "${LAYERHUB_HOST_TOOLCHAIN}" "${PLUGIN_RESIDENT}"
    $<TARGET_OBJECTS:${target}-kernels>)
  if(PLUGIN_RUNTIME)
    target_include_directories(${target}-kernels SYSTEM PRIVATE ${LAYERHUB_${PLUGIN_RUNTIME}_INCLUDES})
    target_compile_definitions(${target}-kernels PRIVATE ${LAYERHUB_${PLUGIN_RUNTIME}_DEFINITIONS})
    target_link_libraries(${target} PRIVATE ${LAYERHUB_${PLUGIN_RUNTIME}_LIBRARIES})
  endif()
endfunction()

# The objects of sources that a GPU backend's own compiler compiles. A command each and no language of CMake's: one
# source goes to two compilers, and hipcc is none that CMake knows.
function(_layerhub_gpu_objects target backend sources out)
  set(includes $<TARGET_PROPERTY:layerhub::sdk,INTERFACE_INCLUDE_DIRECTORIES>)
  set(includes $<REMOVE_DUPLICATES:$<FILTER:${includes},EXCLUDE,^/usr/include/?$>>)  # the compiler's own, in its order
  set(objects "")
  foreach(source IN LISTS sources)
    get_filename_component(file ${source} NAME)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${target}-${backend}-kernels/${file}.o)
    add_custom_command(OUTPUT ${object}
      COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} ${LAYERHUB_${backend}_COMPILE} -I${CMAKE_CURRENT_SOURCE_DIR}
              "-I$<JOIN:${includes},;-I>" -DLAYERHUB_TU_CAPABILITY=${LAYERHUB_${backend}_CAPABILITY}
              -MD -MF ${object}.d -c ${source} -o ${object}
      DEPENDS ${source} DEPFILE ${object}.d COMMENT "Building ${backend} object ${PLUGIN_REPO}: ${file}"
      COMMAND_EXPAND_LISTS VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/${target}-${backend}-kernels)
  set(${out} "${objects}" PARENT_SCOPE)
endfunction()

# Whether the backend can't be built here. What is found or left out is said once, by the first who asks, and kept in
# the global property LAYERHUB_BACKENDS.
function(_layerhub_is_missing backend out)
  set(${out} "${LAYERHUB_${backend}_MISSING}" PARENT_SCOPE)
  get_property(is_said GLOBAL PROPERTY LAYERHUB_${backend}_IS_SAID)
  if(is_said)
    return()
  endif()
  if(LAYERHUB_${backend}_MISSING)
    set(line "${backend}: left out; ${LAYERHUB_${backend}_MISSING}")
  else()
    set(line "${backend}: ${LAYERHUB_${backend}_TOOLCHAIN}")
    if(LAYERHUB_${backend}_ARCHS)
      string(APPEND line " for ${LAYERHUB_${backend}_ARCHS}")
    endif()
  endif()
  message(STATUS "layerhub: ${line}")
  set_property(GLOBAL PROPERTY LAYERHUB_${backend}_IS_SAID TRUE)
  set_property(GLOBAL APPEND_STRING PROPERTY LAYERHUB_BACKENDS "${line}\n")
endfunction()

# Every plugin's libraries of one backend: the target plugins-<backend>.
function(_layerhub_part_of_backend backend target)
  set(group ${LAYERHUB_TARGET_PREFIX}plugins-${backend})
  if(NOT TARGET ${group})
    add_custom_target(${group})
  endif()
  add_dependencies(${group} ${target})
endfunction()

# Lays the libraries of one backend out as the variant `layerhub1-<tag>-x86_64-linux`. `described`: a list of
# file:capability:features. `archs`: what metadata says of the targets, comma separated, or empty.
function(_layerhub_publish_variant target backend tag archs libraries described)
  set(folder ${PLUGIN_ROOT}/${PLUGIN_REPO}/${PLUGIN_REVISION}/build/layerhub1-${tag}-x86_64-linux)
  set(stamp ${CMAKE_CURRENT_BINARY_DIR}/${target}-${backend}.stamp)
  add_custom_command(OUTPUT ${stamp}
    COMMAND ${CMAKE_COMMAND} -DDESCRIBE=$<TARGET_FILE:layerhub::describe_plugin> -DFOLDER=${folder}
            "-DLIBRARIES=${described}" -DREPO=${PLUGIN_REPO} -DREVISION=${PLUGIN_REVISION} -DLICENSE=${PLUGIN_LICENSE}
            -DBACKEND=${backend} -DARCHS=${archs} -P ${LAYERHUB_SDK_CMAKE_DIR}/publish_plugin.cmake
    COMMAND ${CMAKE_COMMAND} -E touch ${stamp}
    DEPENDS ${libraries} layerhub::describe_plugin ${LAYERHUB_SDK_CMAKE_DIR}/publish_plugin.cmake
    COMMENT "Plugin ${PLUGIN_REPO}@${PLUGIN_REVISION} for ${backend}" VERBATIM)
  add_custom_target(${target}-${backend} DEPENDS ${stamp})
  add_dependencies(${target} ${target}-${backend})
  if(PLUGIN_RUNTIME)
    set(backend ${PLUGIN_RUNTIME})
    _layerhub_part_of_backend(${backend} ${target})
  else()
    _layerhub_part_of_backend(${backend} ${target}-${backend})
  endif()
endfunction()

# ---- One function per backend: does nothing where the plugin has no source for it ----

function(_layerhub_add_cpu_variant target name)
  file(GLOB files CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} *.cpu.cpp *.cpu-*.cpp)
  set(stems ${files})
  list(TRANSFORM stems REPLACE "\\.cpu(-[a-z0-9-]+)?\\.cpp$" "")
  list(REMOVE_DUPLICATES stems)
  set(libraries "")
  set(described "")
  foreach(level IN LISTS LAYERHUB_CPU_LEVELS)
    set(own ${files})
    list(FILTER own INCLUDE REGEX "\\.cpu-${level}\\.cpp$")
    if((NOT own AND NOT LAYERHUB_CPU_${level}_ALWAYS) OR (PLUGIN_BASELINE AND libraries))
      continue()
    endif()
    set(sources "")
    foreach(stem IN LISTS stems)
      _layerhub_source_for(${stem} ${level} source)
      list(APPEND sources ${source})
    endforeach()
    if(sources)
      set(capability ${LAYERHUB_CPU_${level}_CAPABILITY})
      set(features "${LAYERHUB_CPU_${level}_FEATURES}")
      _layerhub_add_host_library(${target}-${level} ${name} ${level} ${capability} "${features}"
        "${LAYERHUB_CPU_${level}_FLAGS}" "${sources}")
      list(APPEND libraries ${target}-${level})
      list(APPEND described "$<TARGET_FILE:${target}-${level}>:${capability}:${features}")
    endif()
  endforeach()
  if(libraries)
    _layerhub_publish_variant(${target} cpu cpu "" "${libraries}" "${described}")
  endif()
endfunction()

function(_layerhub_add_opencl_variant target name)
  file(GLOB sources CONFIGURE_DEPENDS *.opencl.cpp)
  if(NOT sources)
    return()
  endif()
  _layerhub_is_missing(opencl missing)
  if(NOT missing)
    set(PLUGIN_RESIDENT TRUE)  # the programs that it has built are kept for the life of the process
    _layerhub_add_host_library(${target}-opencl12 ${name} opencl12 ${LAYERHUB_OPENCL_CAPABILITY} ""
      "${LAYERHUB_CPU_v2_FLAGS}" "${sources}")
    _layerhub_publish_variant(${target} opencl ${LAYERHUB_OPENCL_BACKEND} "" ${target}-opencl12
      "$<TARGET_FILE:${target}-opencl12>:${LAYERHUB_OPENCL_CAPABILITY}:")
  endif()
endfunction()

# Stays loaded: the runtime calls back into what it has registered.
function(_layerhub_add_gpu_variant target name backend)
  file(GLOB sources CONFIGURE_DEPENDS ${LAYERHUB_${backend}_SUFFIXES})
  if(NOT sources)
    return()
  endif()
  _layerhub_is_missing(${backend} missing)
  if(missing)
    return()
  endif()
  set(tag ${LAYERHUB_${backend}_TAG})
  _layerhub_gpu_objects(${target} ${backend} "${sources}" objects)
  _layerhub_add_library(${target}-${tag} ${name}-${tag} ${tag}/${LAYERHUB_${backend}_ARCHS}
    "${LAYERHUB_${backend}_TOOLCHAIN}" TRUE ${objects})
  target_link_libraries(${target}-${tag} PRIVATE ${LAYERHUB_${backend}_LIBRARIES})
  _layerhub_publish_variant(${target} ${backend} ${tag} "${LAYERHUB_${backend}_ARCHS}" ${target}-${tag}
    "$<TARGET_FILE:${target}-${tag}>:${LAYERHUB_${backend}_CAPABILITY}:")
endfunction()

function(layerhub_add_plugin)
  cmake_parse_arguments(PLUGIN "BASELINE;RESIDENT" "REPO;REVISION;LICENSE;ROOT;RUNTIME" "" ${ARGN})
  if(NOT PLUGIN_REPO MATCHES "^[A-Za-z0-9][-A-Za-z0-9_.]*/[a-z][-a-z0-9]*[a-z0-9]$")
    message(FATAL_ERROR "layerhub_add_plugin: REPO is `${PLUGIN_REPO}`; give org/name, the name in lower case")
  endif()
  if(NOT PLUGIN_REVISION MATCHES "^[A-Za-z0-9][-A-Za-z0-9_.]*$")
    message(FATAL_ERROR "layerhub_add_plugin: ${PLUGIN_REPO}: REVISION is `${PLUGIN_REVISION}`; give one such as v1")
  endif()
  if(NOT PLUGIN_LICENSE)
    set(PLUGIN_LICENSE Apache-2.0)
  endif()
  if(NOT PLUGIN_ROOT)
    set(PLUGIN_ROOT ${LAYERHUB_PLUGIN_ROOT})
  endif()
  if(NOT PLUGIN_ROOT)
    set(PLUGIN_ROOT ${CMAKE_BINARY_DIR}/plugins)
  endif()
  if(PLUGIN_RUNTIME)
    _layerhub_is_missing(${PLUGIN_RUNTIME} missing)
    if(missing)
      return()
    endif()
  endif()
  string(REGEX REPLACE ".*/" "" name ${PLUGIN_REPO})
  string(REPLACE "/" "-" target ${LAYERHUB_TARGET_PREFIX}plugin-${PLUGIN_REPO}-${PLUGIN_REVISION})

  file(GLOB content CONFIGURE_DEPENDS *.cpp *.hpp *.cu *.cl)
  set(suffixed ${content})
  list(FILTER suffixed INCLUDE REGEX "\\.(cpu(-[a-z0-9-]+)?\\.cpp|opencl\\.cpp|gpu\\.cu|cuda\\.cu|hip\\.cpp)$")
  if(NOT suffixed)
    message(FATAL_ERROR "layerhub_add_plugin: ${PLUGIN_REPO}: no source file; name one NAME.cpu.cpp, "
      "NAME.opencl.cpp or NAME.gpu.cu")
  endif()
  set(sources_digest "")
  foreach(file IN LISTS content)
    file(SHA256 ${file} digest)
    string(APPEND sources_digest ${digest})
  endforeach()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${content})  # the digest is computed here

  add_custom_target(${target} ALL)
  _layerhub_add_cpu_variant(${target} ${name})
  _layerhub_add_opencl_variant(${target} ${name})
  _layerhub_add_gpu_variant(${target} ${name} cuda)
  _layerhub_add_gpu_variant(${target} ${name} rocm)
  set(group ${LAYERHUB_TARGET_PREFIX}plugins)
  if(NOT TARGET ${group})
    add_custom_target(${group})  # all plugins of the build
  endif()
  add_dependencies(${group} ${target})
endfunction()
