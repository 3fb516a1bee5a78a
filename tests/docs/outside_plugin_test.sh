#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A plugin that is built outside this tree, from the installed SDK alone, serves a host that was built before it.
# usage: outside_plugin_test.sh SOURCE_DIR BUILD_DIR
#
# The author's machine is played by a folder with the installed files and a copy of sdk/template. The hosts are the
# program layerhub, which takes what it finds, and samples/1-mark-a-layer, which asks for layerhub/activation@v1 and so
# gets the template under that name. Neither may change by as much as its date.
set -uo pipefail
source_dir=$1 build=$2
host=$build/bin/mark-a-layer
[ -x "$host" ] || { echo "$host is not built"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "$1"; [ -z "${2:-}" ] || cat "$2"; exit 1; }

# A host finds no plugin but those of the folder that it is given, and this processor is what it is.
export HOME=$work/home XDG_DATA_HOME=$work/home
export CMAKE_GENERATOR=Ninja  # what tests/run installs; an author has this or make
unset LAYERHUB_PATH LAYERHUB_OVERRIDES LAYERHUB_DISABLE LAYERHUB_CPU_CAPABILITY

hosts() { stat -c '%n %Y %s %i' "$host" "$build"/lib/liblayerhub.so* "$build/bin/layerhub"; }
before=$(hosts)

cmake --install "$build" --prefix "$work/prefix" >"$work/install.log" 2>&1 ||
  fail "no installation:" "$work/install.log"
# At the beginning of a word: a tree that lies in /src is no part of <prefix>/src.
! grep -rqE "(^|[\"' ;=])$source_dir/" "$work/prefix/lib/cmake" || fail "the installed files speak of the source tree"

# author FOLDER REPO: builds the template there under that name and sets `made` to its plugin directory.
author() {
  cp -r "$source_dir/sdk/template" "$1"
  sed -i "s|REPO myorg/my-kernels|REPO $2|" "$1/CMakeLists.txt"
  { cmake -S "$1" -B "$1/build" -DCMAKE_PREFIX_PATH="$work/prefix" && cmake --build "$1/build"; } >"$1/log" 2>&1 ||
    fail "$2 can't be built outside the tree:" "$1/log"
  made=$1/build/plugins
}

# Dropped in: the folder of the repository is copied into a plugin directory that the host is told of.
mkdir "$work/plugins"
"$host" "$work/plugins" >"$work/output" 2>&1 && fail "the host is served before there is a plugin:" "$work/output"
author "$work/named" layerhub/activation
cp -r "$made/layerhub" "$work/plugins/"
"$host" "$work/plugins" >"$work/output" 2>&1 || fail "the host fails with the plugin:" "$work/output"
grep -q 'by-row' "$work/output" || fail "the kernel from outside does not serve:" "$work/output"
own=$(sed -n 's/^own forward: //p' "$work/output")
[ "$own" = "$(sed -n 's/^from the plugin: //p' "$work/output")" ] ||
  fail "other numbers than the own forward's:" "$work/output"

author "$work/author" myorg/my-kernels
cp -r "$made/myorg" "$work/plugins/"
"$build/bin/layerhub" info myorg/my-kernels --plugins "$work/plugins" >"$work/output" 2>&1 ||
  fail "layerhub does not know the plugin:" "$work/output"
"$build/bin/layerhub" explain SiluAndMul --plugins "$made" >"$work/output" 2>&1 && grep -q ' serves$' "$work/output" ||
  fail "layerhub does not choose the plugin:" "$work/output"

[ "$(hosts)" = "$before" ] || fail "a host was rebuilt"
