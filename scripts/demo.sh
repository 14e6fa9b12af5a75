#!/usr/bin/env bash
# Shows the module at work in a stock server: starts one with module.conf, loads
# libraries of examples/, calls their functions, lists, counts and flushes, and
# prints each command with its reply. Fails if a reply is not the expected one.
#
#   scripts/demo.sh        stops the server at the end
#   scripts/demo.sh run    loads the libraries again and keeps the server in
#                          the foreground until Ctrl-C
#
# SERVER and CLI name the programs, PORT the port (default: the one in
# module.conf; the next free one if it is taken).
set -eu
cd "$(dirname "$0")/.."

mode=${1:-demo}
server=${SERVER:-redis-server}
cli=${CLI:-redis-cli}
port=${PORT:-$(awk '$1 == "port" { print $2 }' module.conf)}
work=target/demo
log=$work/server.log
pid=
tail_pid=

die() {
    printf 'demo: %s\n' "$*" >&2
    exit 1
}

[ "$mode" = demo ] || [ "$mode" = run ] || die "unknown argument $mode"
[ -f target/release/libshadow.so ] || die "target/release/libshadow.so is missing: run make build first"
mkdir -p "$work"

# --- The server --------------------------------------------------------------

# shellcheck disable=SC2329 # called by the traps
stop() {
    trap - EXIT
    trap '' INT TERM HUP
    if [ -n "$pid" ]; then
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
        pid=
    fi
    if [ -n "$tail_pid" ]; then
        # Ends by itself when the server has ended and its last lines are printed.
        wait "$tail_pid" 2>/dev/null || true
        tail_pid=
    fi
}

trap stop EXIT
trap 'stop; exit 130' INT
trap 'stop; exit 143' TERM HUP

alive() { kill -0 "$pid" 2>/dev/null; }

# Whether our server answers on the port, and not another one.
answers() {
    "$cli" -p "$port" INFO server 2>/dev/null | tr -d '\r' | grep -qx "process_id:$pid"
}

# In a session of its own, so that Ctrl-C reaches only this script, which then
# stops the server.
start() {
    setsid "$server" module.conf --port "$port" >"$log" 2>&1 </dev/null &
    pid=$!
    local tries=0
    while alive; do
        if answers; then
            return 0
        fi
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || return 1
        sleep 0.05
    done
    wait "$pid" || true
    pid=
    return 1
}

for _ in 1 2 3 4 5 6 7 8 9 10; do
    if start; then
        break
    fi
    if [ -n "$pid" ] || ! grep -q 'Address already in use' "$log"; then
        cat "$log" >&2
        die "$server did not start with module.conf"
    fi
    echo "Port $port is taken."
    port=$((port + 1))
done
[ -n "$pid" ] || die "no free port up to $port"
echo "$("$server" --version | awk '{ print $1, $3 }' | sed 's/v=//') with module.conf on 127.0.0.1:$port, process $pid"

# --- Commands and replies ----------------------------------------------------

failures=0

show() {
    local word line='>'
    for word in "$@"; do
        case $word in
        *[!A-Za-z0-9_:.,/=-]* | '') line="$line '$word'" ;;
        *) line="$line $word" ;;
        esac
    done
    printf '\n%s\n' "$line"
}

# verdict PATTERN REPLY: prints the reply and compares it with a shell pattern.
verdict() {
    printf '%s\n' "$2"
    # shellcheck disable=SC2053 # the right side is a pattern
    if [[ $2 != $1 ]]; then
        printf 'demo: expected: %s\n' "$1" >&2
        failures=$((failures + 1))
    fi
}

# expect PATTERN COMMAND...: sends a command. -3 asks for RESP3, whose maps
# are easier to read.
expect() {
    local pattern=$1
    shift
    show "$@"
    verdict "$pattern" "$("$cli" -3 -p "$port" --no-raw "$@" 2>&1)"
}

# load NAME: loads examples/NAME.lua.
load() {
    printf '\n$ redis-cli -x SHADOW.FUNCTION LOAD REPLACE < examples/%s.lua\n' "$1"
    verdict "\"$1\"" "$("$cli" -3 -p "$port" --no-raw -x SHADOW.FUNCTION LOAD REPLACE <"examples/$1.lua" 2>&1)"
}

load_all() {
    load rate_limiter
    load lock
    load leaderboard
}

lines() { printf '%s\n' "$@"; }

# --- The demonstration -------------------------------------------------------

load_all

# Two requests are permitted; the third must wait for about 100 seconds.
taken='1) (integer) 1'
expect "$(lines "$taken" '2) (integer) 1' '3) (integer) 0')" SHADOW.FCALL rate_take 1 bucket:alice 2 0.01
expect "$(lines "$taken" '2) (integer) 0' '3) (integer) 0')" SHADOW.FCALL rate_take 1 bucket:alice 2 0.01
expect "$(lines '1) (integer) 0' '2) (integer) 0' '3) (integer) [1-9]*')" SHADOW.FCALL rate_take 1 bucket:alice 2 0.01

# A lock, and another client that asks for it.
expect '(integer) 1' SHADOW.FCALL lock_acquire 1 lock:report alice-7f3a 30000
expect '(integer) 0' SHADOW.FCALL lock_acquire 1 lock:report bob-91c2 30000
expect "$(lines '1) "alice-7f3a"' '2) (integer) [1-9]*')" SHADOW.FCALL_RO lock_info 1 lock:report
expect '(integer) 1' SHADOW.FCALL lock_release 1 lock:report alice-7f3a

# A leaderboard.
expect "$(lines '1) "30"' '2) (integer) 1')" SHADOW.FCALL board_add 1 board:today alice 30
expect "$(lines '1) "50"' '2) (integer) 1')" SHADOW.FCALL board_add 1 board:today bob 50
expect "$(lines '1) "45"' '2) (integer) 2')" SHADOW.FCALL board_add 1 board:today alice 15
expect "$(lines '1) 1) (integer) 1' '   2) "bob"' '   3) "50"' '2) 1) (integer) 2' '   2) "alice"' '   3) "45"')" \
    SHADOW.FCALL_RO board_top 1 board:today 10

# What a read-only call may not do, and a function that does not exist.
expect '(error) ERR Can not execute a script with write flag using \*_ro command.' \
    SHADOW.FCALL_RO board_add 1 board:today bob 1
expect '(error) ERR Function not found' SHADOW.FCALL no_such_function 0

# The registry.
expect '*"library_name" => "lock"*"name" => "lock_info"*no-writes*' SHADOW.FUNCTION LIST LIBRARYNAME lock
expect '*"running_script" => (nil)*"libraries_count" => (integer) 3*"functions_count" => (integer) 10' \
    SHADOW.FUNCTION STATS

# The flush: everything is gone at once; the worker thread frees it.
expect OK SHADOW.FUNCTION FLUSH ASYNC
expect '(empty array)' SHADOW.FUNCTION LIST
expect '*"libraries_count" => (integer) 0*"functions_count" => (integer) 0' SHADOW.FUNCTION STATS
expect '(error) ERR Function not found' SHADOW.FCALL lock_acquire 1 lock:report alice-7f3a 30000

# The data that the functions wrote is still there.
expect '(double) 50' ZSCORE board:today bob

if [ "$failures" -gt 0 ]; then
    printf '\n--- %s\n' "$log" >&2
    cat "$log" >&2
    die "$failures replies were not as expected"
fi
printf '\nAll replies were as expected.\n'
[ "$mode" = run ] || exit 0

# --- Stay --------------------------------------------------------------------

load_all
[ "$failures" -eq 0 ] || die "the libraries did not load again"
trap 'stop; exit 0' INT TERM HUP
cat <<END

The server keeps running. In another terminal:

    $cli -p $port SHADOW.FUNCTION LIST
    $cli -p $port SHADOW.FCALL board_add 1 board:today carol 40

Ctrl-C stops it. Its log:

END
tail --pid="$pid" -s 0.2 -n +1 -f "$log" &
tail_pid=$!
status=0
wait "$pid" || status=$?
pid=
exit "$status"
