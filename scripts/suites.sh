# The servers' own test suites, for the scripts that run them. Sourced by scripts
# in this directory after servers.sh, with the root of the tree as the current
# directory.
#
# The suites come from Debian's source packages of redis and valkey and stay in
# target/conformance/. Each server gets the newest suites in Debian that are not
# newer than the server.
# shellcheck shell=sh

dir=target/conformance

# source_of NAME VERSION: sets `package`, `series` and `releases`: the source package
# that has that server's suites, and the releases of Debian that may have it.
source_of() {
    case ${1##*/} in
    valkey*) package=valkey ;;
    *) package=redis ;;
    esac
    case $package-$2 in
    redis-7.*) series=7.0 releases=bookworm ;;
    redis-8.[0-5].*) series=8.0 releases=trixie ;;
    # What is in experimental moves to testing and unstable.
    redis-*) series=8.6 releases="experimental sid forky" ;;
    valkey-[78].*) series=8.1 releases=trixie ;;
    *) series=9.1 releases="forky sid" ;;
    esac
}

# is_of_series TREE: whether that source of `package` is of `series`.
is_of_series() {
    # Valkey's file also names the Redis version that it emulates.
    own=$(echo "$package" | tr '[:lower:]' '[:upper:]')_VERSION
    case $(sed -n "s/^#define $own \"\(.*\)\"/\1/p" "$1/src/version.h") in
    "$series".*) return 0 ;;
    *) return 1 ;;
    esac
}

# fetch_suite: puts the source of `package` and `series`, from the first of
# `releases` that has it, at target/conformance/suite-PACKAGE-SERIES.
fetch_suite() {
    for release in $releases; do
        printf 'Fetching the suites of %s %s from Debian %s\n' "$package" "$series" "$release"
        part=$dir/suite-$package-$series.part
        rm -rf "$part"
        mkdir -p "$part/tree"
        # Upstream's archive has the tests; Debian's changes are to the server.
        (in_debian "$release" deb-src "$part" source --download-only --tar-only --only-source "$package") || continue
        tar -xf "$part/$package"_*.orig.tar.* -C "$part/tree" --strip-components=1
        if is_of_series "$part/tree"; then
            rm -rf "$dir/suite-$package-$series"
            mv "$part/tree" "$dir/suite-$package-$series"
            rm -rf "$part"
            return
        fi
        rm -rf "$part"
    done
    die "$package $series is in none of these releases of Debian: $releases"
}

# suite_for NAME VERSION: sets `suite` to the directory of that server's suites.
suite_for() {
    source_of "$1" "$2"
    suite=$dir/suite-$package-$series
    [ -x "$suite/runtest" ] || fetch_suite
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
