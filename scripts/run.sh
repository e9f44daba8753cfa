#!/usr/bin/env bash
# The whole system from a checkout: builds, starts a private Postgres in .ringway/ (or uses RINGWAY_POSTGRES_URL),
# migrates it and serves until Ctrl-C or SIGTERM. Then the server drains, and a Postgres that was started here stops.
# A second Ctrl-C ends the server at once. The data stays in .ringway/.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
# The settings are the server's: to the package manager another environment is a reason to build much of it again.
mapfile -t settings < <(compgen -e RINGWAY_)
env "${settings[@]/#/--unset=}" swift build -c release -Xswiftc -enable-testing --product ringway
ringway=.build/release/ringway

server=
last_signal=0
started_postgres=false

# shellcheck disable=SC2317 # reached through the trap
# A signal to the whole process group arrives here twice, once through make; the server must take it as one.
forward() {
    local now=${EPOCHREALTIME/[.,]/}
    ((now - last_signal > 1000000)) || return 0
    last_signal=$now
    [[ -z $server ]] || kill -TERM "$server" 2>/dev/null || true
}

# shellcheck disable=SC2317 # reached through the trap
clean_up() {
    trap '' INT TERM HUP
    [[ $started_postgres == false ]] || scripts/postgres.sh stop .ringway/postgres
}
trap clean_up EXIT

if [[ -z ${RINGWAY_POSTGRES_URL:-} ]]; then
    # Ctrl-C may come while it starts.
    [[ -e .ringway/postgres/cluster/data/postmaster.pid ]] || started_postgres=true
    running=$(scripts/postgres.sh start .ringway/postgres)
    echo "$running"
    # One that ran before is somebody else's to stop.
    [[ $running != *already* ]] && started_postgres=true
    RINGWAY_POSTGRES_URL=$(scripts/postgres.sh url .ringway/postgres)
    export RINGWAY_POSTGRES_URL
fi
"$ringway" migrate

trap forward INT TERM HUP
cat <<TEXT

When the server prints its URLs, talk in two other terminals:
    $ringway chat --as alice
    $ringway chat --as bob
Ctrl-C stops everything; the data stays in .ringway/.

TEXT

# A group of its own, so that the terminal's Ctrl-C reaches the server through `forward` alone.
set -m
"$ringway" serve </dev/null &
server=$!
set +m
status=0
wait "$server" || status=$?
# A signal ends the wait, not the server.
while kill -0 "$server" 2>/dev/null; do
    status=0
    wait "$server" || status=$?
done
exit "$status"
