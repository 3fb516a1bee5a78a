#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each public header compiles alone, in every language it is made for, without a warning: C headers as C11 and
# C++20, the others as C++20. Not those of kernels for GPUs (sdk/gpu*.hpp), which are the other compilers' and
# compile with every such kernel. usage: public_headers_test.sh SOURCE_DIR BUILD_DIR
set -uo pipefail
cd "$1" || exit 1
bad=0
flags=(-Wall -Wextra -Wpedantic -Werror -fsyntax-only -Isdk/include -Icore/include)
alone() {  # alone HEADER COMPILER LANGUAGE STANDARD
  echo "#include <${1#*/include/}>" | "$2" -x "$3" -std="$4" "${flags[@]}" - || { echo "$1: not alone as $4"; bad=1; }
}

while read -r header; do
  alone "$header" "${CC:-cc}" c c11
  alone "$header" "${CXX:-c++}" c++ c++20
done < <(find sdk/include core/include -name '*.h' | sort)
while read -r header; do
  alone "$header" "${CXX:-c++}" c++ c++20
done < <(find sdk/include core/include -name '*.hpp' -not -path '*/sdk/gpu*' | sort)
exit $bad
