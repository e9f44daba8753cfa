#!/usr/bin/env bash
# Counts the C core's own instructions a message, with callgrind, while it echoes to 100 clients in lock step
# (lockstep.c): every turn finds the same work, so the figure is the same in every run.
#
#   instructions.sh [DEPTH ...]     messages in flight a connection; 1 and 16 unless told
#
# A line a depth: instructions and system calls a message. Further options of lockstep come through LOCKSTEP, e.g.
# LOCKSTEP='--backend epoll' or LOCKSTEP='--size 16384 --rounds 20'. With PROFILE=FILE the last profile is kept there.
set -euo pipefail
cd "$(dirname "$0")/.."

(($#)) || set -- 1 16
read -ra options <<<"${LOCKSTEP:-}"
work=$(mktemp -d /tmp/ringway-callgrind.XXXXXX)
trap 'rm -rf "$work"' EXIT

die() {
    echo "instructions: $*" >&2
    exit 1
}

command -v valgrind >/dev/null || die "valgrind is not installed (apt-get install valgrind)"
make -s -C bench

# Else callgrind counts each byte of a long copy (`rep movsb`) as an instruction.
export GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=1073741824

for depth in "$@"; do
    if ! valgrind --tool=callgrind --callgrind-out-file="$work/profile" --toggle-collect=lockstep_measured \
        .build-bench/lockstep --depth "$depth" "${options[@]}" >"$work/counts" 2>"$work/valgrind"; then
        cat "$work/counts" "$work/valgrind" >&2
        die "the core does not run under valgrind: does this valgrind know io_uring?"
    fi
    read -r _ messages _ syscalls <"$work/counts"
    instructions=$(sed -n 's/^\(summary\|totals\): \([0-9]*\).*/\2/p' "$work/profile" | head -n 1)
    awk -v depth="$depth" -v i="$instructions" -v s="$syscalls" -v m="$messages" 'BEGIN {
        printf "%d in flight: %.1f user instructions and %.4f system calls a message (%d messages)\n", depth, i / m, s / m, m
    }'
done
if [[ -n ${PROFILE:-} ]]; then cp "$work/profile" "$PROFILE"; fi
