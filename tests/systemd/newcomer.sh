#!/usr/bin/env bash
# A new user with the README: what stands under "Five minutes" is typed word for word on two machines that have nothing but a
# system, from the packages to the first fetched file, questions answered as people do. It must take five minutes and ten commands at most.
#
#   tests/systemd/newcomer.sh [FOLDER WITH THE PACKAGES]     (default: target/packages, as packaging/build.sh leaves them)
#
# Needs root, systemd-container, debootstrap, e2fsprogs, iproute2, perl, python3. Boots two throw-away boxes of its own.
set -Eeuo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
packages=$(cd "${1:-${CARGO_TARGET_DIR:-$here/target}/packages}" && pwd)
export SYSTEMD_BOX_NET=veth
# shellcheck source=tests/systemd/lib.sh
. "$here/tests/systemd/lib.sh"

home=p2p-first nas=p2p-second
each_box() { local name; for name in $home $nas; do SYSTEMD_BOX_NAME=$name "$box" "$@"; done; }
cleanup() { each_box destroy >/dev/null 2>&1 || true; rm -rf -- "$work"; }
show_logs() {
    in_box $home journalctl -n 30 --no-pager -o short-precise -u p2p-tracker -u user@1000
    in_box $nas journalctl -n 30 --no-pager -o short-precise -u user@1000
}

each_box destroy >/dev/null 2>&1 || true
each_box create
each_box boot >/dev/null
cable $home $nas
for where in "$home ann" "$nas ben"; do
    read -r name user <<<"$where"
    in_box "$name" useradd -m "$user"
    # Somebody who is logged in.
    in_box "$name" loginctl enable-linger "$user"
    until_ok "the service manager of $user" as_in "$name" "$user" systemctl --user is-system-running --wait
    SYSTEMD_BOX_NAME=$name "$box" copy "$packages" /root/target/packages
done
as_in $home ann sh -c 'head -c 50000000 /dev/urandom >~/big.iso'

# The commands of a chapter of the README, its words for things that everybody has others of exchanged.
commands() {
    sed -n "/^## $1/,/^## /s/^    //p" "$here/README.md" | sed "s/ *# .*//; s/TRACKER:/[fd5d:b1::1]:/"
}
five=$(commands 'Five minutes')
# The one command that begins so, as it stands there.
line() {
    local found
    found=$(grep -F -- "$1" <<<"$five") || failed "the README has no command $1"
    [[ $(wc -l <<<"$found") == 1 ]] || failed "the README has more than one command $1"
    echo "$found"
}

typed=0
# types NAME USER COMMAND [PROMPT ANSWER]...: types a command, and what it asks for; with sudo it is root's.
types() {
    local name=$1 user=$2 command=$3 as=(as "$2")
    shift 3
    typed=$((typed + 1))
    echo "  $user@$name\$ $command"
    [[ $command != sudo\ * ]] || { as=(exec); command=${command#sudo }; }
    SYSTEMD_BOX_NAME=$name python3 "$here/tests/systemd/type.py" "$@" -- \
        "$box" "${as[@]}" sh -c "cd && $command" >"$work/said" || { cat "$work/said" >&2; failed "$command"; }
}

# Who keeps the tracker and shares.
began=$SECONDS
mapfile -t install < <(commands Install | grep -F 'apt install')
types $home ann "${install[0]}"
types $home ann "$(line 'enable --now p2p-tracker')"
types $home ann "$(line 'p2p-tracker invite')"
mapfile -t codes < <(grep -oE '^[a-z2-7]{5}(-[a-z2-7]{5}){2}' "$work/said")
join() { # NAME USER CODE
    types "$1" "$2" "$(line 'enable --now p2pd' | grep -F -- --user)"
    types "$1" "$2" "$(line 'tracker add')" 'Trust this certificate' y
    types "$1" "$2" "$(line 'p2pctl register')" 'User name' "$2" 'Password' 'correct horse' 'Again' 'correct horse' 'Invitation' "$3"
}
join $home ann "${codes[0]}"
types $home ann "$(line 'p2pctl share')"
types $home ann "$(line 'cp big.iso')"
keeper=$typed
ok "who keeps the tracker and shares the first file: $keeper commands in $((SECONDS - began)) s"
(( keeper <= 10 )) || failed "more than ten commands"

# Who was given a code and fetches.
typed=0
until_ok "big.iso in the catalogue" has big.iso as_in $home ann p2pctl search big
second=$SECONDS
types $nas ben "${install[1]}"
join $nas ben "${codes[1]}"
types $nas ben "$(line 'p2pctl search')"
has 'fetch OWNER/SHARE/ENTRY' cat "$work/said" || failed "the search does not say how to fetch what it found"
types $nas ben "$(line 'p2pctl fetch')"
ok "who joins, to the first fetched file: $typed commands in $((SECONDS - second)) s"
(( typed <= 10 )) || failed "more than ten commands"
[[ $(in_box $nas sha1sum /home/ben/Downloads/p2p/big.iso | cut -d' ' -f1) == "$(in_box $home sha1sum /home/ann/big.iso | cut -d' ' -f1)" ]]
(( SECONDS - began < 300 )) || failed "more than five minutes"
types $nas ben "$(line 'p2pctl ls')"
ok "from nothing to the first fetched file on the second machine: $((keeper + typed - 1)) commands in $((SECONDS - began)) s"
finish
