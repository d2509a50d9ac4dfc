#!/usr/bin/env bash
# Whether the programs compile for the systems that they are not run on here: macOS, and p2pctl for Windows.
#
#   tests/targets.sh
#   ZIG=/path/to/zig tests/targets.sh
#
# Looks at those targets that rustup has installed, and says how to install the others. Nothing is linked and nothing is run. p2pd and
# p2p-tracker hold C code (SQLite, ring): ZIG names a zig, which compiles C for every target (ziglang.org, or the wheel `ziglang`), or
# CC_x86_64_apple_darwin and the like name a compiler for one. Without either p2pctl alone is looked at. Ends with 1 at an error or a warning.
set -euo pipefail
cd "$(dirname "$0")/.."

installed=$(rustup target list --installed 2>/dev/null || true)
host=$(rustc -vV | sed -n 's/^host: //p')
tools=$PWD/target/zig
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0

# as_zig TARGET TRIPLE: lets zig compile C for TARGET, which zig calls TRIPLE. The paths stay the same, or all C would be compiled anew.
as_zig() {
    local cc=$tools/cc-$1 ar=$tools/ar
    mkdir -p "$tools"
    # What names the target in the words of other compilers is left out.
    cat >"$cc" <<CC
#!/usr/bin/env bash
args=()
for arg; do
    case \$arg in
        --target=* | -mmacosx-version-min=* | -arch | x86_64 | arm64) ;;
        *) args+=("\$arg") ;;
    esac
done
exec '$ZIG' cc -target $2 "\${args[@]}"
CC
    printf '#!/bin/sh\nexec %s ar "$@"\n' "'$ZIG'" >"$ar"
    chmod +x "$cc" "$ar"
    export "CC_${1//-/_}=$cc" "AR_${1//-/_}=$ar"
}

# check TARGET PACKAGES...: they compile for TARGET without a word.
check() {
    local target=$1 begin=$SECONDS
    shift
    if cargo check --locked --target "$target" "$@" >"$log" 2>&1 && ! grep -q '^warning' "$log"; then
        echo "ok: $target: cargo check $* ($((SECONDS - begin))s)"
    else
        cat "$log" >&2
        echo "FAILED: $target: cargo check $*" >&2
        failed=1
    fi
}

for pair in x86_64-apple-darwin=x86_64-macos aarch64-apple-darwin=aarch64-macos x86_64-pc-windows-gnu=; do
    target=${pair%%=*} triple=${pair#*=}
    compiler=CC_${target//-/_}
    if ! grep -qx "$target" <<<"$installed"; then
        echo "not looked at: $target is not installed: rustup target add $target"
    elif [[ -z $triple ]]; then
        check "$target" --package p2pctl
    elif [[ -n ${ZIG:-} || -n ${!compiler:-} || $target = "$host" ]]; then
        [[ -z ${ZIG:-} ]] || as_zig "$target" "$triple"
        check "$target" --workspace --all-targets
    else
        check "$target" --package p2pctl
        echo "not looked at: p2pd and p2p-tracker for $target: a C compiler for it is needed, such as ZIG=/path/to/zig $0"
    fi
done
exit "$failed"
