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
# The files up to 0053, the last of before the first release, meet no table that is in use, and are never edited. What comes
# after them is asked everything: this number never rises.
unborn_max=53
later=require-concurrent-index-creation,constraint-missing-not-valid,ban-drop-constraint,ban-drop-function

if (($# == 0)); then set -- deploy/migrations/*.sql; fi
status=0
for file in "$@"; do
    excluded=$never
    transaction=--assume-in-transaction
    if [[ $file =~ ^deploy/migrations/([0-9]{4})_ ]] && ((10#${BASH_REMATCH[1]} <= unborn_max)); then excluded+=,$later; fi
    if [[ $(head -n 1 "$file") == "-- outside of a transaction" ]]; then transaction=--no-assume-in-transaction; fi
    "$squawk" --reporter gcc --pg-version 15.0 "$transaction" --exclude "$excluded" "$file" || status=1
done
exit "$status"
