# SPDX-License-Identifier: Apache-2.0
# layerhub_add_plugin(REPO org/name REVISION v1 [LICENSE Apache-2.0] [ROOT dir])
#
# Makes a plugin from the files of the current folder: sources are found by suffix (LayerhubBackends.cmake),
# compiled once per capability level, linked into one library per level, described by a small program that
# queries each of them, and laid out as <root>/<org>/<name>/<revision>/build/<variant>/. Include folders of
# the plugin: its own folder. ROOT defaults to LAYERHUB_PLUGIN_ROOT, and that to <build>/plugins. The target
# is plugin-<org>-<name>-<revision>.
include_guard()
include(${CMAKE_CURRENT_LIST_DIR}/LayerhubBackends.cmake)
set(LAYERHUB_SDK_CMAKE_DIR ${CMAKE_CURRENT_LIST_DIR})
set(LAYERHUB_SDK_ENTRY ${CMAKE_CURRENT_LIST_DIR}/plugin_entry.cpp)  # installed: beside this file
if(NOT EXISTS ${LAYERHUB_SDK_ENTRY})
  get_filename_component(LAYERHUB_SDK_ENTRY ${CMAKE_CURRENT_LIST_DIR}/../src/plugin_entry.cpp ABSOLUTE)
endif()

# The file of `stem` for `level`: its own, the inherited level's, or the general one. Empty where there is
# none.
function(_layerhub_source_for stem level out)
  set(candidates ${stem}.cpu-${level}.cpp)
  if(LAYERHUB_CPU_${level}_INHERITS)
    list(APPEND candidates ${stem}.cpu-${LAYERHUB_CPU_${level}_INHERITS}.cpp)
  endif()
  list(APPEND candidates ${stem}.cpu.cpp)
  set(${out} "" PARENT_SCOPE)
  foreach(candidate IN LISTS candidates)
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${candidate})
      set(${out} ${CMAKE_CURRENT_SOURCE_DIR}/${candidate} PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

# One library: the level's objects and the entry unit at baseline flags.
function(_layerhub_add_library target name level sources)
  add_library(${target}-kernels OBJECT ${sources})
  target_link_libraries(${target}-kernels PRIVATE layerhub::sdk)
  target_include_directories(${target}-kernels PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_compile_features(${target}-kernels PRIVATE cxx_std_20)
  target_compile_options(${target}-kernels PRIVATE ${LAYERHUB_PLUGIN_FLAGS} ${LAYERHUB_CPU_${level}_FLAGS})
  target_compile_definitions(${target}-kernels PRIVATE
    LAYERHUB_TU_CAPABILITY=${LAYERHUB_CPU_${level}_CAPABILITY}
    LAYERHUB_TU_FEATURES="${LAYERHUB_CPU_${level}_FEATURES}"
    LAYERHUB_TU_LEVEL="${level}")

  add_library(${target}-entry OBJECT ${LAYERHUB_SDK_ENTRY})
  target_link_libraries(${target}-entry PRIVATE layerhub::sdk)
  target_compile_features(${target}-entry PRIVATE cxx_std_20)
  target_compile_options(${target}-entry PRIVATE ${LAYERHUB_ENTRY_FLAGS})
  # The identity of the sources, not of the moment: the same sources give the same library.
  string(SHA256 build_id "${PLUGIN_REPO}@${PLUGIN_REVISION}/${level}/${CMAKE_CXX_COMPILER_VERSION}/${sources_digest}")
  string(SUBSTRING ${build_id} 0 16 build_id)
  target_compile_definitions(${target}-entry PRIVATE
    LAYERHUB_PLUGIN_REPO="${PLUGIN_REPO}" LAYERHUB_PLUGIN_REVISION="${PLUGIN_REVISION}"
    LAYERHUB_PLUGIN_BUILD_ID="${build_id}"
    LAYERHUB_PLUGIN_TOOLCHAIN="${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")

  add_library(${target} MODULE $<TARGET_OBJECTS:${target}-kernels> $<TARGET_OBJECTS:${target}-entry>)
  set_target_properties(${target} PROPERTIES PREFIX "" OUTPUT_NAME ${name}-${level} LINKER_LANGUAGE CXX
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/libraries INTERPROCEDURAL_OPTIMIZATION OFF
    LINK_DEPENDS ${LAYERHUB_SDK_CMAKE_DIR}/plugin.version)
  target_link_options(${target} PRIVATE -Wl,--version-script=${LAYERHUB_SDK_CMAKE_DIR}/plugin.version -Wl,--as-needed)
  if(NOT LAYERHUB_SANITIZER)  # a sanitizer's runtime is resolved from the program
    target_link_options(${target} PRIVATE -Wl,-z,defs)
  endif()
endfunction()

function(layerhub_add_plugin)
  cmake_parse_arguments(PLUGIN "" "REPO;REVISION;LICENSE;ROOT" "" ${ARGN})
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
  string(REGEX REPLACE ".*/" "" name ${PLUGIN_REPO})
  string(REPLACE "/" "-" target plugin-${PLUGIN_REPO}-${PLUGIN_REVISION})

  file(GLOB files CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} *.cpu.cpp *.cpu-*.cpp)
  if(NOT files)
    message(FATAL_ERROR "layerhub_add_plugin: ${PLUGIN_REPO}: backend cpu: no source file; name one NAME.cpu.cpp")
  endif()
  set(stems ${files})
  list(TRANSFORM stems REPLACE "\\.cpu(-[a-z0-9-]+)?\\.cpp$" "")
  list(REMOVE_DUPLICATES stems)
  set(sources_digest "")
  file(GLOB content CONFIGURE_DEPENDS *.cpp *.hpp)
  foreach(file IN LISTS content)
    file(SHA256 ${file} digest)
    string(APPEND sources_digest ${digest})
  endforeach()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${content})  # the digest is computed here

  set(libraries "")
  set(described "")
  foreach(level IN LISTS LAYERHUB_CPU_LEVELS)
    set(own ${files})
    list(FILTER own INCLUDE REGEX "\\.cpu-${level}\\.cpp$")
    if(NOT own AND NOT LAYERHUB_CPU_${level}_ALWAYS)
      continue()
    endif()
    set(sources "")
    foreach(stem IN LISTS stems)
      _layerhub_source_for(${stem} ${level} source)
      list(APPEND sources ${source})
    endforeach()
    if(sources)
      _layerhub_add_library(${target}-${level} ${name} ${level} "${sources}")
      list(APPEND libraries ${target}-${level})
      set(needs ${LAYERHUB_CPU_${level}_CAPABILITY}:${LAYERHUB_CPU_${level}_FEATURES})
      list(APPEND described "$<TARGET_FILE:${target}-${level}>:${needs}")
    endif()
  endforeach()

  set(variant layerhub1-cpu-x86_64-linux)
  set(folder ${PLUGIN_ROOT}/${PLUGIN_REPO}/${PLUGIN_REVISION}/build/${variant})
  add_custom_command(OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${target}.stamp
    COMMAND ${CMAKE_COMMAND} -DDESCRIBE=$<TARGET_FILE:layerhub::describe_plugin> -DFOLDER=${folder}
            "-DLIBRARIES=${described}" -DREPO=${PLUGIN_REPO} -DREVISION=${PLUGIN_REVISION} -DLICENSE=${PLUGIN_LICENSE}
            -DBACKEND=cpu -P ${LAYERHUB_SDK_CMAKE_DIR}/publish_plugin.cmake
    COMMAND ${CMAKE_COMMAND} -E touch ${CMAKE_CURRENT_BINARY_DIR}/${target}.stamp
    DEPENDS ${libraries} layerhub::describe_plugin ${LAYERHUB_SDK_CMAKE_DIR}/publish_plugin.cmake
    COMMENT "Plugin ${PLUGIN_REPO}@${PLUGIN_REVISION}" VERBATIM)
  add_custom_target(${target} ALL DEPENDS ${CMAKE_CURRENT_BINARY_DIR}/${target}.stamp)
  if(NOT TARGET plugins)
    add_custom_target(plugins)  # all plugins of the build
  endif()
  add_dependencies(plugins ${target})
endfunction()
