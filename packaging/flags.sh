# Sourced by what builds packages: flags with which two builds of one commit give the same bytes, wherever they lie.
#
# A path of this machine would else stand in every panic message and in the debug information, the time of the build in every archive.
# SC2148: no program of its own.
# shellcheck shell=bash disable=SC2148

p2p_root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
: "${CARGO_HOME:=$HOME/.cargo}"
if [[ -z ${SOURCE_DATE_EPOCH:-} ]]; then
    # Of the last commit; an unpacked archive has none, and its newest file says as much.
    SOURCE_DATE_EPOCH=$(git -C "$p2p_root" log -1 --format=%ct 2>/dev/null || stat -c %Y "$p2p_root/CHANGELOG.md")
fi
export SOURCE_DATE_EPOCH

# Where the crates' sources lie is known once they are there.
if command -v cargo >/dev/null; then (cd "$p2p_root" && cargo fetch --locked --quiet); fi
# From the place of the crates' sources, which has the registry's name in it, to a plain one; the last that fits wins.
p2p_remap=("--remap-path-prefix=$CARGO_HOME=/usr/src/cargo" "--remap-path-prefix=$p2p_root=/usr/src/p2p")
p2p_c_remap=("-ffile-prefix-map=$CARGO_HOME=/usr/src/cargo" "-ffile-prefix-map=$p2p_root=/usr/src/p2p")
for p2p_crates in "$CARGO_HOME"/registry/src/*/; do
    p2p_remap+=("--remap-path-prefix=${p2p_crates%/}=/usr/src/crates")
    p2p_c_remap+=("-ffile-prefix-map=${p2p_crates%/}=/usr/src/crates")
done
export RUSTFLAGS="${p2p_remap[*]}" CFLAGS="${p2p_c_remap[*]}"
unset p2p_root p2p_remap p2p_c_remap p2p_crates
