#!/usr/bin/env bash
# Installs what is missing to build and run Ringway on Debian, and prints a line for each thing it installs.
#
#   setup.sh           what the build and `make run` need
#   setup.sh --tests   also what tests and lint need: shellcheck, valgrind, Redis, and a Python environment in
#                      .build-venv
#   setup.sh --kernels also what runs the C tests on other kernels: an emulator and a machine's few programs
#   setup.sh --bench   also the servers that `make bench` compares with: libwebsockets, Boost.Beast and, in
#                      .build-venv-bench, picows
#
# Swift itself is not installed: which toolchain to use is the user's choice.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    echo "setup: $*" >&2
    exit 1
}

check_swift() {
    local version
    command -v swift >/dev/null || die "Swift 6 is needed and not in PATH: https://www.swift.org/install/linux"
    version=$(swift --version 2>&1) ||
        die "swift does not run, for want of what its own page lists (https://www.swift.org/install/linux): $version"
    [[ $version =~ Swift\ version\ ([0-9]+)\. && ${BASH_REMATCH[1]} -ge 6 ]] ||
        die "Swift 6 is needed, this is: $(head -n 1 <<<"$version")"
}

install_packages() {
    command -v dpkg-query >/dev/null || die "this is no Debian: install by hand $*"
    local package missing=() root=()
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed* ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0

    printf 'setup: installing %s\n' "${missing[@]}"
    if [[ $(id -u) != 0 ]]; then
        command -v sudo >/dev/null || die "run as root: apt-get install ${missing[*]}"
        root=(sudo)
    fi
    local log
    log=$(mktemp)
    if ! { "${root[@]}" apt-get update && "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        die "apt-get failed, its whole output is in $log"
    fi
    rm -f "$log"
}

# The environment is made again whenever what it should hold has changed.
make_environment() {
    local requirements=Tests/Integration/requirements.txt
    if cmp -s "$requirements" .build-venv/requirements.txt; then return 0; fi
    echo "setup: making .build-venv with $(tr '\n' ' ' <"$requirements")"
    rm -rf .build-venv
    /usr/bin/python3 -m venv .build-venv
    .build-venv/bin/pip install --quiet --disable-pip-version-check --requirement "$requirements" ||
        die "pip could not install $requirements"
    cp "$requirements" .build-venv/requirements.txt
}

check_swift
install_packages liburing-dev libssl-dev libpq-dev libhiredis-dev libargon2-dev libpng-dev libturbojpeg0-dev libwebp-dev \
    protobuf-compiler libprotobuf-dev libstdc++-12-dev pkg-config postgresql curl git make binutils util-linux zlib1g-dev \
    python3 ca-certificates tzdata
if [[ ${1:-} == --tests ]]; then
    install_packages python3-venv shellcheck valgrind redis-server redis-tools
    make_environment
fi
if [[ ${1:-} == --kernels ]]; then
    install_packages qemu-system-x86 busybox-static cpio kmod xz-utils debian-archive-keyring
fi
if [[ ${1:-} == --bench ]]; then
    install_packages libwebsockets-dev libboost-dev g++ python3-venv valgrind
    if ! cmp -s bench/peers/requirements.txt .build-venv-bench/requirements.txt; then
        rm -rf .build-venv-bench
        /usr/bin/python3 -m venv .build-venv-bench
        .build-venv-bench/bin/pip install --quiet --disable-pip-version-check -r bench/peers/requirements.txt
        cp bench/peers/requirements.txt .build-venv-bench/requirements.txt
    fi
fi
