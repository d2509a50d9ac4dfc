#!/bin/sh
# p2p beside other programs, in one run on one machine: `run.sh --help`. Builds p2p first.
#
# Runs in a network namespace of its own, where every node has its own address on the loopback: Transmission ignores peers in
# 127.0.0.0/8, and p2pd asks no tracker of a private network that a torrent brings along. Needs root or the right to make user namespaces, and Debian's python3, which has Debian's libtorrent. What else takes
# part, if it is there:
#   apt-get install aria2 curl mktorrent nginx-light openssl python3-libtorrent qbittorrent-nox rsync transmission-cli transmission-daemon
#   /usr/bin/python3 -m pip install torf; cargo install rqbit
set -eu
cd "$(dirname "$0")/../.."
case " $* " in *" --help "* | *" -h "*) exec /usr/bin/python3 -B tests/compare/compare.py --help ;; esac

cargo build --release --locked --quiet --workspace --bins
user=$([ "$(id -u)" = 0 ] || echo --map-root-user)
exec unshare --net $user sh -euc '
    ip link set lo up
    for host in $(seq 1 9); do ip address add "198.51.100.$host/24" dev lo; done
    exec /usr/bin/python3 -B tests/compare/compare.py "$@"
' compare "$@"
