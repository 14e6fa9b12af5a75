#!/bin/sh
# Runs the unit tests and the hand-off of generations between threads
# (tests/handoff) under sanitizers, with the Rust code and the VM's C++ both
# instrumented. Fails on any report.
#
#   scripts/sanitize.sh           address, thread
#   scripts/sanitize.sh address   this one
#
# ROUNDS is the number of flushes in each test of the hand-off (300).
set -eu
cd "$(dirname "$0")/.."

PATH=$PATH:${HOME:-}/.cargo/bin

. scripts/sanitizers.sh

suppressions=$PWD/scripts/sanitizers/thread.txt
export ROUNDS="${ROUNDS:-300}"

die() {
    printf 'sanitize: %s\n' "$*" >&2
    exit 1
}

# How much stack a level of nesting takes is measured without a sanitizer: with
# one the compiler's frames are several times as large.
deep=nesting_as_deep_as_the_limit_fits_into_half_of_the_stack

check_address() {
    left=a_full_queue_is_left_alone_at_the_end_of_the_process
    instrumented address test --lib --test handoff -- --skip "$left" --skip "$deep"
    # Memory that is kept until the process ends is leaked on purpose.
    ASAN_OPTIONS=detect_leaks=0 instrumented address test --test handoff -- "$left"
}

check_thread() {
    # One test at a time: they share the process.
    TSAN_OPTIONS="suppressions=$suppressions halt_on_error=1 second_deadlock_stack=1" \
        instrumented thread test --lib --test handoff -- --test-threads=1 --skip "$deep"
}

[ $# -gt 0 ] || set -- address thread
for sanitizer in "$@"; do
    case $sanitizer in
    address | thread) printf 'Running the tests under the sanitizer of %s\n' "$sanitizer" ;;
    *) die "unknown sanitizer $sanitizer (known: address, thread)" ;;
    esac
    "check_$sanitizer"
done
