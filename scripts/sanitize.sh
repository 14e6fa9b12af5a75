#!/bin/sh
# Runs the unit tests and the hand-off of generations between threads
# (tests/handoff) under sanitizers, with the Rust code and the VM's C++ both
# instrumented. Fails on any report.
#
#   scripts/sanitize.sh           address, thread
#   scripts/sanitize.sh address   this one
#
# ROUNDS is the number of flushes in each test of the hand-off (300). Every
# compiler has the sanitizers, but only an unstable flag turns them on, hence
# RUSTC_BOOTSTRAP, for these builds alone.
set -eu
cd "$(dirname "$0")/.."

PATH=$PATH:${HOME:-}/.cargo/bin

host=$(rustc -vV | sed -n 's/^host: //p')
suppressions=$PWD/scripts/sanitizers/thread.txt
export ROUNDS="${ROUNDS:-300}"

die() {
    printf 'sanitize: %s\n' "$*" >&2
    exit 1
}

# How much stack a level of nesting takes is measured without a sanitizer: with
# one the compiler's frames are several times as large.
deep=nesting_as_deep_as_the_limit_fits_into_half_of_the_stack

# run_tests SANITIZER ARGUMENT...: cargo test with these arguments.
run_tests() {
    sanitizer=$1
    shift
    # As in the module the VM's assertions are out: a test has a panic cross its frames, which they do not allow. The VM
    # marks its free memory for the sanitizer, and includes its header for that. The compiler's own has it.
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=$sanitizer -Cunsafe-allow-abi-mismatch=sanitizer --cfg sanitized=\"$sanitizer\"" CXX=clang++ \
        LUAU_CXXFLAGS="-DNDEBUG -include raising.h -fsanitize=$sanitizer -fno-omit-frame-pointer -g1 -idirafter $(gcc -print-file-name=include)" \
        cargo test --release --config 'profile.release.debug="line-tables-only"' \
        --target "$host" --target-dir "target/sanitize/$sanitizer" "$@"
}

check_address() {
    left=a_full_queue_is_left_alone_at_the_end_of_the_process
    run_tests address --lib --test handoff -- --skip "$left" --skip "$deep"
    # Memory that is kept until the process ends is leaked on purpose.
    ASAN_OPTIONS=detect_leaks=0 run_tests address --test handoff -- "$left"
}

check_thread() {
    # One test at a time: they share the process.
    TSAN_OPTIONS="suppressions=$suppressions halt_on_error=1 second_deadlock_stack=1" \
        run_tests thread --lib --test handoff -- --test-threads=1 --skip "$deep"
}

[ $# -gt 0 ] || set -- address thread
for sanitizer in "$@"; do
    case $sanitizer in
    address | thread) printf 'Running the tests under the sanitizer of %s\n' "$sanitizer" ;;
    *) die "unknown sanitizer $sanitizer (known: address, thread)" ;;
    esac
    "check_$sanitizer"
done
