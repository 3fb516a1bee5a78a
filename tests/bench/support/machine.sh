# SPDX-License-Identifier: Apache-2.0
# What tests/bench/run and tests/bench/peers share: which machine it was, and the file of the figures. Sourced.
machine() { printf '%s, %s processors%s' "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)" "$(nproc)" \
  "${LAYERHUB_CPU_CAPABILITY:+, LAYERHUB_CPU_CAPABILITY=$LAYERHUB_CPU_CAPABILITY}"; }

print_machine() {
  printf '%s, Linux %s; huge pages: %s; load %s\n' "$(machine)" "$(uname -r)" \
    "$(cat /sys/kernel/mm/transparent_hugepage/enabled 2>/dev/null)" "$(cut -d' ' -f1-3 /proc/loadavg)"
}

# write_json FILE ROWS [PEERS]: one object of what the benches appended, one row a line.
write_json() {
  printf '{"machine": "%s", "peers": "%s", "rows": [\n%s\n]}\n' "$(machine)" "${3:-}" "$(sed '$!s/$/,/' "$2")" >"$1" ||
    fail "$1: it cannot be written; give another --json"
}
