#!/usr/bin/env bash
# Prints how much of the codec (CSources/CWebSocket) its own tests and the seeds of its fuzz targets reach, line by
# line, and fails below COVERAGE_MIN percent. What is built lies in .build-c/coverage; `llvm-cov show` finds all there.
set -euo pipefail
cd "$(dirname "$0")/.."

minimum=${COVERAGE_MIN:-95}
compiler=$(command -v clang || echo "$(dirname "$(readlink -f "$(command -v swift)")")/clang")
tools=$(dirname "$(readlink -f "$compiler")")
[[ -x $tools/llvm-cov ]] || tools=$(dirname "$(readlink -f "$(command -v swift)")")
out=$PWD/.build-c/coverage
flags="-std=gnu17 -O1 -g -MMD -MP -fprofile-instr-generate -fcoverage-mapping"

build() {
    make --no-print-directory -j2 CC="$compiler" CFLAGS="$flags" "$@"
}

# The tests that speak to the codec itself: a socket would reach it, too, but not to check it.
programs=()
for file in Tests/C/test_*.c; do
    if grep -q '#include "\(gw_\(utf8\|mask\|message\|ws\|handshake\|deflate\)\|frames\).*\.h"' "$file" &&
        ! grep -q '#include "gateway_client.h"' "$file"; then
        name=${file##*/}
        programs+=("$out/${name%.c}")
    fi
done
build -C Tests/C OUT="$out" "${programs[@]}"
build -C Tests/Fuzz OUT="$out/fuzz" build

rm -rf "$out/profiles"
mkdir -p "$out/profiles"
export LLVM_PROFILE_FILE=$out/profiles/%p.profraw
for program in "${programs[@]}"; do
    "$program" >"$out/log" 2>&1 || { cat "$out/log"; exit 1; }
done
for seeds in Tests/Fuzz/corpus/*; do
    program=$out/fuzz/fuzz_${seeds##*/}
    "$program" -runs=0 -max_len=10240 "$seeds" >"$out/log" 2>&1 || { cat "$out/log"; exit 1; }
    programs+=("$program")
done

"$tools/llvm-profdata" merge -o "$out/all.profdata" "$out"/profiles/*.profraw
objects=()
for program in "${programs[@]:1}"; do objects+=(-object "$program"); done
cover() {
    local command=$1
    shift
    "$tools/llvm-cov" "$command" "${programs[0]}" "${objects[@]}" -instr-profile="$out/all.profdata" "$@" CSources/CWebSocket
}
cover export -summary-only >"$out/summary.json" 2>"$out/log" || { cat "$out/log"; exit 1; }
python3 - "$out/summary.json" "$minimum" <<'PYTHON'
import json
import sys

report = json.load(open(sys.argv[1]))["data"][0]
for file in report["files"]:
    lines = file["summary"]["lines"]
    print(f"{lines['percent']:6.1f} %  {lines['covered']:4} of {lines['count']:4} lines  {file['filename'].split('/')[-1]}")
total = report["totals"]["lines"]
print(f"{total['percent']:6.1f} %  {total['covered']:4} of {total['count']:4} lines  of the codec, by its tests and fuzz seeds")
if total["count"] == 0 or total["percent"] < float(sys.argv[2]):
    sys.exit(f"coverage: below {sys.argv[2]} %")
PYTHON
