#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The build folder is configured when what is asked of it differs from what it has, and at no other time: a sample that
# is run takes nothing away from the tests. usage: build_folder_test.sh SOURCE_DIR BUILD_DIR
set -uo pipefail
. "$1/.ci/setup.sh"
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
calls=0 bad=0
cmake() { calls=$((calls + 1)); }

asks() {  # asks CALLS KIND [OPTION...]: to be answered by so many calls of cmake
  local before=$calls want=$1
  shift
  configure "$root/build" "$@"
  [ $((calls - before)) = "$want" ] || { echo "configure $*: $((calls - before)) calls of cmake, want $want"; bad=1; }
}

asks 1 sample
asks 0 sample
asks 1 test
asks 0 test
asks 0 sample
asks 1 test -DLAYERHUB_NVCC=nvcc
asks 0 sample
asks 0 test -DLAYERHUB_NVCC=nvcc
asks 1 test
root=$(mktemp -d -p "$root")  # a folder that was copied, and its stamp with it
mkdir "$root/build"
cp "${root%/*}/build/.configured" "$root/build/"
asks 1 sample
exit $bad
