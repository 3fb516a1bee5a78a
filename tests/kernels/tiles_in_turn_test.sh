#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The kernels of layerhub/linear for AVX2 hold with one tile at a time and with two in turn, whichever this processor
# takes; those of other levels differ in the width of their registers.
set -uo pipefail
program=$2/bin/tests-kernels
grep -qw avx2 /proc/cpuinfo || { echo "skipped: this CPU has no AVX2"; exit 77; }
for tiles in 1 2; do
  LAYERHUB_TILES_IN_TURN=$tiles LAYERHUB_TEST_KERNELS=linear-v3: \
    "$program" --warn NoAssertions "every kernel of the cpu*" || {
    echo "with LAYERHUB_TILES_IN_TURN=$tiles" >&2
    exit 1
  }
done
