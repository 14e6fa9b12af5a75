#!/bin/sh
# Runs the tests of tests/integration on servers that are built with
# AddressSanitizer and have loaded the module, built so as well, its VM's C++
# included: the sanitizer sees what the server and the module hand to each other.
# Prints a line for each server. Fails if a test fails, and on any report.
#
#   scripts/sanitize-server.sh              redis-7.0 and valkey-9.1
#   scripts/sanitize-server.sh valkey-9.1   this one
#
# TESTS="name" picks tests. The servers are built once, in
# target/sanitize/servers/, from the source packages that have their own suites. A
# run leaves its log and the reports in target/sanitize/logs/.
set -eu
cd "$(dirname "$0")/.."

PATH=$PATH:${HOME:-}/.cargo/bin

. scripts/servers.sh
. scripts/suites.sh
. scripts/sanitizers.sh

built=target/sanitize/servers
logs=target/sanitize/logs

# Tests that do not hold there: a number out of an integer's range becomes what the server's compiler likes, and this is
# not Debian's; what is copied into what is the compiler's choice as well, and a test reads its output for that.
left_out="
    differential::structures_are_packed_and_unpacked_alike
    raising::no_function_that_a_jump_goes_over_has_anything_to_drop
"

# fetch_source DIRECTORY: puts the source of `package` and `series` at DIRECTORY/tree.
fetch_source() {
    for release in $releases; do
        printf 'Fetching the source of %s %s from Debian %s\n' "$package" "$series" "$release"
        rm -rf "$1"
        mkdir -p "$1"
        (in_debian "$release" deb-src "$1" source --download-only --only-source "$package") || continue
        # With Debian's patches: without them an old release crashes where the tests compare it with the module.
        dpkg-source --no-check -x "$1"/*.dsc "$1/tree" >>"$1/log" 2>&1 || die "see $1/log"
        ! is_of_series "$1/tree" || return 0
    done
    die "$package $series is in none of these releases of Debian: $releases"
}

# build_server NAME: sets `program` to that server, built with the sanitizer.
build_server() {
    case " $all_servers " in
    *" $1 "*) ;;
    *) die "unknown server $1 (known: $all_servers)" ;;
    esac
    source_of "$1" "${1#*-}.0"
    program=$PWD/$built/$1/src/$package-server
    [ ! -x "$program" ] || return 0
    part=$built/$1.part
    fetch_source "$part"
    printf 'Building %s with the sanitizer\n' "$1"
    # The runtime is in the program alone, and serves the module as well, so it is the one that Rust brings. It looks
    # for what throws in C++ when the program begins, before the module brings the library that has it.
    runtime_of asan
    make -C "$part/tree/src" -j "$(nproc)" CC=clang CXX=clang++ SANITIZER=address OPTIMIZATION=-O1 BUILD_TLS=no \
        USE_SYSTEMD=no "$package-server" \
        LDFLAGS="-Wl,--whole-archive $runtime -Wl,--no-whole-archive -Wl,--no-as-needed -lstdc++ -lpthread -ldl -lm -lrt" \
        >"$part/log" 2>&1 || {
        cat "$part/log" >&2
        die "$1 could not be built"
    }
    mv "$part/tree" "$built/$1"
    rm -rf "$part"
}

[ $# -gt 0 ] || set -- redis-7.0 valkey-9.1
mkdir -p "$built" "$logs" "$dir"

# All of them first, so that a failed download costs no test run.
for name in "$@"; do
    build_server "$name"
done
instrumented address build --lib
module=$PWD/target/sanitize/address/$host/release/libshadow.so
# The tests themselves and the program that they are in need no sanitizer.
cargo test --release --test integration --no-run

summary=$logs/summary
: >"$summary"
failed=0
for name in "$@"; do
    build_server "$name"
    version=$(version_of "$program")
    log=$logs/$name.log
    reports=$PWD/$logs/$name
    rm -rf "$reports"
    mkdir -p "$reports"
    printf '\nTesting on %s (%s) with the sanitizer\n' "$name" "$version"
    began=$(date +%s)
    status=0
    # A server looks for leaks when it shuts down. One that is sent a payload with an absurd length asks for as much, and
    # does without.
    # shellcheck disable=SC2046,SC2086 # one word per test
    SERVER=$program SHADOW_MODULE=$module END=orderly \
        ASAN_OPTIONS="allocator_may_return_null=1:log_path=$reports/report" \
        LSAN_OPTIONS="suppressions=$PWD/scripts/sanitizers/leaks.txt:print_suppressions=0" \
        cargo test --release --test integration -- ${TESTS:-} $(printf -- '--skip %s ' $left_out) >"$log" 2>&1 ||
        status=$?
    seconds=$(($(date +%s) - began))
    counts=$(awk '/^test result:/ { passed += $4; failed += $6; out += $12 }
        END { printf "%d passed, %d failed, %d left out", passed, failed, out }' "$log")
    # It also writes down what it did not give.
    found=$(find "$reports" -type f -exec grep -lv 'WARNING: AddressSanitizer failed to allocate' {} +) || found=
    verdict=ok
    if [ "$status" -ne 0 ] || [ -n "$found" ]; then
        verdict=FAILED
        failed=$((failed + 1))
        cat "$log"
        # shellcheck disable=SC2086 # one word per file
        [ -z "$found" ] || cat $found
    fi
    printf '%-10s  %-8s  %-6s  %s, %d reports, %d s  (%s)\n' \
        "$name" "$version" "$verdict" "$counts" "$(echo "$found" | grep -c .)" "$seconds" "$log" >>"$summary"
done

printf '\n'
cat "$summary"
[ "$failed" -eq 0 ]
