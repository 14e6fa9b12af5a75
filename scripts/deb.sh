#!/bin/sh
# Builds a Debian package of the module: target/deb/redis-shadow-functions_*.deb,
# for Debian's redis-server.
#
#   scripts/deb.sh          builds the package
#   scripts/deb.sh check    checks that package with lintian, installs it on this
#                           machine, starts a server with it, calls functions,
#                           and purges it; needs root
#
# `make install` decides what is installed, and where. DEBFULLNAME and DEBEMAIL
# name the maintainer. The same sources and the same module give the same package,
# byte for byte; its date is SOURCE_DATE_EPOCH, by default the last commit's.
set -eu
cd "$(dirname "$0")/.."
umask 022

PATH=$PATH:${HOME:-}/.cargo/bin

name=redis-shadow-functions
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)-1
architecture=$(dpkg --print-architecture)
maintainer="${DEBFULLNAME:-Shadow Functions contributors} <${DEBEMAIL:-shadow-functions@packages.invalid}>"
out=target/deb
root=$out/root
package=$out/${name}_${version}_$architecture.deb
doc=usr/share/doc/$name
module=usr/lib/redis/modules/libshadow.so
conf=etc/redis/shadow-functions.conf

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export SOURCE_DATE_EPOCH

die() {
    printf 'deb: %s\n' "$*" >&2
    exit 1
}

# --- Building ----------------------------------------------------------------

# The licences of everything linked into the module: ours, and those of the crates
# and of Luau, from their sources.
copyright() {
    printf 'Upstream-Name: shadow-functions\n\n'
    cat LICENSE
    printf '\nThe module is linked with the following, each under its own licence.\n'
    {
        cargo tree --locked --edges normal,no-proc-macro --prefix none --format '{p}'
        # Luau: the VM itself, compiled by what builds mlua-sys.
        cargo tree --locked --edges normal,build --prefix none --format '{p}' | grep '^luau0-src '
    } | awk '$1 != "shadow-functions" { sub("^v", "", $2); print $1, $2 }' | LC_ALL=C sort -u |
        while read -r crate number; do
            printf '\n%s %s\n\n' "$crate" "$number"
            licence "$crate-$number"
        done
}

# licence CRATE-VERSION: the text of its licence, the most permissive if it has several.
licence() {
    for source in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$1"; do
        for file in LICENSE-MIT LICENSE-MIT.md LICENSES/MIT.txt LICENSE LICENSE-BOOST; do
            if [ -f "$source/$file" ]; then
                sed 's/^/    /; s/[ \r]*$//' "$source/$file"
                return
            fi
        done
        # Two crates come without the text: their repositories are those of others in the list.
        case $1 in
        mlua-sys-*) printf '    As mlua.\n' && return ;;
        redis-module-common-*) printf '    As redis-module.\n' && return ;;
        esac
    done
    die "no licence of $1 was found"
}

control() {
    cat <<END
Package: $name
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -k --apparent-size -s "$root" | cut -f 1)
Depends: redis-server (>= 5:7.0), $1
Section: database
Priority: optional
Description: second registry of functions for Redis
 This module mirrors Redis Functions: SHADOW.FUNCTION, SHADOW.FCALL and
 SHADOW.FCALL_RO have the syntax, replies, errors, flags and replication of
 FUNCTION, FCALL and FCALL_RO. Flushing it is a pointer swap, and its functions
 run in a sandboxed Luau VM.
 .
 To load it, include /$conf in the server's
 configuration and restart the server.
END
}

changelog() {
    printf '%s (%s) unstable; urgency=medium\n\n' "$name" "$version"
    printf '  * Packaged from the source tree; the changes are in changelog.gz.\n\n'
    printf ' -- %s  %s\n' "$maintainer" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
}

# The libraries that the module is linked with at run time, as a Depends field.
libraries() {
    mkdir -p "$out/shlibs/debian"
    : >"$out/shlibs/debian/control"
    (
        cd "$out/shlibs"
        dpkg-shlibdeps -O --ignore-missing-info "../root/$module" 2>/dev/null | sed -n 's/^shlibs:Depends=//p'
    )
}

build() {
    rm -rf "$out"
    mkdir -p "$root/DEBIAN"
    make --silent install DESTDIR="$PWD/$root" PREFIX=/usr SYSCONFDIR=/etc DOCDIR="/$doc"
    strip --strip-unneeded --remove-section=.comment "$root/$module"
    # Debian has other names for some of the files.
    rm "$root/$doc/LICENSE"
    copyright >"$root/$doc/copyright"
    mv "$root/$doc/CHANGELOG.md" "$root/$doc/changelog"
    changelog >"$root/$doc/changelog.Debian"
    gzip -9n "$root/$doc/changelog" "$root/$doc/changelog.Debian"
    printf '/%s\n' "$conf" >"$root/DEBIAN/conffiles"
    depends=$(libraries)
    [ -n "$depends" ] || die "dpkg-shlibdeps does not say what the module is linked with"
    control "$depends" >"$root/DEBIAN/control"
    (cd "$root" && find usr -type f -print | LC_ALL=C sort | xargs md5sum >DEBIAN/md5sums)
    # dpkg-deb lowers later dates to SOURCE_DATE_EPOCH, and keeps earlier ones.
    find "$root" -exec touch --no-dereference -d "@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --root-owner-group -Zxz --build "$root" "$package" >/dev/null
    rm -rf "$root" "$out/shlibs"
    printf '%s\n' "$package"
}

# --- Checking ----------------------------------------------------------------

work=
server=

# shellcheck disable=SC2329 # called by the traps
clean_up() {
    trap - EXIT
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    [ -z "$work" ] || rm -rf "$work"
    dpkg --purge "$name" >/dev/null 2>&1 || true
}

installed() {
    dpkg-query -W -f '${db:Status-Status}\n' "$name" 2>/dev/null | grep -vqx not-installed
}

ask() { redis-cli -s "$work/socket" "$@"; }

# expect WANTED COMMAND...
expect() {
    wanted=$1
    shift
    got=$(ask "$@")
    [ "$got" = "$wanted" ] || die "$* answered '$got' instead of '$wanted'"
}

check() {
    [ -f "$package" ] || die "$package is missing: run make deb first"
    [ "$(id -u)" -eq 0 ] || die "installing the package needs root"
    # It would be purged at the end.
    if installed; then
        die "$name is installed on this machine already"
    fi
    # The package is not for Debian's archive, so it closes no bug there.
    lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "$package"

    trap clean_up EXIT
    trap 'clean_up; exit 130' INT
    trap 'clean_up; exit 143' TERM HUP
    dpkg --install "$package" >/dev/null
    files=$(dpkg --listfiles "$name")

    # As the service runs it: as the user redis, with the files of the package.
    work=$(mktemp -d)
    cat >"$work/redis.conf" <<END
include /$conf
port 0
unixsocket $work/socket
dir $work
save ""
shadow.library-dir /usr/share/shadow-functions/examples
END
    chown -R redis:redis "$work"
    setpriv --reuid=redis --regid=redis --init-groups redis-server "$work/redis.conf" >"$work/log" 2>&1 &
    server=$!
    tries=0
    until [ "$(ask PING 2>/dev/null)" = PONG ]; do
        tries=$((tries + 1))
        if [ "$tries" -eq 200 ] || ! kill -0 "$server" 2>/dev/null; then
            cat "$work/log" >&2
            die "the server does not start with the package"
        fi
        sleep 0.05
    done
    expect 1 SHADOW.FCALL lock_acquire 1 lock:report alice 30000
    expect 0 SHADOW.FCALL lock_acquire 1 lock:report bob 30000
    expect OK CONFIG SET shadow.memory-limit 64mb
    ask SHUTDOWN NOSAVE || true
    wait "$server" || die "the server ended with status $?"
    server=

    dpkg --purge "$name" >/dev/null
    for file in $files; do
        if [ -f "$file" ] || [ "${file%shadow-functions*}" != "$file" ] && [ -e "$file" ]; then
            die "$file is still there after the purge"
        fi
    done
    printf '%s installs, works and leaves nothing behind.\n' "$package"
}

case ${1:-build} in
build) build ;;
check) check ;;
*) die "unknown argument $1 (known: check)" ;;
esac
