"""A libtorrent node: does what it is told to on standard input, a line each, and says when it is done.

libtorrent_node.py ADDRESS LIMIT
"""
import os
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
        # None is left out, and none waits.
        "active_limit": -1,
        "active_seeds": -1,
        "alert_queue_size": 100_000,
        "alert_mask": libtorrent.alert.category_t.status_notification | libtorrent.alert.category_t.error_notification,
    })
    # Peers on the same network are not limited otherwise.
    session.set_peer_class_filter(libtorrent.ip_filter())
    print("ready", flush=True)
    for line in sys.stdin:
        command, *words = line.rstrip("\n").split("\t")
        print(COMMANDS[command](session, *words), flush=True)


def add(session, torrent, folder):
    """One torrent, until it is complete."""
    begin(session, torrent, folder)
    await_alerts(session, libtorrent.torrent_finished_alert, 1)
    return "complete"


def begin(session, torrent, folder):
    """One torrent, checked by and by."""
    params = libtorrent.add_torrent_params()
    params.ti = libtorrent.torrent_info(torrent)
    params.save_path = folder
    session.async_add_torrent(params)
    return "begun"


def save(session, folder):
    """Resume data of all torrents."""
    handles = session.get_torrents()
    for handle in handles:
        handle.save_resume_data(libtorrent.save_resume_flags_t.save_info_dict)
    for n, alert in enumerate(await_alerts(session, libtorrent.save_resume_data_alert, len(handles))):
        with open(f"{folder}/{n}", "wb") as file:
            file.write(libtorrent.write_resume_data_buf(alert.params))
    return "saved"


def load(session, folder):
    """The torrents of such a folder."""
    for name in os.listdir(folder):
        with open(f"{folder}/{name}", "rb") as file:
            session.async_add_torrent(libtorrent.read_resume_data(file.read()))
    return "loaded"


def count(session):
    """Complete torrents."""
    return sum(handle.status().is_seeding for handle in session.get_torrents())


def await_alerts(session, kind, number):
    """The next alerts of a kind."""
    found = []
    while len(found) < number:
        session.wait_for_alert(1000)
        found += [alert for alert in session.pop_alerts() if isinstance(alert, kind)]
    return found


COMMANDS = {"add": add, "begin": begin, "save": save, "load": load, "count": count}

if __name__ == "__main__":
    main(*sys.argv[1:])
