#!/bin/sh
# Checks what neither rustfmt nor clippy looks at: the length of comments, the shell scripts, and that the pages name
# the Rust of Cargo.toml. shellcheck is used where it is installed.
set -eu
cd "$(dirname "$0")/.."

failed=0
miss() {
    printf 'lint: %s\n' "$*" >&2
    failed=1
}

# rustfmt keeps code to 120 columns and leaves comments alone; a long literal may go beyond, a comment may not.
for file in $(git ls-files --cached --others --exclude-standard '*.rs'); do
    long=$(awk 'length > 120 && (/^[ \t]*\/\// || (/ \/\/ / && !/"/)) { printf " %d", FNR }' "$file")
    [ -z "$long" ] || miss "$file: comments of more than 120 columns in line$long"
done

for script in scripts/*.sh examples/*/*.sh .ci/run; do
    case $(head -n 1 "$script") in
    *bash) bash -n "$script" || failed=1 ;;
    *) sh -n "$script" || failed=1 ;;
    esac
done
if command -v shellcheck >/dev/null 2>&1; then
    shellcheck scripts/*.sh examples/*/*.sh .ci/run || failed=1
fi

rust=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
for page in README.md CONTRIBUTING.md; do
    grep -q "Rust $rust or newer" "$page" || miss "$page does not say 'Rust $rust or newer', as Cargo.toml does"
done

[ "$failed" -eq 0 ]
