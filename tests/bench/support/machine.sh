# SPDX-License-Identifier: Apache-2.0
# What tests/bench/run and tests/bench/peers share: which machine it was, and the file of the figures. Sourced.
machine() { printf '%s, %s processors%s' "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)" "$(nproc)" \
  "${LAYERHUB_CPU_CAPABILITY:+, LAYERHUB_CPU_CAPABILITY=$LAYERHUB_CPU_CAPABILITY}"; }

print_machine() {
  printf '%s, Linux %s; huge pages: %s; load %s\n' "$(machine)" "$(uname -r)" \
    "$(cat /sys/kernel/mm/transparent_hugepage/enabled 2>/dev/null)" "$(cut -d' ' -f1-3 /proc/loadavg)"
}

# write_json FILE ROWS [NAME TEXT]...: one object of these texts and of what the benches appended, one row a line.
write_json() {
  local file=$1 rows=$2 facts
  facts=$(printf '"machine": "%s"' "$(machine)")
  shift 2
  while [ $# -gt 1 ]; do
    facts+=", \"$1\": \"$2\""
    shift 2
  done
  printf '{%s, "rows": [\n%s\n]}\n' "$facts" "$(sed '$!s/$/,/' "$rows")" >"$file" ||
    fail "$file: it cannot be written; give another --json"
}
