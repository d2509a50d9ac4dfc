#!/usr/bin/env bash
# Fuzzes what strangers can send us, with coverage, on the stable compiler (a C++ compiler is needed for libFuzzer).
#
#   tests/fuzz/run.sh [SECONDS [TARGET...]]     60 s each; all targets
#
# What it finds is left in tests/fuzz/artifacts; a corpus grows in the build folder, from the one kept here.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
shift || true
host=$(rustc -vV | sed -n 's/^host: //p')
build=$PWD/../../target/fuzz

coverage='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters'
coverage+=' -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1'
# The flags reach the programs alone, not what runs while they are built.
RUSTFLAGS="--cfg fuzzing $coverage" cargo build --release --locked --target "$host" --target-dir "$build"

targets=("$@")
[ $# -gt 0 ] || targets=($(sed -n 's/^name = "\([a-z]*\)"$/\1/p' Cargo.toml))
mkdir -p artifacts
failed=()
for target in "${targets[@]}"; do
    mkdir -p "$build/corpus/$target" "corpus/$target"
    log=$build/$target.log
    if "$build/$host/release/$target" "$build/corpus/$target" "corpus/$target" -max_total_time="$seconds" -max_len=16384 -timeout=10 \
        -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="artifacts/$target-" >"$log" 2>&1; then
        printf '%-10s %s s, %s runs, %s edges: nothing found\n' "$target" "$seconds" \
            "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$(grep -o 'cov: [0-9]*' "$log" | tail -1 | cut -d' ' -f2)"
    else
        failed+=("$target")
        tail -n 30 "$log"
    fi
done
[ ${#failed[@]} -eq 0 ] || { echo "found something: ${failed[*]}"; exit 1; }
