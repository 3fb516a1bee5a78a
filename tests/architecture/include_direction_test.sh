#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Who may include whom, one way:
#   sdk <- public headers <- base <- hub <- admission <- plugin <- device <- dispatch <- command line, samples
# plugins see the SDK alone; samples see what is installed. And no vendor's name decides anything in the
# loader: a device is a row of a table or a plugin. usage: include_direction_test.sh SOURCE_DIR BUILD_DIR
set -uo pipefail
cd "$1" || exit 1
bad=0
refuse() { echo "$*"; bad=1; }
order=(base hub admission plugin device dispatch)

rank() {
  local i
  for i in "${!order[@]}"; do [ "${order[i]}" = "$1" ] && { echo "$i"; return; }; done
  [ "$1" = conformance ] && echo 3  # beside plugin: it calls kernels, and knows no host layer
}

includes() { grep -rnoE "$1" --include='*.[ch]pp' --include='*.h' --include='*.cu' "${@:2}" 2>/dev/null; }

# Inside core/src an include is written from there: "hub/resolver.hpp".
while IFS=: read -r file line text; do
  from=$(cut -d/ -f3 <<<"$file") to=$(sed -E 's|.*"([^/"]*)/.*|\1|' <<<"$text")
  [ -n "$(rank "$from")" ] || { refuse "$file: the folder $from has no place in the order; give it one"; continue; }
  [ -n "$(rank "$to")" ] || { refuse "$file:$line: $text: no such folder of core/src"; continue; }
  [ "$(rank "$to")" -le "$(rank "$from")" ] || refuse "$file:$line: $from must not include $to, which stands above it"
done < <(includes '#include "[a-z_]+/[^"]*"' core/src)

while read -r found; do
  refuse "$found: the SDK and plugins see layerhub/abi, layerhub/sdk and layerhub/layers only"
done < <(includes '#include <layerhub/[^>]*>' sdk plugins | grep -vE '<layerhub/(abi\.h|abi/|sdk/|layers/)')

while read -r found; do
  refuse "$found: a public header and a sample include what is installed, never core/src"
done < <(includes '#include "(base|hub|admission|plugin|device|dispatch)/[^"]*"' core/include samples sdk plugins)

while read -r found; do
  refuse "$found: a vendor's name outside the tables of device types, variants and archs"
done < <(grep -rniE '\b(cuda|hip|rocm|opencl|nvidia|metal|sycl|xpu)' core/src --include='*.[ch]pp' |
  sed -E 's|//.*||' | grep -iE ':.*\b(cuda|hip|rocm|opencl|nvidia|metal|sycl|xpu)' |
  grep -vE '^core/src/(device/device_types|hub/(variant|archs|system))')
exit $bad
