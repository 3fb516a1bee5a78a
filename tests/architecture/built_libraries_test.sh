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
  found=$(nm -D --undefined-only "$file" | awk '{ print $2 }' | grep -E '^(cu[A-Z]|cuda|nv|hip|hsa_|cl[A-Z])')
  [ -z "$found" ] || refuse "$file: needs functions of a device runtime:" $found
done

# What runs at the moment of opening, by name: the functions that the relocated words of .init_array point to.
constructors() {
  local first size
  read -r first size < <(readelf -SW "$1" |
    awk '{ for (i = 1; i < NF; i++) if ($i == ".init_array") print $(i + 2), $(i + 4) }')
  [ -n "${first:-}" ] || return
  awk -v first="x$first" -v end="x$(printf %016x $((16#$first + 16#$size)))" '
    FNR == NR { name["x" $1] = $3; next }
    $3 == "R_X86_64_RELATIVE" && "x" $1 >= first && "x" $1 < end {
      found = name["x" substr("0000000000000000", 1, 16 - length($4)) $4]
      print found == "" ? "unnamed" : found
    }' <(nm "$1") <(readelf -rW "$1")
}
# The compiler's own; what tells the runtime of a GPU which device code the library carries, and that runtime's
# beginning where it is linked statically. None of them asks for a device.
harmless='^(frame_dummy|_ZL24__sti____cudaRegisterAllv|libcudart_static_[0-9a-f]+|__hip_module_ctor)$'

while read -r library; do
  seen=$((seen + 1))
  symbols=$(nm -D --defined-only "$library" | awk '{ print $NF }' | sort | tr '\n' ' ')
  [ "$symbols" = "lh_plugin_query_v1 " ] || refuse "$library: exports $symbols; only lh_plugin_query_v1 may be"
  unique=$(readelf -sW "$library" | awk '$5 == "UNIQUE" { print $8 }')
  [ -z "$unique" ] || refuse "$library: unique symbols:" $unique
  [ -z "${LAYERHUB_SANITIZER:-}" ] || continue
  for constructor in $(constructors "$library"); do
    [[ $constructor =~ $harmless ]] ||
      refuse "$library: runs $constructor when opened; make its object constinit or build it when first used"
  done
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
