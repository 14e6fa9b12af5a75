#!/bin/sh
# Runs the servers' own test suites of functions and of scripting, unmodified,
# with the module in every server they start, answering FUNCTION, FCALL, SCRIPT,
# EVAL and their like (`intercept all`). Fails if a test fails that
# conformance/expected-misses.txt does not list, or if a listed one passes.
#
#   scripts/conformance.sh             every server
#   scripts/conformance.sh redis-8.2   only this
#
# UNITS="functions scripting" picks units.
#
# The suites stay in target/conformance/, with a log for each run. The module
# must be built. MODULE names another one.
#
# The newest suites come from releases of Debian that still change. When no
# release has them any more, their server is skipped unless it was named, and the
# summary says so.
set -eu
cd "$(dirname "$0")/.."

expected=scripts/conformance/expected-misses.txt
judge=scripts/conformance/judge.awk
units=${UNITS:-functions scripting}
base_port=${BASE_PORT:-28111}

. scripts/servers.sh
. scripts/suites.sh

# --- A run -------------------------------------------------------------------

# run_unit UNIT LOG: runs a unit of `suite`. The suite continues after a failed
# assertion; with --durable also after any other error in a test.
run_unit() {
    (
        cd "$suite"
        TERM=dumb exec setsid ./runtest --single "unit/$1" --durable --clients 1 --timeout 120 \
            --baseport "$base_port" --portcount 400 \
            --skipfile "$skip" --config loadmodule "$module intercept all"
    ) >"$2" 2>&1 </dev/null &
    groups=$!
    wait "$groups" || true
    end_groups
}

chosen=$*
# shellcheck disable=SC2086 # one word per server
[ $# -gt 0 ] || set -- $all_servers
mkdir -p "$servers" "$dir"

summary=$dir/summary
: >"$summary"
found=
for name in "$@"; do
    use "$name"
    if (suite_for "$name" "$version"); then
        found="$found $name"
    elif [ -z "$chosen" ] && suite_moves "$name"; then
        printf '%-10s  %-8s  not run: no release of Debian has its suites now\n' "$name" "$version" >>"$summary"
    else
        exit 1
    fi
done

module=${MODULE:-target/release/libshadow.so}
[ -f "$module" ] || die "$module is missing: run make build first"
# A copy, so that a build in the meantime does not change what is tested.
cp "$module" "$dir/libshadow.so"
module=$PWD/$dir/libshadow.so

failed=0
for name in $found; do
    use "$name"
    suite_for "$name" "$version"
    name=${name##*/}
    link_programs "$suite/src" "$(realpath "$(command -v "$server")")"
    for unit in $units; do
        log=$dir/$name-$unit.log
        skip=$PWD/$dir/$name-$unit.skip
        printf 'Running %s on %s (%s)\n' "$unit" "$name" "$version"
        awk -v server="$name" -v unit="$unit" -v skips=1 -f "$judge" "$expected" >"$skip"
        run_unit "$unit" "$log"
        status=0
        awk -v server="$name" -v unit="$unit" -v summary="$summary" -v version="$version" \
            -f "$judge" "$expected" "$log" || status=$?
        [ "$status" -eq 0 ] || failed=$((failed + 1))
    done
done

printf '\n'
cat "$summary"
[ "$failed" -eq 0 ]
