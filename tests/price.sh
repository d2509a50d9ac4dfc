#!/usr/bin/env bash
# The price of durability: a download with its syncs and with syncs that do nothing, turn by turn.
#
#   tests/price.sh [--disk MB/s] [--network MB/s] FOLDER [MEGABYTES [TURNS]]      1,000 MB, 3 turns
#
#   --disk      download to a file system of its own in FOLDER, on a loop device that writes no more than that: so the disk binds the
#               download (root, and the blkio controller of cgroups, version 1, whose limit at the root also holds for writeback)
#   --network   the seed sends no more than that
#
# FOLDER lies on the disk that is to be measured; the seed reads from memory. Needs the release build and a C compiler. Ends with 1
# if the median costs more than 15 %.
set -euo pipefail
cd "$(dirname "$0")/.."
disk=""
network=none
while [[ ${1:-} == --* ]]; do
    case $1 in
    --disk) disk=$2 ;;
    --network) network=${2}MB/s ;;
    *) echo "price.sh: no option $1" >&2; exit 2 ;;
    esac
    shift 2
done
folder=${1:?a folder on the disk to measure}
megabytes=${2:-1000}
turns=${3:-3}
bin=$PWD/${CARGO_TARGET_DIR:-target}/release
[[ ${CARGO_TARGET_DIR:-} != /* ]] || bin=$CARGO_TARGET_DIR/release

work=$(mktemp -d "$folder/price.XXXXXX")
memory=$(mktemp -d /dev/shm/price.XXXXXX)
pids=()
device=
limit=/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device
cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    if [ -n "$device" ]; then
        mountpoint -q "$work" && umount "$work"
        echo "$(cat "/sys/block/${device#/dev/}/dev") 0" >"$limit"
        losetup --detach "$device"
    fi
    rm -rf "$work" "$work.img" "$memory"
}
trap cleanup EXIT

if [ -n "$disk" ]; then
    # Room for what two turns leave behind, and for the file system itself.
    truncate -s "$((megabytes * 3 + 1000))M" "$work.img"
    mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 "$work.img"
    device=$(losetup --find --show --direct-io=on "$work.img")
    mount "$device" "$work"
    echo "$(cat "/sys/block/${device#/dev/}/dev") $((disk * 1000000))" >"$limit"
fi

# The database syncs as ever: its calls are told from those of the data by the name of the file.
cat >"$work/nosync.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static int is_state(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len < 0) return 1;
    path[len] = 0;
    return strstr(path, "/state/") != NULL;
}
int fdatasync(int fd) { return is_state(fd) ? ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd) : 0; }
int fsync(int fd) { return is_state(fd) ? ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd) : 0; }
C
cc -shared -fPIC -o "$work/nosync.so" "$work/nosync.c" -ldl

# NAME FOLDER [VARIABLE=VALUE...]: a daemon without a tracker, on an address of its own.
start() {
    local name=$1 dir=$2 address=$3
    shift 3
    mkdir -p "$dir/downloads"
    printf '[daemon]\ndownload_dir = "%s"\n[network]\nbind = ["%s"]\n[storage]\nmin_free = "0"\n[limits]\nlan_exempt = false\nupload = "%s"\n' \
        "$dir/downloads" "$address" "$network" >"$dir/p2pd.toml"
    env "$@" "$bin/p2pd" --user --config "$dir/p2pd.toml" --state-dir "$dir/state" --socket "$dir/control.sock" >"$dir/log" 2>&1 &
    pids+=($!)
    for _ in $(seq 200); do
        "$bin/p2pctl" --socket "$dir/control.sock" status >/dev/null 2>&1 && return
        sleep 0.05
    done
    echo "$name does not answer:"
    cat "$dir/log"
    exit 1
}
ctl() {
    local dir=$1
    shift
    "$bin/p2pctl" --socket "$dir/control.sock" "$@"
}

start seed "$memory" 127.0.4.1
head -c "$((megabytes * 1000000))" /dev/urandom >"$memory/downloads/big.bin"
ctl "$memory" create "$memory/downloads/big.bin" -o "$work/big.torrent" >/dev/null
ctl "$memory" fetch "$work/big.torrent" --data "$memory/downloads/big.bin" >/dev/null
port=$(ctl "$memory" --json status | sed -n 's/.*"port": *\([0-9]*\).*/\1/p' | head -1)

declare -A took
for turn in $(seq "$turns"); do
    for kind in with without; do
        dir=$work/$kind-$turn
        preload=()
        [ "$kind" = with ] || preload=(LD_PRELOAD="$work/nosync.so")
        start "$kind" "$dir" 127.0.4.2 "${preload[@]}"
        sync -f "$work"
        begin=$(date +%s%N)
        ctl "$dir" fetch "$work/big.torrent" --peer "127.0.4.1:$port" >/dev/null
        # What was not synced must be on the disk too, before it counts as there.
        sync -f "$work"
        took[$kind]+="$((($(date +%s%N) - begin) / 1000000)) "
        kill "${pids[-1]}" && wait "${pids[-1]}" 2>/dev/null || true
        unset 'pids[-1]'
        rm -rf "$dir/downloads"
    done
done
median() { tr ' ' '\n' <<<"$1" | sed '/^$/d' | sort -n | sed -n "$(((turns + 1) / 2))p"; }
with=$(median "${took[with]}")
without=$(median "${took[without]}")
price=$(((with - without) * 100 / without))
echo "with syncs ${took[with]}ms, without ${took[without]}ms: $price % of the median"
[ "$price" -le 15 ]
