# SPDX-License-Identifier: Apache-2.0
# What tests/bench/run, tests/bench/peers and tests/bench/gpu share: which machine it was, what was typed, and the file
# of the figures. Sourced.
processor() {
  awk -F '[[:space:]]*: ' '
    /^model name/ { name = $2 }
    /^cpu family/ { family = $2 }
    /^model[[:space:]]+:/ { model = $2 }
    END { printf "%s (family %s, model %s)", name, family, model }' /proc/cpuinfo
}
machine() {
  printf '%s, %s processors%s' "$(processor)" "$(nproc)" \
    "${LAYERHUB_CPU_CAPABILITY:+, LAYERHUB_CPU_CAPABILITY=$LAYERHUB_CPU_CAPABILITY}"
}

print_machine() {
  printf '%s, Linux %s; huge pages: %s; load %s\n' "$(machine)" "$(uname -r)" \
    "$(cat /sys/kernel/mm/transparent_hugepage/enabled 2>/dev/null)" "$(cut -d' ' -f1-3 /proc/loadavg)"
}

# A wrong usage: what, the fact, what helps.
refuse() { say "$*"; exit 2; }

# take_json FILE: sets `json`, what was given with --json. It is tried now: it would be a pity after an hour.
take_json() {
  local folder
  case ${1:-} in '' | -*) refuse "--json: the file's name is missing; give --json FILE" ;; esac
  folder=$(dirname "$1")
  if [ -e "$1" ]; then [ ! -d "$1" ] && [ -w "$1" ]; else [ -d "$folder" ] && [ -w "$folder" ]; fi ||
    refuse "$1: it cannot be written; give another --json"
  json=$1
}

# require_known WHAT "KNOWN..." NAME...: every name is one of those.
require_known() {
  local what=$1 known=$2 name
  shift 2
  for name in "$@"; do
    [[ $name != *' '* && " $known " == *" $name "* ]] || refuse "$name: no such $what; there are ${known// /, }"
  done
}

# command_line "SETTING..." PROGRAM OPTION...: how to do this again, in one line, with those of the settings that the
# user made. Where something lies on this machine is left out.
command_line() {
  local setting line=${LAYERHUB_CPU_CAPABILITY:+LAYERHUB_CPU_CAPABILITY=$LAYERHUB_CPU_CAPABILITY }
  for setting in $1; do
    [ -z "${!setting:-}" ] || line+="$setting=... "
  done
  shift
  printf '%s%s' "$line" "$*"
}

# A setting that layerhub would ignore would be taken for what was measured.
check_capability() {
  [[ ${LAYERHUB_CPU_CAPABILITY-1} =~ ^[1-4](\+(avx_vnni|avx512_bf16|avx512_vnni|amx_bf16))*$ ]] ||
    refuse "LAYERHUB_CPU_CAPABILITY: \`$LAYERHUB_CPU_CAPABILITY\` is no level; give 1, 2, 3 or 4, or 3+avx_vnni"
}

# write_json FILE ROWS [NAME TEXT]...: one object of these texts and of what the benches appended, one row a line.
write_json() {
  local file=$1 rows=$2 facts
  facts=$(printf '"machine": "%s", "date": "%s"' "$(machine)" "$(date -u +%F)")
  shift 2
  while [ $# -gt 1 ]; do
    facts+=", \"$1\": \"$(sed 's/[\\"]/\\&/g' <<<"$2")\""
    shift 2
  done
  printf '{%s, "rows": [\n%s\n]}\n' "$facts" "$(sed '$!s/$/,/' "$rows")" >"$file" ||
    fail "$file: it cannot be written; give another --json"
}
