#!/bin/sh
# Installs what is missing to build and run the module: a server and its client,
# a C++ compiler, libclang. Arguments add to that:
#
#   clang       the C++ compiler whose sanitizers are those of Rust, and what reads
#               their reports
#   deb         what builds a Debian package
#   lintian     what checks one
#   locales     what a locale is made of
#   node        Node.js and npm
#   pip         Python's pip
#   prometheus  Prometheus and its node exporter
#   tcl         Tcl
#   venv        Python's venv
#
# Does nothing when everything is there. Starts no service.
set -eu

say() { printf '%s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }

# --- Rust: the user installs it ----------------------------------------------

PATH=$PATH:${HOME:-}/.cargo/bin
if ! have cargo; then
    rust=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$(dirname "$0")/../Cargo.toml")
    say "Rust is missing. Install version $rust or newer (https://rustup.rs) and try again." >&2
    exit 1
fi

# --- What is missing? --------------------------------------------------------

# bindgen loads libclang during the build, and needs clang's headers.
have_libclang() {
    if [ -n "${LIBCLANG_PATH:-}" ]; then
        return 0
    fi
    for file in /usr/lib/llvm-*/lib/libclang.so* /usr/lib/llvm-*/lib/libclang-*.so* \
        /usr/lib/*/libclang.so* /usr/lib/*/libclang-[0-9]*.so* \
        /usr/lib/libclang.so* /usr/lib64/libclang.so* /usr/local/lib/libclang.so*; do
        if [ -e "$file" ]; then
            for header in /usr/lib/llvm-*/lib/clang/*/include/stddef.h \
                /usr/lib/clang/*/include/stddef.h /usr/lib64/clang/*/include/stddef.h \
                /usr/local/lib/clang/*/include/stddef.h; do
                if [ -e "$header" ]; then
                    return 0
                fi
            done
        fi
    done
    return 1
}

# A server or client that the caller named must exist; the usual ones can be
# installed.
packages=
for program in "${SERVER:-redis-server}" "${CLI:-redis-cli}"; do
    if ! have "$program"; then
        case $program in
        redis-server) packages="$packages redis-server" ;;
        redis-cli) packages="$packages redis-tools" ;;
        *)
            say "There is no program $program." >&2
            exit 1
            ;;
        esac
    fi
done
{ have c++ && have cc; } || packages="$packages g++"
[ -e /usr/include/stdio.h ] || packages="$packages libc6-dev"
have_libclang || packages="$packages libclang-dev"
for extra in "$@"; do
    case $extra in
    clang)
        have clang++ || packages="$packages clang"
        # It names the functions of a report, by which some are left out.
        have llvm-symbolizer || packages="$packages llvm"
        ;;
    deb) have dpkg-shlibdeps || packages="$packages dpkg-dev" ;;
    lintian) have lintian || packages="$packages lintian" ;;
    locales) [ -e /usr/share/i18n/locales/en_US ] || packages="$packages locales" ;;
    node) { have node && have npm; } || packages="$packages nodejs npm" ;;
    pip) python3 -m pip --version >/dev/null 2>&1 || packages="$packages python3-pip" ;;
    prometheus)
        { have prometheus && have promtool; } || packages="$packages prometheus"
        have prometheus-node-exporter || packages="$packages prometheus-node-exporter"
        ;;
    tcl) have tclsh8.6 || packages="$packages tcl" ;;
    venv) python3 -c 'import ensurepip, venv' 2>/dev/null || packages="$packages python3-venv" ;;
    *)
        say "unknown argument $extra (known: clang, deb, lintian, locales, node, pip, prometheus, tcl, venv)" >&2
        exit 2
        ;;
    esac
done

if [ -z "$packages" ]; then
    exit 0
fi

# --- May we install? ---------------------------------------------------------

refuse() {
    {
        say "Missing:$packages"
        say "$1"
        say "These are names of Debian packages. Install them, or what provides the same, and try again:"
        say "    apt-get install --no-install-recommends$packages"
    } >&2
    exit 1
}

have apt-get || refuse "There is no apt-get here to install them with."
if [ "$(id -u)" -eq 0 ]; then
    sudo=
elif have sudo && sudo -n true 2>/dev/null; then
    sudo="sudo -n"
else
    refuse "Installing them needs root, or sudo without a password."
fi

# --- Install -----------------------------------------------------------------

# Debian starts a service as soon as its package is installed, unless
# /usr/sbin/policy-rc.d forbids it (status 101). Ours forbids it during the
# installation; an existing one is restored.
policy=/usr/sbin/policy-rc.d
saved=$policy.before-shadow-functions
held=no

hold_services() {
    if [ -x "$policy" ]; then
        status=0
        "$policy" redis-server start >/dev/null 2>&1 || status=$?
        if [ "$status" -eq 101 ]; then
            return 0
        fi
    fi
    held=yes
    if [ -e "$policy" ] && [ ! -e "$saved" ]; then
        $sudo mv "$policy" "$saved"
    fi
    printf '#!/bin/sh\n# Written by the setup of shadow-functions, which removes it again.\nexit 101\n' |
        $sudo tee "$policy" >/dev/null
    $sudo chmod 755 "$policy"
}

release_services() {
    if [ "$held" = yes ]; then
        held=no
        $sudo rm -f "$policy"
        if [ -e "$saved" ]; then
            $sudo mv "$saved" "$policy"
        fi
    fi
}

apt() {
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 -qq "$@"
}

trap release_services EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say "Installing:$packages"
hold_services
apt update || say "apt-get update failed; trying with the lists that are there." >&2
# shellcheck disable=SC2086 # one word per package
apt install -y --no-install-recommends $packages >/dev/null
release_services

# A newly installed package would also start its service at the next boot.
for service in redis-server prometheus prometheus-node-exporter; do
    case "$packages " in
    *" $service "*)
        if [ -x /usr/sbin/update-rc.d ]; then
            $sudo /usr/sbin/update-rc.d "$service" disable >/dev/null 2>&1 || true
        fi
        say "Debian's $service service was neither started nor enabled at boot."
        ;;
    esac
done
