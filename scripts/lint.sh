#!/usr/bin/env bash
# The rules of docs/style.md that a script can check, over every file that git knows or would add. Prints what breaks a
# rule, one line each, and fails if anything does. It changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8

broken=$(mktemp)
trap 'rm -f "$broken"' EXIT

# rule TEXT PATTERN FILE...: no line of the files may match.
rule() {
    local text=$1 pattern=$2
    shift 2
    (($#)) || return 0
    grep -HnP -e "$pattern" "$@" /dev/null | sed "s|\$|    <- $text|" >>"$broken" || true
}

list() {
    local file
    git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
        [[ $file != Sources/Contract/Generated/* ]] || continue
        if [[ -f $file ]]; then echo "$file"; fi
    done
}

mapfile -t swift < <(list '*.swift')
mapfile -t c < <(list '*.c' '*.h')
mapfile -t scripts < <(list '*.sh' .ci/run Tests/C/run Tests/Fuzz/run Tests/Autobahn/run Tests/Simulation/run Tests/Kernels/run)
mapfile -t python < <(list '*.py')
mapfile -t sql < <(list '*.sql')
mapfile -t proto < <(list '*.proto')
code=("${swift[@]}" "${c[@]}" "${scripts[@]}" "${python[@]}" "${sql[@]}" "${proto[@]}")

rule "at most 130 columns" '^.{131,}$' "${code[@]}"
rule "no tabs" '\t' "${code[@]}"
rule "no trailing space" '[ \t]+$' "${code[@]}"
rule "no open ends" '\b(TO''DO|FIX''ME|XX''X)\b' "${code[@]}"

# The arrows between modules that SwiftPM can't enforce, because a name in scope is all it takes.
mapfile -t outside_reactor < <(printf '%s\n' "${swift[@]}" | grep -vE '^(Sources/Reactor|Tests/ReactorTests)/')
mapfile -t outside_postgres < <(printf '%s\n' "${swift[@]}" | grep -vE '^(Sources/Postgres|Tests/PostgresTests)/')
mapfile -t outside_redis < <(printf '%s\n' "${swift[@]}" | grep -vE '^(Sources/Redis|Tests/RedisTests)/')
rule "only Redis imports CRedis" '^\s*(@\w+\s+)?import CRedis\b' "${outside_redis[@]}"
rule "only Reactor imports CGateway" '^\s*(@\w+\s+)?import CGateway\b' "${outside_reactor[@]}"
rule "only Postgres imports CPostgres" '^\s*(@\w+\s+)?import CPostgres\b' "${outside_postgres[@]}"
services='Auth|Profile|Friendship|Inbox'
for service in Auth Profile Friendship Inbox; do
    mapfile -t own < <(list "Sources/$service/*.swift")
    others=$(tr '|' '\n' <<<"$services" | grep -vx "$service" | paste -sd '|')
    rule "services never import each other or a door" "^\\s*import ($others|Gateway|GRPCAPI|HTTPAPI)\\b" "${own[@]}"
done
# The SQL of a service names no table of another's; their functions are how services meet (docs/decisions/0011-outbox.md).
for service in Auth Profile Friendship Inbox; do
    mapfile -t own < <(list "Sources/$service/*.swift")
    others=$(tr '|' '\n' <<<"${services,,}" | grep -vx "${service,,}" | paste -sd '|')
    functions='profile\.(create|user_exists)|inbox\.(open|append)'
    rule "a service reads and writes its own schema" \
        "\\b(FROM|JOIN|INTO|UPDATE|USING|TABLE|SELECT)\\s+(?!($functions)\\()($others)\\." "${own[@]}"
done
mapfile -t quiet < <(list 'Sources/*.swift' | grep -v '^Sources/ringway/')
rule "libraries log, they don't print" '^\s*(print|debugPrint|dump)\(' "${quiet[@]}"

# Every file opens with what it is for.
opening='^(//|/\*|--|#|"""|syntax)'
for file in "${code[@]}"; do
    line=$(head -n 1 "$file")
    [[ $line == '#!'* ]] && line=$(sed -n 2p "$file")
    [[ $line =~ $opening ]] || echo "$file:1: $line    <- opens with what it is for" >>"$broken"
done

# A file of the core also says whose its data is, and on which thread.
while read -r file; do
    sed '/^\/\//!q' "$file" | grep -qi 'thread' || echo "$file:1: <- says its owner and its thread" >>"$broken"
done < <(list 'CSources/CMemory/*.[ch]' 'CSources/CWebSocket/*.[ch]' 'CSources/CReactor/*.[ch]' 'CSources/CGateway/*.[ch]')

# A promise names the test that holds it, and that test exists.
for page in docs/security.md docs/bad-input.md; do
    while read -r name; do
        grep -rqwF -e "$name" Tests --include='*.swift' --include='*.py' --include='*.c' ||
            echo "$page: $name    <- names a test that exists" >>"$broken"
    done < <(grep -oP '`(test_\w+\.\w+::)?\K(test_\w+|\w+__\w+|[a-z]+[A-Z]\w*_\w+)(?=(\[[^]]*\])?`)' "$page" | sort -u)
done

for file in "${scripts[@]}"; do
    bash -n "$file" 2>>"$broken" || true
done
shellcheck --severity=warning --format=gcc "${scripts[@]}" >>"$broken" 2>&1 || true
for file in "${python[@]}"; do
    python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$file" 2>>"$broken" || true
done

if [[ -s $broken ]]; then
    cat "$broken" >&2
    echo "lint: $(wc -l <"$broken") findings" >&2
    exit 1
fi
echo "lint: ${#code[@]} files are clean"
