#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The sample for devices computes the same there as on the cpu, and says in one line why a device is missing.
# usage: another_device_test.sh SOURCE_DIR BUILD_DIR
set -uo pipefail
program=$2/bin/another-device
bad=0
for device in cpu opencl cuda rocm; do
  said=$("$program" "$device" "$LAYERHUB_PLUGIN_ROOT" 2>&1)
  status=$?
  own=$(sed -n 's/^own forward: *//p' <<<"$said") there=$(sed -n 's/^from the plugin: *//p' <<<"$said")
  if [ $status = 0 ]; then
    [ -n "$own" ] && [ "$own" = "$there" ] && grep -q "^on $device[:0]*, .*: layerhub/activation@v1: " <<<"$said"
  else
    [ "$device" != cpu ] && [ "$(wc -l <<<"$said")" = 1 ] && [[ $said == "device $device:0: "* ]]
  fi || { printf '%s: exit status %s\n%s\n' "$device" $status "$said"; bad=1; }
done
exit $bad
