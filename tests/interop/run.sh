#!/bin/sh
# Other clients through our tracker, in a network namespace of their own: Transmission ignores peers in 127.0.0.0/8, so every node
# gets an address of a real network on the namespace's loopback.
#
# Needs root, and what tests/interop.rs starts: transmission-daemon, transmission-remote, aria2c, python3 with libtorrent.
set -eu
cd "$(dirname "$0")/../.."

for program in transmission-daemon transmission-remote aria2c; do
    command -v "$program" >/dev/null || { echo "interop: $program is not installed" >&2; exit 1; }
done
# Debian's python3: it is the one that has Debian's libtorrent.
/usr/bin/python3 -c 'import libtorrent' || { echo "interop: python3-libtorrent is not installed" >&2; exit 1; }

cargo test --workspace --no-run --locked
exec unshare -n sh -ec '
    ip link set lo up
    for client in 1 2 3; do
        for host in $(seq 1 30); do ip addr add "10.83.$client.$host/24" dev lo; done
    done
    # Of the whole workspace: alone, the package would be built once more with other features.
    cargo test --workspace --locked --test interop -- --ignored --nocapture --test-threads=2
'
