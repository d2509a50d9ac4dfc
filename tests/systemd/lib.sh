# Sourced by the suites of this folder: tests/lib.sh, and what has to do with boxes.
# shellcheck shell=bash disable=SC2148

# shellcheck source=tests/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
box=$(dirname "${BASH_SOURCE[0]}")/box.sh

# in_box NAME CMD...: as root; as_in NAME USER CMD...: as that user.
in_box() { SYSTEMD_BOX_NAME=$1 "$box" exec "${@:2}" </dev/null; }
as_in() { SYSTEMD_BOX_NAME=$1 "$box" as "${@:2}" </dev/null; }

# property NAME PROPERTY UNIT: a property of a unit in a box.
property() { in_box "$1" systemctl show -p "$2" --value "$3"; }

# cable HOME NAS: a network between two boxes, fd5d:b1::1 and fd5d:b1::2. Private addresses, for passwords cross no other network
# unencrypted. It is gone after a reboot of either.
cable() {
    ip link add p2p-cable netns "sdbox-$1" type veth peer name p2p-cable netns "sdbox-$2"
    local end address
    for end in "$1 fd5d:b1::1" "$2 fd5d:b1::2"; do
        read -r end address <<<"$end"
        ip -6 -n "sdbox-$end" addr add "$address/64" dev p2p-cable nodad
        ip -n "sdbox-$end" link set p2p-cable up
    done
}
