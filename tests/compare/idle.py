"""Row `idle`: what complete items cost that nobody asks for, and how long a restart takes until all are there again."""
import hashlib
import os
import random
import shutil
import time

from clients import Item
from clients import libtorrent, ours, qbittorrent, transmission
from measure import anonymous_mib, status_kib, wait_for

LENGTH = 16 * 1024
SECONDS = 10
# Items of each; ours with ten times as many as well.
COUNTS = [(ours.Ours, 1000), (ours.Ours, 10_000), (libtorrent.Libtorrent, 1000), (qbittorrent.Qbittorrent, 1000),
          (transmission.Transmission, 1000)]


def make_items(bench, count):
    """Files of 16 KiB, each with its torrent."""
    folder = bench.data / f"idle-{count}"
    folder.mkdir(exist_ok=True)
    torrents = bench.scratch / folder.name
    torrents.mkdir(exist_ok=True)
    rng, items = random.Random(2), []
    url = bench.tracker.url.encode()
    for n in range(count):
        data = rng.randbytes(LENGTH)
        item = Item(folder / f"{n:05}.bin", torrents / f"{n:05}.torrent")
        name = item.path.name.encode()
        if not item.path.exists():
            item.path.write_bytes(data)
        info = b"d6:lengthi%de4:name%d:%b12:piece lengthi%de6:pieces20:%be" % (
            LENGTH, len(name), name, LENGTH, hashlib.sha1(data).digest())
        item.torrent.write_bytes(b"d8:announce%d:%b4:info%be" % (len(url), url, info))
        items.append(item)
    return items


def read_mib(program):
    """What it read by system calls, from wherever, without sockets' share being told apart."""
    with open(f"/proc/{program.pid}/io") as io:
        return int(io.readline().split()[1]) / 2**20


def measure(bench, client, count):
    folder = bench.scratch / "nodes"
    node = client(folder / "0", bench.address(0))
    items = make_items(bench, count)
    try:
        node.start()
        node.seed_all(items)
        wait_for(f"{count} items", lambda: node.seeding() == count, 170, 0.2)
        node.stop()
        began = bench.clock()
        node.run()
        wait_for(f"{count} items", lambda: node.seeding() == count, 120)
        ready = bench.clock() - began
        program = node.programs[0]
        read = read_mib(program)
        # Announces, and what else a start brings, are not idleness.
        wait_for("rest", lambda: is_quiet(program), 60, 0)
        early = program.cpu()
        time.sleep(SECONDS)
        spent = program.cpu() - early
        return {
            "seconds": ready,
            "MiB, anonymous": anonymous_mib(program),
            "MiB, resident": status_kib(program.pid, "VmRSS") / 1024,
            "CPU %": 100 * spent / SECONDS,
            "descriptors": len(os.listdir(f"/proc/{program.pid}/fd")),
            "MiB read until ready": read,
        }
    finally:
        node.stop()
        bench.tracker.forget()
        shutil.rmtree(folder)


def is_quiet(program):
    """Whether it used less than 2 % of a core in the last second, or is never going to."""
    before = program.cpu()
    time.sleep(1)
    return program.cpu() - before < 0.02 or program.cpu() > 60


def idle(bench, table):
    """Complete items that nobody asks for; seconds are from the start of the program until it says that all are seeded."""
    table.title = f"Idle items of one file of 16 KiB each, restart until all are seeded, then {SECONDS} s at rest"
    table.ours = "p2p, 1,000"
    for client, count in COUNTS:
        table.contender(f"{client.name}, {count:,}", client.missing(), lambda pair=(client, count): measure(bench, *pair))
