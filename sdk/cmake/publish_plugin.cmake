# SPDX-License-Identifier: Apache-2.0
# Lays one variant out, whole or not at all: everything is written to a staging folder beside it, then
# renamed. Copies, never links: a library that a process has open keeps its own inode, and the new one is a
# new file. Expects DESCRIBE, FOLDER, LIBRARIES (list of file:capability:features), REPO, REVISION, LICENSE,
# BACKEND, ARCHS (comma separated, or empty).
get_filename_component(parent ${FOLDER} DIRECTORY)
get_filename_component(variant ${FOLDER} NAME)
string(RANDOM LENGTH 8 suffix)
set(staging ${parent}/.staging-${suffix})
file(MAKE_DIRECTORY ${staging})

set(arguments "")
foreach(entry IN LISTS LIBRARIES)
  string(REGEX MATCH "^(.*):([0-9]+):(.*)$" matched ${entry})
  file(COPY ${CMAKE_MATCH_1} DESTINATION ${staging})
  get_filename_component(file ${CMAKE_MATCH_1} NAME)
  list(APPEND arguments ${staging}/${file}:${CMAKE_MATCH_2}:${CMAKE_MATCH_3})
endforeach()

if(ARCHS)
  list(PREPEND arguments --archs ${ARCHS})
endif()
execute_process(
  COMMAND ${DESCRIBE} --repo ${REPO} --revision ${REVISION} --license ${LICENSE} --backend ${BACKEND} ${arguments}
  OUTPUT_FILE ${staging}/metadata.json RESULT_VARIABLE result ERROR_VARIABLE error)
if(NOT result EQUAL 0)
  file(REMOVE_RECURSE ${staging})
  message(FATAL_ERROR "${REPO}@${REVISION}: the library can't be described: ${error}")
endif()
if(EXISTS ${FOLDER})
  file(RENAME ${FOLDER} ${parent}/.old-${suffix})
endif()
file(RENAME ${staging} ${FOLDER})
file(REMOVE_RECURSE ${parent}/.old-${suffix})
