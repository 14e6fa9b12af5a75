# Redis's own test suites, for the scripts that run them. Sourced by scripts in
# this directory after servers.sh, with the root of the tree as the current
# directory.
#
# The suites come out of Debian's source packages of redis, 7.0 and 8.0, and
# stay in target/conformance/.
# shellcheck shell=sh

dir=target/conformance

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

# What was started and has not ended: process groups.
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
