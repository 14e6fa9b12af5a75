# The servers' own test suites, for the scripts that run them. Sourced by scripts
# in this directory after servers.sh, with the root of the tree as the current
# directory.
#
# The suites come from Debian's source packages of redis and valkey and stay in
# target/conformance/. Each server gets the newest suites in Debian that are not
# newer than the server.
# shellcheck shell=sh

dir=target/conformance

# fetch_suite PACKAGE SERIES RELEASE...: puts the source of that series, from the
# first of these releases of Debian that has it, at
# target/conformance/suite-PACKAGE-SERIES.
fetch_suite() {
    package=$1 series=$2
    # Valkey's file also names the Redis version that it emulates.
    own=$(echo "$package" | tr '[:lower:]' '[:upper:]')_VERSION
    shift 2
    for release in "$@"; do
        printf 'Fetching the suites of %s %s from Debian %s\n' "$package" "$series" "$release"
        part=$dir/suite-$package-$series.part
        rm -rf "$part"
        mkdir -p "$part/tree"
        # Upstream's archive has the tests; Debian's changes are to the server.
        (in_debian "$release" deb-src "$part" source --download-only --tar-only --only-source "$package") || continue
        tar -xf "$part/$package"_*.orig.tar.* -C "$part/tree" --strip-components=1
        case $(sed -n "s/^#define $own \"\(.*\)\"/\1/p" "$part/tree/src/version.h") in
        "$series".*)
            rm -rf "$dir/suite-$package-$series"
            mv "$part/tree" "$dir/suite-$package-$series"
            rm -rf "$part"
            return
            ;;
        esac
        rm -rf "$part"
    done
    die "$package $series is in none of these releases of Debian: $*"
}

# suite_for NAME VERSION: sets `suite` to the directory of that server's suites.
suite_for() {
    case ${1##*/} in
    valkey*) package=valkey ;;
    *) package=redis ;;
    esac
    case $package-$2 in
    redis-7.*) set -- 7.0 bookworm ;;
    redis-8.[0-5].*) set -- 8.0 trixie ;;
    # What is in experimental moves to testing and unstable.
    redis-*) set -- 8.6 experimental sid forky ;;
    valkey-[78].*) set -- 8.1 trixie ;;
    *) set -- 9.1 forky sid ;;
    esac
    suite=$dir/suite-$package-$1
    [ -x "$suite/runtest" ] || fetch_suite "$package" "$@"
}

# suite_moves NAME: whether only unreleased versions of Debian have that server's
# suites.
suite_moves() {
    case $1 in
    redis-8.6 | valkey-9.1) return 0 ;;
    *) return 1 ;;
    esac
}

# link_programs DIRECTORY PROGRAM: links the programs that the suites start into a
# directory, with PROGRAM as the server. The file checkers are the server under
# other names.
link_programs() {
    mkdir -p "$1"
    for prefix in redis valkey; do
        for name_of_server in server sentinel check-aof check-rdb; do
            ln -sf "$2" "$1/$prefix-$name_of_server"
        done
        for tool in cli benchmark; do
            ln -sf "$(command -v "redis-$tool")" "$1/$prefix-$tool"
        done
    done
}

# Process groups that were started and have not ended.
groups=
end_groups() {
    for group in $groups; do
        kill -KILL -- "-$group" 2>/dev/null || true
    done
    groups=
}
trap end_groups EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
