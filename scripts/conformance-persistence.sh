#!/bin/sh
# Runs the servers' own suites for replication, append-only files and snapshots,
# unmodified, twice: without the module, and with it in every server they start,
# answering FUNCTION, FCALL and FCALL_RO (`intercept yes`). Fails if a test
# passes without the module and fails with it.
#
#   scripts/conformance-persistence.sh                     every unit on every server
#   scripts/conformance-persistence.sh redis-8.2 aof rdb   these units on this server
#
# Units: rdb, aof, replication; by name, any other in the suites' directory
# tests/integration. Logs stay in target/conformance/. The module must be built.
# MODULE names another one.
#
# The suites wait for servers with time limits. A unit with a failed test runs
# once more with the module; a test that passes then counts as passed.
set -eu
cd "$(dirname "$0")/.."

compare=scripts/conformance/compare.awk
base_port=${BASE_PORT:-29111}

. scripts/servers.sh
. scripts/suites.sh

# run_unit UNIT VARIANT: runs a unit of `suite` in a copy of its own, with the
# module if the variant is not `stock`. Prints nothing; the log is
# $dir/$name-$1-$2.log.
run_unit() {
    copy=$dir/run-$2
    rm -rf "$copy"
    mkdir -p "$copy/utils"
    cp -R "$suite/runtest" "$suite/tests" "$copy"
    link_programs "$copy/src" "$program_of_server"
    port=$base_port
    set -- "$1" "$2" --single "integration/$1" --durable --clients 1 --timeout 600
    if [ "$2" != stock ]; then
        port=$((base_port + 1000))
        set -- "$@" --config loadmodule "$module intercept yes"
    fi
    output=$PWD/$dir/$name-$1-$2.log
    shift 2
    (
        cd "$copy"
        TERM=dumb exec setsid ./runtest --baseport "$port" --portcount 800 "$@"
    ) >"$output" 2>&1 </dev/null &
    groups="$groups $!"
}

names=
units=
for word in "$@"; do
    case $word in
    redis-* | valkey-* | */*) names="$names $word" ;;
    *) units="$units $word" ;;
    esac
done
names=${names:-$all_servers}
units=${units:-rdb aof replication}
mkdir -p "$servers" "$dir"

for name in $names; do
    use "$name"
    suite_for "$name" "$version"
    for unit in $units; do
        [ -f "$suite/tests/integration/$unit.tcl" ] || die "there is no unit $unit in $suite/tests/integration"
    done
done

module=${MODULE:-target/release/libshadow.so}
[ -f "$module" ] || die "$module is missing: run make build first"
# A copy, so that a build in the meantime does not change what is tested.
cp "$module" "$dir/libshadow-persistence.so"
module=$PWD/$dir/libshadow-persistence.so

summary=$dir/summary-persistence
: >"$summary"
failed=0
for name in $names; do
    use "$name"
    suite_for "$name" "$version"
    name=${name##*/}
    program_of_server=$(realpath "$(command -v "$server")")
    for unit in $units; do
        printf 'Running %s on %s (%s)\n' "$unit" "$name" "$version"
        log=$dir/$name-$unit
        began=$(date +%s)
        rm -f "$log"-*.log
        run_unit "$unit" stock
        run_unit "$unit" shadow
        wait
        end_groups
        compare() {
            awk -v server="$name" -v version="$version" -v unit="$unit" -v seconds=$(($(date +%s) - began)) \
                -f "$compare" "$log-stock.log" "$log"-shadow*.log
        }
        verdict=0
        compare >"$log.verdict" || verdict=$?
        if [ "$verdict" -ne 0 ]; then
            run_unit "$unit" shadow-again
            wait
            end_groups
            verdict=0
            compare >"$log.verdict" || verdict=$?
        fi
        cat "$log.verdict"
        tail -n 1 "$log.verdict" >>"$summary"
        [ "$verdict" -eq 0 ] || failed=$((failed + 1))
    done
done

printf '\n'
cat "$summary"
[ "$failed" -eq 0 ]
