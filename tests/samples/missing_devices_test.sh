#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A device or a kernel that is not there is one line that names it and says why, and exit status 1: never a crash, and
# never the model somewhere else. usage: missing_devices_test.sh SOURCE_DIR BUILD_DIR
set -uo pipefail
program=$2/bin/smollm2
model=${LAYERHUB_MODEL:-${XDG_CACHE_HOME:-$HOME/.cache}/layerhub/models/SmolLM2-135M-Instruct.Q4_1.gguf}
[ -e "$model" ] || { echo "skipped: no model at $model"; exit 77; }
bad=0
for device in cuda:63 rocm:63 opencl:63 mlp=cuda:63; do
  said=$("$program" --model "$model" --device "$device" --tokens 1 2>&1)
  status=$?
  [ "$status" = 1 ] || { echo "--device $device: exit status $status, want 1"; bad=1; }
  grep -qE "^device ${device#*=}: .+" <<<"$said" && [ "$(wc -l <<<"$said")" = 1 ] ||
    { printf -- '--device %s: not one line about it:\n%s\n' "$device" "$said"; bad=1; }
done
for device in '' mlp= attention=; do
  said=$("$program" --model "$model" --device "$device" --tokens 1 2>&1)
  [ $? = 1 ] && grep -qE "^--device ${device}: it names no device; .+" <<<"$said" ||
    { printf -- '--device "%s": not one line about it:\n%s\n' "$device" "$said"; bad=1; }
done
said=$("$program" --model "$model" --evaluate "${model%/*}" 2>&1)
[ $? = 1 ] && grep -qE '^[^ ]+: it cannot be opened; give a JSON file of cases$' <<<"$said" ||
  { printf -- '--evaluate FOLDER: not one line about it:\n%s\n' "$said"; bad=1; }
# Kernels that are switched off are missed as plainly.
said=$(LAYERHUB_DISABLE=1 "$program" --model "$model" --hub --tokens 1 2>&1)
[ $? = 1 ] && grep -qE '^[A-Za-z_]+ on cpu: .*LAYERHUB_DISABLE' <<<"$said" &&
  [ "$(grep -cv '\.\.\.$' <<<"$said")" = 1 ] ||
  { printf 'LAYERHUB_DISABLE=1 --hub: not one line about it:\n%s\n' "$said"; bad=1; }
exit $bad
