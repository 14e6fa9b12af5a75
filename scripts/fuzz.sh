#!/bin/sh
# Runs the fuzz targets of fuzz/, TIME seconds each (60), and prints how often
# each ran and how much of the code it reached. Fails when one finds something,
# and says where the input is.
#
#   scripts/fuzz.sh                every target
#   scripts/fuzz.sh cjson struct   these
#
# The Rust code and the VM's C++ are both instrumented. AddressSanitizer is used
# unless SANITIZER is none. Every compiler has it, but only an unstable flag turns
# it on, hence RUSTC_BOOTSTRAP, for this build alone.
#
# Inputs found while running are kept in target/fuzz/corpus/; every run starts
# from fuzz/seeds/.
set -eu
cd "$(dirname "$0")/.."

PATH=$PATH:${HOME:-}/.cargo/bin

time=${TIME:-60}
sanitizer=${SANITIZER:-address}
dir=target/fuzz
version=0.13.1
tools=$PWD/target/tools

die() {
    printf 'fuzz: %s\n' "$*" >&2
    exit 1
}

targets=${*:-shebang payload cjson cmsgpack struct libraries native cluster}
for target in $targets; do
    [ -f "fuzz/fuzz_targets/$target.rs" ] || die "there is no target $target in fuzz/fuzz_targets"
done

if [ "$("$tools/bin/cargo-fuzz" --version 2>/dev/null)" != "cargo-fuzz $version" ]; then
    cargo install --quiet --locked --version "$version" --root "$tools" cargo-fuzz
fi
PATH=$tools/bin:$PATH

# The VM's assertions are enabled, unlike in the module.
rust=
flags="-include raising.h -fsanitize-coverage=inline-8bit-counters,pc-table,trace-cmp -fno-omit-frame-pointer -g1"
case $sanitizer in
none) ;;
# The VM marks its free memory for the sanitizer, for which it includes a header of the compiler.
address)
    flags="$flags -fsanitize=address -idirafter $(gcc -print-file-name=include)"
    rust='--cfg sanitized="address"'
    ;;
*) die "unknown sanitizer $sanitizer (known: address, none)" ;;
esac
RUSTC_BOOTSTRAP=1 RUSTFLAGS="${RUSTFLAGS:-} $rust" CXX=clang++ LUAU_CXXFLAGS=$flags \
    cargo fuzz build --fuzz-dir fuzz --target-dir "$dir/$sanitizer" --sanitizer "$sanitizer"
programs=$dir/$sanitizer/$(rustc -vV | sed -n 's/^host: //p')/release

# value FIELD LOG: a field of libFuzzer's statistics at the end.
value() {
    sed -n "s/^stat::$1: *//p" "$2"
}

summary=$dir/summary
: >"$summary"
failed=0
for target in $targets; do
    corpus=$dir/corpus/$target
    found=$dir/found/$target
    log=$dir/$target.log
    mkdir -p "$corpus" "$found"
    printf 'Fuzzing %s for %s s\n' "$target" "$time"
    set -- "$corpus" "fuzz/seeds/$target" -max_total_time="$time" -max_len=4096 -len_control=0 -entropic=0 -timeout=60 \
        -rss_limit_mb=4096 -print_final_stats=1 -artifact_prefix="$found/"
    [ ! -f "fuzz/dictionaries/$target.dict" ] || set -- "$@" -dict="fuzz/dictionaries/$target.dict"
    status=0
    "$programs/$target" "$@" >"$log" 2>&1 || status=$?
    executions=$(value number_of_executed_units "$log")
    coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    inputs=$(find "$corpus" -type f | wc -l)
    if [ "$status" -eq 0 ] && [ "${executions:-0}" -gt 0 ]; then
        verdict=ok
    else
        verdict=FAILED
        failed=$((failed + 1))
        tail -n 60 "$log" >&2
    fi
    printf '%-10s  %-6s  %10s executions, %6s edges, %5s inputs  (%s)\n' \
        "$target" "$verdict" "${executions:-0}" "${coverage:-0}" "$inputs" "$log" >>"$summary"
done

printf '\n'
cat "$summary"
[ "$failed" -eq 0 ] || die "what was found is in $dir/found/"
