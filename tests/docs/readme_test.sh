#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a README shows is what happens. usage: readme_test.sh SOURCE_DIR BUILD_DIR
#
# Each fenced block whose fence says so is checked, in the README.md files of the whole tree:
#   ```sh run            its commands succeed, in the root of the tree
#   ```sh run in a new folder
#                        its commands succeed, in a folder made for the document and shared by its blocks, where
#                        $LAYERHUB is the root of the tree
#   ```cpp PATH          its lines stand in the file PATH of the tree, one after the other, indented as they may be
set -uo pipefail
cd "$1" || exit 1
[ "$(readlink -f "$2")" = "$(readlink -f build)" ] || { echo "the documents speak of build/, this is $2"; exit 77; }
bad=0 seen=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LAYERHUB=$PWD
export CMAKE_GENERATOR=Ninja  # what tests/run installs; a reader has this or make

# Writes the marked blocks of document $1 as files of folder $2: NUMBER.fence with the fence's words, NUMBER.body.
split() {
  awk -v out="$2" '
    /^```/ && !open && /^```(sh run|cpp [^ ]+\.[ch]pp)/ { open = 1; n++; line = FNR
      print FNR " " substr($0, 4) > (out "/" sprintf("%03d", n) ".fence"); next }
    /^```/ && open { open = 0; close(out "/" sprintf("%03d", n) ".body"); next }
    open { print > (out "/" sprintf("%03d", n) ".body") }' "$1"
}

check_commands() {  # DOCUMENT:LINE FOLDER BODY
  (cd "$2" && bash -eu "$3" >"$work/output" 2>&1 </dev/null) && return
  echo "$1: the commands fail:"
  cat "$3"
  echo "with:"
  tail -20 "$work/output"
  bad=1
}

check_quotation() {  # DOCUMENT:LINE FILE BODY
  [ -f "$2" ] || { echo "$1: quotes $2, which is not there"; bad=1; return; }
  # Both as one line each of single-spaced words, so that a search is one string comparison.
  local flat
  flat=$(tr -s ' \n' ' ' <"$3" | sed 's/^ //; s/ $//')
  case " $(tr -s ' \n' ' ' <"$2") " in *" $flat "*) return ;; esac
  echo "$1: does not stand like this in $2"
  bad=1
}

while read -r document; do
  blocks=$work/$(tr / _ <<<"$document")
  mkdir -p "$blocks/folder"
  split "$document" "$blocks"
  for fence in "$blocks"/*.fence; do
    [ -e "$fence" ] || continue
    seen=$((seen + 1))
    read -r line words <"$fence"
    case $words in
      "sh run") check_commands "$document:$line" "$PWD" "${fence%.fence}.body" ;;
      "sh run in a new folder") check_commands "$document:$line" "$blocks/folder" "${fence%.fence}.body" ;;
      cpp*) check_quotation "$document:$line" "${words#cpp }" "${fence%.fence}.body" ;;
      *) echo "$document:$line: \`$words\`: unknown mark"; bad=1 ;;
    esac
  done
done < <(find README.md sdk core plugins samples tests -name '*.md' 2>/dev/null | sort)
[ "$seen" != 0 ] || { echo "no document has a marked block"; exit 77; }
exit $bad
