#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a document points at is there. usage: references_test.sh SOURCE_DIR BUILD_DIR
#  - a relative link leads to a file or folder of the tree
#  - a rule's row in sdk/docs/rules.md names tests that exist, a case in quotes being part of a name in that file
#  - each rule of abi.h has a row there
set -uo pipefail
cd "$1" || exit 1
bad=0 seen=0
complain() { echo "$*"; bad=1; }

while read -r document; do
  while read -r target; do
    seen=$((seen + 1))
    [ -e "$(dirname "$document")/${target%%#*}" ] || complain "$document: links to $target, which is not there"
  done < <(grep -oE '\]\([^)# ][^) ]*\)' "$document" | sed 's/^](//; s/)$//' | grep -v '://')
done < <(find README.md .github sdk core plugins samples tests -name '*.md' | sort)

rules=sdk/docs/rules.md
while IFS='|' read -r _ id _ _ _ tests _; do
  id=$(tr -d ' ' <<<"$id")
  seen=$((seen + 1))
  grep -qF " $id  " sdk/include/layerhub/abi.h || complain "$rules: $id is no rule of abi.h"
  files=$(grep -oE '`tests/[^`]*`' <<<"$tests" | tr -d '`')
  [ -n "$files" ] || complain "$rules: $id names no test"
  for file in $files; do [ -e "$file" ] || complain "$rules: $id names $file, which is not there"; done
  while read -r name; do
    # shellcheck disable=SC2086  # paths of this tree have no spaces
    [ -z "$name" ] || grep -qF "$name" $files || complain "$rules: $id names \"$name\", which is no test of $files"
  done < <(grep -oE '"[^"]+"' <<<"$tests" | tr -d '"')
done < <(grep -E '^\| R[0-9]+ ' "$rules")

for id in $(grep -oE '^ \*  R[0-9]+ ' sdk/include/layerhub/abi.h | tr -d ' *'); do
  grep -q "^| $id |" "$rules" || complain "$rules: has no row for $id"
done

[ "$seen" != 0 ] || { echo "no document points at anything"; exit 77; }
exit $bad
