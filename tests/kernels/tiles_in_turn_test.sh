#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every kernel of layerhub/linear holds with one tile at a time and with two in turn, whichever this processor takes.
set -uo pipefail
program=$2/bin/tests-kernels
for tiles in 1 2; do
  LAYERHUB_TILES_IN_TURN=$tiles LAYERHUB_TEST_KERNELS=linear-v3: \
    "$program" --warn NoAssertions "every kernel of the cpu*" || {
    echo "with LAYERHUB_TILES_IN_TURN=$tiles" >&2
    exit 1
  }
done
