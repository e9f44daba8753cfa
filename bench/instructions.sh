#!/usr/bin/env bash
# Counts the C core's own instructions a message, with callgrind: the figure hardly depends on how busy the machine
# is. Two runs of different length answer different numbers of messages, so that starting, connecting and stopping
# cancel out.
#
#   instructions.sh [DEPTH ...]     messages in flight a connection; 1 and 16 unless told
set -euo pipefail
cd "$(dirname "$0")/.."

short=3 long=12
(($#)) || set -- 1 16
work=$(mktemp -d /tmp/ringway-callgrind.XXXXXX)
pid='' load=''

# shellcheck disable=SC2317 # reached through the trap
clean_up() {
    if [[ -n $pid ]]; then kill -KILL "$pid" 2>/dev/null || true; fi
    if [[ -n $load ]]; then kill "$load" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

die() {
    echo "instructions: $*" >&2
    exit 1
}

command -v valgrind >/dev/null || die "valgrind is not installed (apt-get install valgrind)"
make -s -C bench

# count DEPTH SECONDS: sets `instructions` and `answered`, what the server executed and answered in its whole life.
count() {
    local attempt port
    : >"$work/server"
    valgrind --tool=callgrind --callgrind-out-file="$work/profile" .build-bench/echo_core >"$work/server" \
        2>"$work/valgrind" &
    pid=$!
    for ((attempt = 0; attempt < 100; attempt++)); do
        port=$(sed -n 's/^listening on 127.0.0.1:\([0-9]*\)$/\1/p' "$work/server")
        [[ -z $port ]] || break
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    if [[ -z $port ]]; then
        cat "$work/server" "$work/valgrind" >&2
        die "the server does not run under valgrind: does this valgrind know io_uring?"
    fi
    # The server is stopped under load: valgrind takes signals in only while the program runs, not while it waits. The
    # generator then ends too, complaining; how many messages there were is the server's to say.
    .build-bench/load --port "$port" --connections 100 --size 16 --depth "$1" --seconds 600 >/dev/null 2>&1 &
    load=$!
    sleep "$2"
    kill -0 "$load" 2>/dev/null || die "the load ended early"
    kill -TERM "$pid"
    wait "$pid" || die "the server failed under valgrind"
    wait "$load" || true
    pid='' load=''
    answered=$(sed -n 's/^messages \([0-9]*\) .*/\1/p' "$work/server")
    instructions=$(sed -n 's/^\(summary\|totals\): \([0-9]*\).*/\2/p' "$work/profile" | head -n 1)
}

for depth in "$@"; do
    count "$depth" "$short"
    before_instructions=$instructions before_answered=$answered
    count "$depth" "$long"
    echo "$depth in flight: $(((instructions - before_instructions) / (answered - before_answered)))" \
        "user instructions a message ($((answered - before_answered)) messages)"
done
