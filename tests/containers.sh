#!/usr/bin/env bash
# The container files without a container engine: their steps are done by hand, and the program is started as an engine would start it.
#
#   tests/containers.sh FOLDER [CONTAINERFILE...]     (the unpacked static archive; default: all of its container files)
#
# What an engine adds is not tried: images and their layers, its networks, its users, its limits. Needs root, util-linux, procps, iproute2.
set -Eeuo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
archive=$(cd "$1" && pwd)
shift
[[ $# != 0 ]] || set -- "$archive"/packaging/container/*.Containerfile
# shellcheck source=tests/lib.sh
. "$here/tests/lib.sh"
show_logs() { tail -n 40 "$work/$name.log"; }
cleanup() { [[ -z ${engine:-} ]] || kill "$engine" 2>/dev/null || true; rm -rf -- "$work"; }

# step WORD ARGUMENTS: does what a line of a container file says to the folder $root, or notes it for the start.
step() {
    local word=$1 rest=$2 to from
    case $word in
        FROM) [[ $rest == scratch ]] || failed "only FROM scratch can be tried here, not $rest" ;;
        COPY)
            to=$root${rest##* }
            mkdir -p "$to"
            for from in ${rest% *}; do cp "$archive/$from" "$to"; done ;;
        ENV) read -ra environment <<<"$rest" ;;
        VOLUME) while read -r to; do mkdir -p "$root$to"; done < <(grep -oE '/[^"]+' <<<"$rest") ;;
        ENTRYPOINT) mapfile -t start < <(grep -oE '[^]", []+' <<<"$rest") ;;
        EXPOSE | STOPSIGNAL) ;;
        *) failed "nothing here knows $word" ;;
    esac
}

# Starts the program as the first process of namespaces of its own; sets $first, its number here.
begin() {
    # shellcheck disable=SC2016 # expanded inside
    unshare --mount --pid --net --ipc --uts --fork --kill-child --propagation private bash -c '
        root=$1; shift
        mount -t proc proc "$root/proc" && mount -t tmpfs -o mode=755 dev "$root/dev"
        for device in null zero full random urandom tty; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
        ip link set lo up
        exec env -i "${@:2:$1}" "$(command -v chroot)" "$root" "${@:2+$1}"' sh "$root" "${#environment[@]}" "${environment[@]}" "${start[@]}" >"$work/$name.log" 2>&1 &
    engine=$!
    until_ok "the first process of $name" has . pgrep -P "$engine"
    first=$(pgrep -P "$engine")
}
# in_root CMD...: as the engine's exec.
in_root() { env -i "${environment[@]}" nsenter --all --root --wd --target "$first" "$@"; }

for file; do
    name=$(basename "$file" .Containerfile)
    root=$work/$name environment=() start=()
    mkdir -p "$root"/{dev,proc,etc,tmp}
    while read -r word rest; do
        [[ -z $word || $word == \#* ]] || step "$word" "$rest"
    done <"$file"
    begin
    case $name in
        p2p-tracker) answer=(p2p-tracker invite) ;;
        p2pd) answer=(p2pctl --system status) ;;
        *) failed "nobody says what $name answers" ;;
    esac
    until_ok "an answer of $name" in_root "${answer[@]}"
    [[ $(readlink "/proc/$first/exe") == "${start[0]}" ]] || failed "the first process of $name is $(readlink "/proc/$first/exe")"
    kill -TERM "$first"
    wait "$engine" || failed "$name did not end well when it was told to: $?"
    ok "the container file of $name: its program starts, answers and ends when told to"
done
finish
