#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each *.txt beside this script is a conversation with the program: its commands are run, and what they print compared.
# usage: transcripts_test.sh SOURCE_DIR BUILD_DIR [--write]
#
#   # what the transcript is about          a comment
#   $ layerhub list                         a command, run by bash in a folder of the transcript's own
#   repository  revision ...                what it prints, on either stream
#   [1]                                     its exit status, where it is not 0
#
# `add FAKE...` lays out fakes of tests/support/fakes.cmake in the plugin directory `plugins`, where `layerhub` looks
# and nowhere else. `bench` runs a script of tests/bench. What differs between machines is replaced: the folder by HERE,
# the processor's name by CPU, digests by DIGEST; the processor counts as one of the first level. --write puts what is
# printed now into the files, to be read and committed.
set -uo pipefail
transcripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_dir=$1 build_dir=$2 write=${3:-} bad=0

add() {
  local fake repo revision backend folder
  for fake in "$@"; do
    repo=$(sed -n 's/.*"repo": "\([^"]*\)".*/\1/p' "$build_dir/tests/fakes/$fake.json" | head -1)
    revision=$(sed -n 's/.*"revision": "\([^"]*\)".*/\1/p' "$build_dir/tests/fakes/$fake.json" | head -1)
    backend=cpu
    ! grep -q '"type": "cuda"' "$build_dir/tests/fakes/$fake.json" || backend=cu130
    folder=plugins/$repo/$revision/build/layerhub1-$backend-x86_64-linux
    mkdir -p "$folder"
    cp "$build_dir/tests/fakes/$fake.so" "$folder/"
    cp "$build_dir/tests/fakes/$fake.json" "$folder/metadata.json"
  done
}
layerhub() {
  env -u LAYERHUB_LOG -u LAYERHUB_DISABLE -u XDG_DATA_HOME HOME="$PWD" LAYERHUB_PATH="$PWD/plugins" \
    LAYERHUB_CPU_CAPABILITY=1 "$build_dir/bin/layerhub" "$@"
}
unset LAYERHUB_CPU_CAPABILITY
bench() { "$source_dir/tests/bench/$1" "${@:2}"; }
export -f add layerhub bench
export source_dir build_dir

# Prints the transcript $1 as it is now.
replay() {
  local line here status
  here=$(mktemp -d)
  while IFS= read -r line; do
    case $line in
      '#'*) printf '%s\n' "$line" ;;
      '$ '*)
        printf '%s\n' "$line"
        (cd "$here" && bash -c "${line#\$ }") >"$here.output" 2>&1 </dev/null
        status=$?
        sed -E "s|$here|HERE|g; s/with .* \(x86-64/with CPU (x86-64/; s/^(cpu +x86-64 level 1 +)[^ ].*/\1CPU/
          s|sha256-[A-Za-z0-9+/=]{44}|DIGEST|; s/ +$//" "$here.output"
        [ $status = 0 ] || echo "[$status]"
        ;;
    esac
  done <"$1"
  rm -rf "$here" "$here.output"
}

for transcript in "$transcripts"/*.txt; do
  now=$(replay "$transcript")
  [ "$now" = "$(cat "$transcript")" ] && continue
  if [ "$write" = --write ]; then
    printf '%s\n' "$now" >"$transcript"
  else
    echo "${transcript##*/}: expected (-) and printed (+):"
    diff -u <(cat "$transcript") <(printf '%s\n' "$now") | tail -n +3
    bad=1
  fi
done
exit $bad
