#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A file is small enough to be read at once, says its licence in its first line, has a name of its own in its
# part of the tree, and knows nothing of the machine on which it was written. usage: source_files_test.sh
# SOURCE_DIR BUILD_DIR
set -uo pipefail
cd "$1" || exit 1
bad=0
refuse() { echo "$*"; bad=1; }

mapfile -t files < <(find core plugins samples sdk tests .ci .github .clang-* CMakeLists.txt README.md \
  -type f -not -path '*/data/*' -not -path '*/corpus/*' -not -name '*.json' -not -name '*.txt.in' | sort)

for file in "${files[@]}"; do
  lines=$(wc -l <"$file")
  [ "$lines" -le 500 ] || refuse "$file: $lines lines; 500 at most, split it by what a reader looks for"
  case $file in
    *.md | */cli/*.txt) ;;
    *)
      head -2 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || refuse "$file: no SPDX line; make it the first"
      long=$(awk 'length($0) > 120 { print FNR; exit }' "$file")
      [ -z "$long" ] || refuse "$file:$long: a line of more than 120 columns; break it"
      ;;
  esac
done

# One name, one file, within each part of the tree: a name in a message or a review is then an address.
for part in core plugins samples sdk tests; do
  twice=$(printf '%s\n' "${files[@]}" | grep "^$part/" | sed 's|.*/||' |
    grep -vxE 'README.md|CARD.md|CMakeLists.txt|main.cpp|run|.gitignore' | sort | uniq -d)
  [ -z "$twice" ] || refuse "$part: two files are named" $twice "; rename one"
done

# Registries are named by their clients' settings, folders by the user. Documentation may link to the projects
# it uses.
hosts='pypi\.org|pythonhosted|deb\.debian\.org|registry\.npmjs|huggingface\.co/[a-z]'
places='/(home|Users|root|work|mnt|srv)/[A-Za-z.]'
found=$(grep -nEI "$hosts|$places" "${files[@]}" | grep -v '^tests/architecture/source_files_test.sh:')
[ -z "$found" ] || refuse "a host name or a path of one machine:"$'\n'"$found"
exit $bad
