#!/usr/bin/env bash
# Measures Ringway on this machine, and prints tables; every figure also goes to bench/results/, a line of JSON each.
#
#   run.sh [--smoke | --full] [--million] [core] [connections] [messages] [services]
#
# core         the core and `ringway echo` beside raw io_uring and epoll TCP echoes and other WebSocket servers, all of them
#              taking turns: core.py
# connections  10,000 WebSockets open at once
# messages     5,000 logged-in sessions, durable messages between friends, and calls, over a Postgres of its own
# services     the HTTP API over a Postgres of its own: reads, writes, and everything beside a crowd of log-ins
#
# --million adds to services the same as a user with 5,000 friends and 10,000 requests, among 1,000,000 seeded users.
# --full measures the whole grid of sizes, connections and depths in more and longer rounds.
# --smoke runs everything short, for continuous integration. Either way the exit status tells of refused connections
# and of wrong or lost messages, never of time. BENCH_BINARY names a binary to measure instead of this tree's.
set -euo pipefail
cd "$(dirname "$0")/.."

connections=10000 hold_seconds=10
sessions=5000 rate=2000 open_seconds=20 closed_seconds=10
read_seconds=5 write_seconds=10 rounds=2 seeded=1000 friends=200
smoke=false full=false million=false
scenarios=()
for argument in "$@"; do
    case $argument in
        --smoke)
            smoke=true connections=1000 hold_seconds=2
            sessions=200 rate=500 open_seconds=5 closed_seconds=2
            read_seconds=1 write_seconds=1 rounds=1 seeded=300
            ;;
        --full) full=true ;;
        --million) million=true ;;
        core | connections | messages | services) scenarios+=("$argument") ;;
        *)
            sed -n '2,17s/^# \{0,1\}//p' "$0" >&2
            exit 2
            ;;
    esac
done
((${#scenarios[@]})) || scenarios=(core connections messages services)

work=$(mktemp -d /tmp/ringway-bench.XXXXXX)
# Postgres runs as another user when the caller is root, and has to get through.
chmod 0711 "$work"
pids=()
failed=0

# shellcheck disable=SC2317 # reached through the trap
clean_up() {
    local pid
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    if [[ -d $work/postgres ]]; then scripts/postgres.sh stop "$work/postgres" >/dev/null || true; fi
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

die() {
    echo "bench: $*" >&2
    exit 1
}

make -s -C bench
$smoke || make -s -C bench peers
ringway=${BENCH_BINARY:-}
if [[ -z $ringway ]]; then
    make -s build
    ringway=.build/release/ringway
fi
bin=.build-bench
ulimit -n "$(ulimit -Hn)"

# free_ports COUNT: ports that are free and differ, as each is held until all are found.
free_ports() {
    python3 -c '
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(one.getsockname()[1] for one in held))' "$1"
}

# await_port PORT PID LOG: until something listens there, or the process has ended.
await_port() {
    local attempt
    for ((attempt = 0; attempt < 300; attempt++)); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return 0; fi
        kill -0 "$2" 2>/dev/null || break
        sleep 0.1
    done
    cat "$3" >&2
    die "a server does not listen: see above"
}

# start NAME PORT COMMAND...: sets `pid`.
start() {
    local name=$1 port=$2
    shift 2
    "$@" >"$work/$name.log" 2>&1 &
    pid=$!
    pids+=("$pid")
    await_port "$port" "$pid" "$work/$name.log"
}

stop() {
    kill "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

mkdir -p bench/results
commit=$(git rev-parse --short HEAD)
git diff --quiet HEAD -- CSources Sources bench || commit+=+changes
results=bench/results/$(date -u +%Y%m%dT%H%M%SZ)-$commit.jsonl

# record NAME=VALUE...: adds the lines of standard input to the results, with these fields in front.
record() {
    local field front=
    for field in "$@"; do front+="\"${field%%=*}\":\"${field#*=}\","; done
    sed "s|^{|{$front|" >>"$results"
}

model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
echo '{"cores":'"$(nproc)"',"smoke":'"$smoke"'}' | record scenario=machine "cpu=$model" "kernel=$(uname -r)" \
    "commit=$commit" "at=$(date -u +%Y-%m-%dT%H:%M:%SZ)"

run_core() {
    local mode=()
    if $smoke; then mode=(--smoke); elif $full; then mode=(--full); fi
    python3 bench/core.py --ringway "$ringway" "${mode[@]}" >>"$results" || failed=1
}

run_connections() {
    local port
    port=$(free_ports 1)
    start hold "$port" "$ringway" echo --port "$port"
    # The connections are kept until this pipe ends.
    sleep "$hold_seconds" | "$bin/load" --port "$port" --path / --loop hold --connections "$connections" \
        --server-pid "$pid" >"$work/hold.jsonl" || failed=1
    record scenario=connections <"$work/hold.jsonl"
    stop "$pid"
}

# A fresh, migrated database of the run's own Postgres, which starts with the first one.
fresh_database() {
    if [[ ! -d $work/postgres ]]; then scripts/postgres.sh start "$work/postgres" >/dev/null; fi
    local server
    server=$(scripts/postgres.sh url "$work/postgres")
    psql --no-psqlrc --quiet --dbname="$server" --command="CREATE DATABASE $1"
    RINGWAY_POSTGRES_URL=${server/\/ringway\?//$1?}
    export RINGWAY_POSTGRES_URL
    "$ringway" migrate >"$work/migrate.log" 2>&1 || {
        cat "$work/migrate.log" >&2
        die "migrate failed"
    }
}

# serve SETTING...: sets `pid`, `ws` and `http`. The limits on callers would be what is measured.
serve() {
    local grpc ops
    read -r ws http grpc ops <<<"$(free_ports 4)"
    start serve "$ws" "$ringway" serve --ws-port "$ws" --http-port "$http" --grpc-port "$grpc" --ops-port "$ops" \
        --limit-address 0 --limit-guesses 0 --limit-account 0 --limit-device 0 \
        --limit-requests 0 --limit-requests-target 0 --limit-relations 0 --limit-changes 0 "$@"
    await_port "$http" "$pid" "$work/serve.log"
}

run_messages() {
    local ws http
    fresh_database messages
    serve
    "$bin/messages" --ws-port "$ws" --http-port "$http" --server-pid "$pid" --sessions "$sessions" --rate "$rate" \
        --seconds "$open_seconds" --closed-seconds "$closed_seconds" >"$work/messages.jsonl" || {
        failed=1
        tail -n 20 "$work/serve.log" >&2
    }
    record scenario=messages <"$work/messages.jsonl"
    stop "$pid"
}

# ask_services LABEL SETTINGS OPTION...: one server with these settings, and one run of the load against it.
ask_services() {
    local label=$1 settings=$2 ws http
    shift 2
    # shellcheck disable=SC2086 # several settings, or none
    serve $settings
    "$bin/services" --port "$http" --server-pid "$pid" "$@" >"$work/services.jsonl" || {
        failed=1
        tail -n 20 "$work/serve.log" >&2
    }
    record scenario=services "server=$label" <"$work/services.jsonl"
    stop "$pid"
}

# What is measured is a database that has settled: writing out and cleaning up after the seeding is part of the seeding.
seed() {
    "$ringway" seed "$@" >"$work/seed.log" 2>&1 || {
        cat "$work/seed.log" >&2
        die "seed failed"
    }
    psql --no-psqlrc --quiet --dbname="$RINGWAY_POSTGRES_URL" --command="VACUUM (ANALYZE)" --command="CHECKPOINT"
}

# On a socket of its own; nothing is saved.
start_redis() {
    local attempt
    redis-server --port 0 --unixsocket "$work/redis.sock" --dir "$work" --save "" --daemonize no >"$work/redis.log" 2>&1 &
    pids+=("$!")
    for ((attempt = 0; attempt < 100; attempt++)); do
        if [[ $(redis-cli -s "$work/redis.sock" ping 2>/dev/null) == PONG ]]; then return 0; fi
        sleep 0.1
    done
    cat "$work/redis.log" >&2
    die "Redis does not start: see above"
}

run_services() {
    local round load=(--users "$seeded" --friends "$friends")
    "$ringway" cost | record scenario=services server=alone
    fresh_database services
    seed --users "$seeded" --friends "$friends" --most-friends 0 --most-requests 0
    start_redis
    for ((round = 0; round < rounds; round++)); do
        ask_services serve "" "${load[@]}" --seconds "$read_seconds" --phases reads
        # A binary that knows the setting can be measured without what it switches off.
        if [[ $("$ringway" serve --help) == *'--cache '* ]]; then
            ask_services "serve --cache off" "--cache off" "${load[@]}" --seconds "$read_seconds" --phases reads
        fi
        if [[ $("$ringway" serve --help) == *'--redis-url '* ]]; then
            ask_services "serve --redis" "--redis-url unix://$work/redis.sock" "${load[@]}" \
                --seconds "$read_seconds" --phases reads
            # What Redis alone gives, with nothing in the node's memory.
            ask_services "serve --redis, no memory" "--redis-url unix://$work/redis.sock --cache-bytes-max 0" "${load[@]}" \
                --seconds "$read_seconds" --phases reads
        fi
    done
    ask_services serve "" "${load[@]}" --seconds "$write_seconds" --phases writes,logins
    if $million; then
        fresh_database million
        local began=$SECONDS
        seed --users 1000000 --friends 2 --requests 1
        echo '{"phase":"seed","users":1000000,"seconds":'$((SECONDS - began))'}' | record scenario=services server=million
        # One reader: the first user, whose first page of friends is full.
        ask_services million "--friends-max 10000 --friend-requests-max 20000" --users 1000000 --readers 1 \
            --friends 200 --seconds "$read_seconds"
    fi
}

for scenario in "${scenarios[@]}"; do "run_$scenario"; done
python3 bench/report.py "$results" | tee "${results%.jsonl}.md"
python3 bench/plots.py "$results" "${results%.jsonl}"
((failed == 0)) || die "connections were refused, or messages went wrong: see above"
