"""A libtorrent node: adds what it is told to on standard input, and says when each item is complete.

libtorrent_node.py ADDRESS LIMIT
"""
import sys

import libtorrent


def main(address, limit):
    """The node itself: adds what it is told to, and says when each is complete."""
    session = libtorrent.session({
        "listen_interfaces": f"{address}:6881",
        "outgoing_interfaces": address,
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_outgoing_utp": False,
        "allow_multiple_connections_per_ip": True,
        "min_reconnect_time": 1,
        "download_rate_limit": int(limit),
        "alert_mask": libtorrent.alert.category_t.status_notification | libtorrent.alert.category_t.error_notification,
    })
    # Peers on the same network are not limited otherwise.
    session.set_peer_class_filter(libtorrent.ip_filter())
    print("ready", flush=True)
    for line in sys.stdin:
        _, torrent, folder = line.rstrip("\n").split("\t")
        params = libtorrent.add_torrent_params()
        params.ti = libtorrent.torrent_info(torrent)
        params.save_path = folder
        session.add_torrent(params)
        complete = False
        while not complete:
            session.wait_for_alert(1000)
            for alert in session.pop_alerts():
                complete |= isinstance(alert, libtorrent.torrent_finished_alert)
        print("complete", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
