#!/usr/bin/env bash
# A private Postgres for one directory: no TCP, no password, its own socket. For `make run`, tests and benchmarks.
#
#   postgres.sh start DIR [name=value ...]   start it (initdb on the first start); the rest are server settings
#   postgres.sh stop DIR                     stop it, if it runs
#   postgres.sh url DIR                      print the URL of its database `ringway`
#
# The server runs as the caller, or as the user `postgres` when the caller is root, since Postgres refuses root.
# Everyone who reaches the socket is trusted, so the directory around it belongs to the server's user alone (0700).
# It only ever touches the server whose working directory is DIR/cluster/data.
set -euo pipefail

die() {
    echo "postgres.sh: $*" >&2
    exit 1
}

usage() {
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

# The newest installed version; Debian keeps the server's programs out of PATH.
find_programs() {
    local newest
    newest=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
    if [[ ! -x $newest ]]; then
        newest=$(command -v initdb) || die "no Postgres is installed (apt-get install postgresql)"
    fi
    programs=$(dirname "$newest")
}

# Runs a command as the server's user, from a directory that every user can enter.
as_server() {
    if [[ $server_user == "$(id -un)" ]]; then
        (cd / && "$@")
    else
        (cd / && setpriv --reuid="$server_user" --regid="$server_group" --init-groups -- "$@")
    fi
}

# A directory under a shared, writable parent: refused if somebody else made it first.
claim_directory() {
    local path=$1
    mkdir -m 0700 "$path" 2>/dev/null && chown "$server_user:$server_group" "$path"
    [[ -d $path && ! -L $path && $(stat -c %U "$path") == "$server_user" ]] || die "$path is not ours"
}

# Sets `cluster`, where the server lives: DIR/cluster, or a link there if the server's user can't get into DIR.
locate_cluster() {
    cluster=$dir/cluster
    [[ -e $cluster ]] || return 0
    cluster=$(readlink -f "$cluster")
    [[ $(stat -c %U "$cluster") == "$server_user" ]] ||
        die "$cluster belongs to $(stat -c %U "$cluster"): it was made by another user"
}

make_cluster() {
    if [[ ! -e $dir/cluster ]]; then
        if as_server test -x "$dir"; then
            mkdir -m 0700 "$dir/cluster"
            chown "$server_user:$server_group" "$dir/cluster"
        else
            claim_directory "/var/tmp/ringway-$hash"
            ln -sfn "/var/tmp/ringway-$hash" "$dir/cluster"
        fi
    fi
    locate_cluster
}

# Sets `socket`: beside the data if a socket's path (107 bytes at most) is short enough for that.
locate_socket() {
    socket=$cluster/socket
    local path=$socket/.s.PGSQL.$port
    if ((${#path} > 107)); then socket=/tmp/ringway-$hash; fi
}

# A postmaster.pid may outlive its server, and its number may be someone else's by now: the working directory tells.
is_running() {
    local pid
    pid=$(head -n 1 "$cluster/data/postmaster.pid" 2>/dev/null) || return 1
    [[ $pid =~ ^[0-9]+$ && $(readlink "/proc/$pid/cwd" 2>/dev/null) == "$cluster/data" ]]
}

# Written before each start, because the socket moves with the directory.
write_settings() {
    local quote="'" setting
    {
        echo "listen_addresses = ''"
        echo "port = $port"
        echo "unix_socket_directories = '${socket//$quote/$quote$quote}'"
        echo "unix_socket_permissions = 0700"
        echo "max_connections = 200"
        for setting in "$@"; do echo "${setting%%=*} = '${setting#*=}'"; done
    } | as_server tee "$cluster/data/ringway.conf" >/dev/null
}

initialise() {
    [[ ! -e $cluster/data/PG_VERSION ]] || return 0
    # Left behind by an initdb that was interrupted.
    rm -rf "$cluster/data"
    as_server "$programs/initdb" --pgdata="$cluster/data" --username=ringway --auth=trust --encoding=UTF8 \
        --locale=C.UTF-8 >"$cluster/initdb.log" 2>&1 || die "initdb failed, see $cluster/initdb.log"
    echo "include 'ringway.conf'" | as_server tee -a "$cluster/data/postgresql.conf" >/dev/null
}

# A server outlives its caller: it must not hold the caller's pipes open, nor this script's lock.
close_inherited() {
    local path descriptor
    for path in "/proc/$BASHPID/fd/"*; do
        descriptor=${path##*/}
        if ((descriptor > 2 && descriptor < 255)); then eval "exec $descriptor>&-"; fi
    done
    exec </dev/null >/dev/null 2>&1
}

launch() {
    local attempt
    # After a kill -9 of the server its children need a moment to notice; until then a new one refuses to start.
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        is_running || rm -f "$cluster/data/postmaster.pid"
        if (
            close_inherited
            as_server "$programs/pg_ctl" start --pgdata="$cluster/data" --log="$cluster/server.log" --wait --timeout=60
        ); then return 0; fi
        sleep "0.$attempt"
    done
    die "the server does not start, see $cluster/server.log"
}

sql() {
    as_server "$programs/psql" --no-psqlrc --quiet --tuples-only --no-align --host="$socket" --port="$port" \
        --username=ringway --dbname=postgres --command="$1"
}

start() {
    make_cluster
    initialise
    locate_socket
    if is_running; then
        echo "Postgres runs already in $dir"
        return
    fi
    if [[ $socket == "$cluster/socket" ]]; then
        as_server mkdir -p -m 0700 "$socket"
    else
        claim_directory "$socket"
    fi
    write_settings "$@"
    launch
    [[ -n $(sql "SELECT 1 FROM pg_database WHERE datname = 'ringway'") ]] || sql "CREATE DATABASE ringway"
    echo "Postgres started in $dir"
}

stop() {
    if is_running; then
        as_server "$programs/pg_ctl" stop --pgdata="$cluster/data" --mode=fast --wait --timeout=60 --silent
        echo "Postgres stopped in $dir"
    fi
}

# Percent-encodes what a URL's query can't hold, byte by byte.
encode() {
    local LC_ALL=C text=$1 index character
    for ((index = 0; index < ${#text}; index++)); do
        character=${text:index:1}
        case $character in
            [a-zA-Z0-9._~/-]) printf '%s' "$character" ;;
            *) printf '%%%02X' "'$character" | sed 's/%F*\(..\)$/%\1/' ;;
        esac
    done
}

url() {
    locate_socket
    printf 'postgresql://ringway@/ringway?host=%s&port=%s\n' "$(encode "$socket")" "$port"
}

(($# >= 2)) || usage
command=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd -P)
shift 2
# Nothing of the caller's own Postgres may leak into ours.
for variable in "${!PG@}"; do unset "$variable"; done

server_user=$(id -un)
if [[ $(id -u) == 0 ]]; then server_user=postgres; fi
server_group=$(id -gn "$server_user" 2>/dev/null) || die "there is no user $server_user to run the server as"
hash=$(printf '%s' "$dir" | sha256sum | cut -c 1-12)
port=$((20000 + 16#${hash:0:6} % 20000))
find_programs
locate_cluster

# Two starts at once would both run initdb.
exec 9>"$dir/.postgres.lock"
flock 9
case $command in
    start) start "$@" ;;
    stop) stop ;;
    url) url ;;
    *) usage ;;
esac
