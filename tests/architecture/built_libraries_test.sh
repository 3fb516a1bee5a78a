#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What may be said of the built files without running them. usage: built_libraries_test.sh SOURCE_DIR
# BUILD_DIR
#  - the loader needs no device runtime
#  - a plugin exports its query and nothing else, keeps no symbol unique in the process (two revisions would share
#    it), and runs nothing of its own when opened
#  - the entry unit of a library for a wide processor holds no wide instruction and no symbol that the linker may
#    merge with a wide copy
set -uo pipefail
build=$2
bad=0 seen=0
refuse() { echo "$*"; bad=1; }

for file in "$build"/lib/liblayerhub.so "$build"/bin/layerhub; do
  [ -e "$file" ] || continue
  seen=$((seen + 1))
  found=$(ldd "$file" | grep -iE 'cuda|cudart|nvrtc|hip|rocm|hsa|opencl')
  [ -z "$found" ] || refuse "$file: needs a device runtime:" $found
done

while read -r library; do
  seen=$((seen + 1))
  symbols=$(nm -D --defined-only "$library" | awk '{ print $NF }' | sort | tr '\n' ' ')
  [ "$symbols" = "lh_plugin_query_v1 " ] || refuse "$library: exports $symbols; only lh_plugin_query_v1 may be"
  unique=$(readelf -sW "$library" | awk '$5 == "UNIQUE" { print $8 }')
  [ -z "$unique" ] || refuse "$library: unique symbols:" $unique
  [ -z "${LAYERHUB_SANITIZER:-}" ] || continue
  # One pointer is the compiler's frame_dummy; a second is a constructor, which would run at the moment of
  # opening.
  size=$(readelf -SW "$library" | awk '{ for (i = 1; i < NF; i++) if ($i == ".init_array") print $(i + 4) }')
  [ $((16#${size:-0})) -le 8 ] ||
    refuse "$library: has a constructor; make its object constinit or build it when first used"
done < <(find "${LAYERHUB_PLUGIN_ROOT:-$build/plugins}" -name '*.so' | sort)

while read -r object; do
  seen=$((seen + 1))
  wide=$(objdump -d --no-show-raw-insn "$object" | grep -cE '%[yz]mm|%k[1-7]')
  [ "$wide" = 0 ] || refuse "$object: $wide wide instructions in the entry unit"
  weak=$(nm "$object" | awk '$2 ~ /^[WVuvw]$/ && $3 !~ /^__(asan|ubsan|tsan)/ { print $3 }')
  [ -z "$weak" ] || refuse "$object: the linker may merge:" $weak
done < <(find "$build/plugins" -path '*-entry.dir*' -name '*.o' | sort)

[ "$seen" != 0 ] || { echo "nothing is built in $build"; exit 77; }
exit $bad
