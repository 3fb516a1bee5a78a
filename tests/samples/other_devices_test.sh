#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The sample agrees with its own forwards wherever it is placed: all of it on OpenCL, and the MLP there with the
# rest on the cpu. usage: other_devices_test.sh SOURCE_DIR BUILD_DIR
set -uo pipefail
program=$2/bin/smollm2
model=${LAYERHUB_MODEL:-${XDG_CACHE_HOME:-$HOME/.cache}/layerhub/models/SmolLM2-135M-Instruct.Q4_1.gguf}
[ -e "$model" ] || { echo "skipped: no model at $model"; exit 77; }
if ! "$program" --model "$model" --hub --device opencl --tokens 1 >/dev/null 2>"$2/opencl-here.log"; then
  grep -E 'there is none|no runtime' "$2/opencl-here.log" && { echo "skipped: no OpenCL here"; exit 77; }
fi
bad=0
for placement in opencl mlp=opencl; do
  said=$("$program" --model "$model" --device "$placement" --tokens 8 --prompt 'What is the capital of France?' 2>&1)
  agreement=$(sed -nE 's/^agreement of the two: ([0-9]+)\..*/\1/p' <<<"$said")
  if [ "${agreement:-0}" -lt 87 ]; then
    printf -- '--device %s: the two runs agree on %s %% of 8 tokens\n%s\n' "$placement" "${agreement:-none}" "$said"
    bad=1
  fi
  grep -qE '^Linear +opencl:0 +layerhub/linear@v1 +opencl ' <<<"$said" ||
    { echo "--device $placement: no Linear ran on OpenCL"; bad=1; }
  grep -qE '^copies between devices: [1-9]' <<<"$said" ||
    { echo "--device $placement: the copies are not counted"; bad=1; }
done
exit $bad
