#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A plugin compiled outside this tree, from nothing but an installed SDK, serves a host that was built before it.
# usage: outside_plugin_test.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
source_dir=$1 build_dir=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fails() { echo "$*"; exit 1; }

cmake --install "$build_dir" --prefix "$work/prefix" >"$work/install.log" || fails "$(tail -5 "$work/install.log")"
cp -r "$source_dir/sdk/template" "$work/my-kernels"
cmake -G Ninja -S "$work/my-kernels" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/log" 2>&1 &&
  cmake --build "$work/build" >>"$work/log" 2>&1 || fails "$(tail -20 "$work/log")"
grep -rq "$source_dir" "$work/build/build.ninja" && fails "the outside project refers to the source tree"

# Dropped in: the folder and nothing else.
mkdir -p "$work/plugins"
cp -r "$work/build/plugins/myorg" "$work/plugins/"
before=$(stat -c %Y "$build_dir"/lib/liblayerhub.so "$build_dir"/bin/layerhub)

"$work/prefix/bin/layerhub" list --plugins "$work/plugins" >"$work/list"
grep -q 'myorg/my-kernels' "$work/list" || fails "the installed program does not list it: $(cat "$work/list")"
explanation=$("$build_dir/bin/layerhub" explain SiluAndMul --plugins "$work/plugins")
grep -q 'myorg/my-kernels' <<<"$explanation" || fails "explain does not name it: $explanation"

# The real host: its activation comes from the new plugin, and no other layer changes.
model=${LAYERHUB_MODEL:-${XDG_CACHE_HOME:-$HOME/.cache}/layerhub/models/SmolLM2-135M-Instruct.Q4_1.gguf}
if [ -f "$model" ]; then
  "$build_dir/bin/smollm2" --model "$model" --plugins "$work/plugins" --prompt Hi --raw --tokens 2 \
    --json "$work/run.json" >"$work/run.log" 2>&1 || fails "$(tail -5 "$work/run.log")"
  served=$(grep -o '"repo": *"[^"]*"' "$work/run.json" | sort -u)
  [ "$served" = '"repo": "myorg/my-kernels"' ] || [ "$served" = '"repo":"myorg/my-kernels"' ] ||
    fails "the sample was served by: $served"
fi
[ "$before" = "$(stat -c %Y "$build_dir"/lib/liblayerhub.so "$build_dir"/bin/layerhub)" ] ||
  fails "something of the host was rebuilt"
