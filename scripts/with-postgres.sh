#!/usr/bin/env bash
# Runs a command beside a throwaway Postgres and exits with the command's status:
#
#   with-postgres.sh CMD [ARG ...]
#
# CMD finds the server's URL in RINGWAY_TEST_POSTGRES_URL. The server is stopped and removed whatever happens to CMD.
set -euo pipefail

(($# >= 1)) || {
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

scripts=$(cd "$(dirname "$0")" && pwd -P)
directory=$(mktemp -d /tmp/ringway-test.XXXXXX)
# Root's server runs as another user, who has to get through to the cluster (which is closed to everyone else).
chmod 0711 "$directory"

# shellcheck disable=SC2317 # reached through the trap
clean_up() {
    "$scripts/postgres.sh" stop "$directory" >/dev/null || true
    rm -rf "$directory"
}
trap clean_up EXIT

# What is thrown away need not survive a power cut; tests that run side by side each bring their own clients.
"$scripts/postgres.sh" start "$directory" fsync=off max_connections=500 >/dev/null
RINGWAY_TEST_POSTGRES_URL=$("$scripts/postgres.sh" url "$directory")
export RINGWAY_TEST_POSTGRES_URL

# In the background, because bash runs a trap only between foreground commands: a signal would wait for CMD's end.
"$@" <&0 &
child=$!
trap 'kill -TERM "$child" 2>/dev/null || true' INT TERM HUP
status=0
wait "$child" || status=$?
# A signal ends the wait, not the child.
while kill -0 "$child" 2>/dev/null; do
    status=0
    wait "$child" || status=$?
done
exit "$status"
