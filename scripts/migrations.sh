#!/usr/bin/env bash
# Asks squawk whether a table in use would bear each migration of deploy/migrations, or of the files that are named.
set -euo pipefail
cd "$(dirname "$0")/.."

squawk=.build-venv/bin/squawk
[[ -x $squawk ]] || {
    echo "migrations: $squawk is missing; run make setup" >&2
    exit 1
}

# The migrator sets lock_timeout before each file, and a statement that stops nobody may take as long as it needs.
# 16 and 32 bits hold the contract's enumerations and counts of tries; ids and counters are bigint.
never=require-lock-timeout,require-statement-timeout,prefer-bigint-over-smallint,prefer-bigint-over-int
# Files of before the first release meet no table that is in use, and are never edited.
unborn='^deploy/migrations/00[0-6][0-9]_'
later=require-concurrent-index-creation,constraint-missing-not-valid,ban-drop-constraint,ban-drop-function

if (($# == 0)); then set -- deploy/migrations/*.sql; fi
status=0
for file in "$@"; do
    excluded=$never
    transaction=--assume-in-transaction
    if [[ $file =~ $unborn ]]; then excluded+=,$later; fi
    if [[ $(head -n 1 "$file") == "-- outside of a transaction" ]]; then transaction=--no-assume-in-transaction; fi
    "$squawk" --reporter gcc --pg-version 15.0 "$transaction" --exclude "$excluded" "$file" || status=1
done
exit "$status"
