#!/bin/sh
# Runs Redis's own test suites of functions and of scripting, unmodified, with
# the module in every server they start, answering FUNCTION, FCALL and FCALL_RO
# (`intercept yes`). Fails on any miss that conformance/expected-misses.txt does
# not list, and on any listed one that is none.
#
#   scripts/conformance.sh             redis-7.0, redis-8.2
#   scripts/conformance.sh redis-8.2   only this
#
# The suites come out of Debian's source packages of redis, 7.0 and 8.0, and
# stay in target/conformance/, with a log for each run. The module must be
# built. MODULE names another one.
set -eu
cd "$(dirname "$0")/.."

dir=target/conformance
expected=scripts/conformance/expected-misses.txt
judge=scripts/conformance/judge.awk
units="functions scripting"
base_port=${BASE_PORT:-28111}

. scripts/servers.sh

# --- The suites --------------------------------------------------------------

# fetch_suite SERIES RELEASE: the source of redis out of the Debian release, at
# target/conformance/suite-SERIES. The sources are read from the mirror that
# this machine installs from, with settings and lists of our own, so that its
# configuration stays as it is.
fetch_suite() {
    command -v apt-get >/dev/null 2>&1 || die "the suites are fetched with apt-get, which is not here"
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    mirror=$(apt-get indextargets --format '$(REPO_URI)' \
        'Identifier: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
    [ -n "$mirror" ] || die "no mirror of Debian is known: run apt-get update first"
    printf 'Fetching the suites of redis %s from Debian %s\n' "$1" "$2"
    part=$PWD/$dir/suite-$1.part
    rm -rf "$part"
    mkdir -p "$part/lists/partial" "$part/cache/archives/partial" "$part/tree"
    echo "deb-src [signed-by=$keyring] $mirror $2 main" >"$part/sources.list"
    (
        cd "$part"
        sources() {
            apt-get -qq -o Dir::Etc::sourcelist="$part/sources.list" -o Dir::Etc::sourceparts=/dev/null \
                -o Dir::State::lists="$part/lists" -o Dir::Cache="$part/cache" \
                -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none "$@"
        }
        # Upstream's archive has the tests; Debian's changes are to the server.
        sources update && sources source --download-only --tar-only --only-source redis
    ) >"$part/log" 2>&1 || {
        cat "$part/log" >&2
        die "the source package of redis could not be downloaded"
    }
    tar -xf "$part"/redis_*.orig.tar.* -C "$part/tree" --strip-components=1
    case $(sed -n 's/^#define REDIS_VERSION "\(.*\)"/\1/p' "$part/tree/src/version.h") in
    "$1".*) ;;
    *) die "the redis of Debian $2 is not $1" ;;
    esac
    rm -rf "$dir/suite-$1"
    mv "$part/tree" "$dir/suite-$1"
    rm -rf "$part"
}

# suite_for VERSION: sets `suite` to the directory of the suites for a server of
# that version.
suite_for() {
    case $1 in
    7.0.*) series=7.0 release=bookworm ;;
    *) series=8.0 release=trixie ;;
    esac
    suite=$dir/suite-$series
    [ -x "$suite/runtest" ] || fetch_suite $series $release
}

# --- A run -------------------------------------------------------------------

# What was started and has not ended: a process group.
group=
end_group() {
    if [ -n "$group" ]; then
        kill -KILL -- "-$group" 2>/dev/null || true
        group=
    fi
}
trap end_group EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# run_unit UNIT LOG: runs a unit of `suite`. The suite itself goes on after a
# failed assertion; with --durable also after any other error inside a test.
run_unit() {
    (
        cd "$suite"
        TERM=dumb exec setsid ./runtest --single "unit/$1" --durable --clients 1 --timeout 120 \
            --baseport "$base_port" --portcount 400 \
            --skipfile "$skip" --config loadmodule "$module intercept yes"
    ) >"$2" 2>&1 </dev/null &
    group=$!
    wait "$group" || true
    end_group
}

[ $# -gt 0 ] || set -- redis-7.0 redis-8.2
mkdir -p "$servers" "$dir"

for name in "$@"; do
    use "$name"
    suite_for "$version"
done

module=${MODULE:-target/release/libshadow.so}
[ -f "$module" ] || die "$module is missing: run make build first"
# A copy, so that a build meanwhile does not change what is tested.
cp "$module" "$dir/libshadow.so"
module=$PWD/$dir/libshadow.so

summary=$dir/summary
: >"$summary"
failed=0
for name in "$@"; do
    use "$name"
    suite_for "$version"
    ln -sf "$(realpath "$(command -v "$server")")" "$suite/src/redis-server"
    for tool in redis-cli redis-benchmark redis-check-aof redis-check-rdb; do
        ln -sf "$(command -v "$tool")" "$suite/src/$tool"
    done
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
