#!/bin/sh
# Runs every test on each server of servers.sh, and prints a line for each. Fails
# if a test fails.
#
#   scripts/matrix.sh                        every server of servers.sh
#   scripts/matrix.sh redis-8.2 valkey-9.1   only these
#   scripts/matrix.sh /opt/redis/redis-server   this program, whatever its version
set -eu
cd "$(dirname "$0")/.."

PATH=$PATH:${HOME:-}/.cargo/bin
logs=target/matrix

. scripts/servers.sh

# shellcheck disable=SC2086 # one word per server
[ $# -gt 0 ] || set -- $all_servers
mkdir -p "$servers" "$logs"

# All of them first, so that a failed download costs no test run.
for name in "$@"; do
    use "$name"
done

cargo build --release
cargo test --release --no-run

summary=$logs/summary
: >"$summary"
failed=0
for name in "$@"; do
    use "$name"
    # The tests run in other directories. Links are not resolved: the name tells the
    # program what it is.
    path=$(command -v "$server")
    case $path in
    /*) ;;
    *) path=$PWD/$path ;;
    esac
    name=${name##*/}
    log=$logs/$name.log
    printf '\nTesting on %s (%s)\n' "$name" "$version"
    began=$(date +%s)
    status=0
    SERVER=$path cargo test --release --no-fail-fast >"$log" 2>&1 || status=$?
    seconds=$(($(date +%s) - began))
    counts=$(awk '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
        END { printf "%d passed, %d failed, %d ignored", passed, failed, ignored }' "$log")
    if [ "$status" -eq 0 ]; then
        verdict=ok
    else
        verdict=FAILED
        failed=$((failed + 1))
        cat "$log"
    fi
    printf '%-10s  %-8s  %-6s  %s, %d s  (%s)\n' "$name" "$version" "$verdict" "$counts" "$seconds" "$log" >>"$summary"
done

printf '\n'
cat "$summary"
[ "$failed" -eq 0 ]
