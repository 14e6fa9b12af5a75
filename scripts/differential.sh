#!/bin/sh
# Compares random programs as functions of the server and of the module, on some
# servers. COUNT is their number (100000). SEED repeats a run; without it, the
# programs are new.
#
#   scripts/differential.sh              redis-7.0, redis-8.6, valkey-9.1
#   scripts/differential.sh valkey-8.1   only this one
set -eu
cd "$(dirname "$0")/.."

PATH=$PATH:${HOME:-}/.cargo/bin

. scripts/servers.sh

[ $# -gt 0 ] || set -- redis-7.0 redis-8.6 valkey-9.1
mkdir -p "$servers"

# All of them first, so that a failed download costs no run.
for name in "$@"; do
    use "$name"
done

cargo build --release
failed=
for name in "$@"; do
    use "$name"
    case $server in
    "$servers"/*) path=$PWD/$server ;;
    *) path=$server ;;
    esac
    printf '\nRandom programs on %s (%s)\n' "$name" "$version"
    SERVER=$path COUNT=${COUNT:-100000} SEED=${SEED:-new} cargo test --release --test programs -- --nocapture random ||
        failed="$failed $name"
done
[ -z "$failed" ] || die "programs differ on$failed"
