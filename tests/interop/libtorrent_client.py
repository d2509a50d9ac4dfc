"""Fetches or seeds one torrent with libtorrent until it is killed.

libtorrent_client.py ADDRESS FILE.torrent FOLDER
"""
import sys
import time

import libtorrent as lt

address, torrent, folder = sys.argv[1:]
session = lt.session({
    "listen_interfaces": f"{address}:6881",
    "outgoing_interfaces": address,
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_outgoing_utp": False,
    "allow_multiple_connections_per_ip": True,
    "min_reconnect_time": 1,
})
params = lt.add_torrent_params()
params.ti = lt.torrent_info(torrent)
params.save_path = folder
handle = session.add_torrent(params)
while True:
    status = handle.status()
    print(status.state, f"{status.progress:.3f}", status.num_peers, status.errc.message(), flush=True)
    time.sleep(1)
