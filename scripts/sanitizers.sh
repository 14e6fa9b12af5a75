# How code is built for a sanitizer, for the scripts that do so. Sourced by
# scripts in this directory, with the root of the tree as the current directory.
#
# Every compiler has the sanitizers, but only an unstable flag turns them on, hence
# RUSTC_BOOTSTRAP, for these builds alone.
# shellcheck shell=sh

host=$(rustc -vV | sed -n 's/^host: //p')

# runtime_of NAME: sets `runtime` to the sanitizer's runtime that Rust brings, for
# a program that is not linked by it.
runtime_of() {
    for runtime in "$(rustc --print target-libdir)"/librustc*_rt."$1".a; do
        [ -f "$runtime" ] || die "Rust has no runtime $1 for $host"
    done
}

# instrumented SANITIZER COMMAND ARGUMENT...: that command of cargo, with the Rust
# code and the VM's C++ instrumented. What it builds stays in
# target/sanitize/SANITIZER/.
instrumented() {
    sanitizer=$1 command=$2
    shift 2
    # As in the module the VM's assertions are out: a test has a panic cross its frames, which they do not allow. The VM
    # marks its free memory for the sanitizer, and includes its header for that. The compiler's own has it.
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=$sanitizer -Cunsafe-allow-abi-mismatch=sanitizer --cfg sanitized=\"$sanitizer\"" CXX=clang++ \
        LUAU_CXXFLAGS="-DNDEBUG -include raising.h -fsanitize=$sanitizer -fno-omit-frame-pointer -g1 -idirafter $(gcc -print-file-name=include)" \
        cargo "$command" --release --config 'profile.release.debug="line-tables-only"' \
        --target "$host" --target-dir "target/sanitize/$sanitizer" "$@"
}
