#!/bin/sh
# Writes the files of this version to tests/corpus/: one folder for each server of
# servers.sh. Those that are there are replaced.
#
#   scripts/corpus.sh             every server of servers.sh
#   scripts/corpus.sh redis-8.2   only this one
set -eu
cd "$(dirname "$0")/.."

PATH=$PATH:${HOME:-}/.cargo/bin

. scripts/servers.sh

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
# Users have files of a released version. Others would prove nothing about those.
if git rev-parse --quiet --verify "refs/tags/v$version" >/dev/null 2>&1; then
    die "version $version is released, and its files stay as they are"
fi

# shellcheck disable=SC2086 # one word per server
[ $# -gt 0 ] || set -- $all_servers
mkdir -p "$servers"
for name in "$@"; do
    use "$name"
    case $server in
    "$servers"/*) path=$PWD/$server ;;
    *) path=$server ;;
    esac
    SERVER=$path CORPUS=$PWD/tests/corpus cargo test --release --test corpus -- --nocapture the_files_of_this_version
done
du -sh --apparent-size tests/corpus
