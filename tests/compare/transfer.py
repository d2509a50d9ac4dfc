"""Rows of one seed and its leeches: until every leech has everything, which is then compared with what was shared."""
import shutil

import content
from clients import Item, aria2, libtorrent, ours, qbittorrent, rqbit, servers, transmission
from measure import Failed, Peak, claim_free_memory

SWARM = [ours.Ours, libtorrent.Libtorrent, rqbit.Rqbit, aria2.Aria2, qbittorrent.Qbittorrent, transmission.Transmission]
SERVERS = [servers.Plain, servers.Curl, servers.Rsync]


def transfer(bench, client, path, leeches=1, limit=0):
    """One run with the nodes of one client. Ends what it started, and removes what was fetched, unless it is many files."""
    folder = bench.place()
    item = Item(path, bench.torrent(path))
    nodes = [client(folder / str(n), bench.address(n), limit if n else 0) for n in range(leeches + 1)]
    targets = [folder / f"fetched{n}" for n in range(leeches)]
    try:
        for target in targets:
            target.mkdir()
        content.warm(path)
        for node in nodes:
            node.start()
        nodes[0].seed(item)
        item.seed = nodes[0]
        bench.settle()
        claim_free_memory(leeches * content.size_of(path) * 5 // 4)
        # That takes half a minute where the host has to be asked, and some systems drop from the page cache what nobody read for a minute.
        content.warm(path)
        before = cpu(nodes)
        began = bench.clock()
        for node, target in zip(nodes[1:], targets):
            node.fetch(item, target)
        # The programs of a leech may only be there by now.
        with Peak([program for node in nodes for program in node.programs]) as peak:
            for node in nodes[1:]:
                node.wait()
            seconds = bench.clock() - began
        spent = [after - early for after, early in zip(cpu(nodes), before)]
        sample = {
            "seconds": seconds,
            "CPU s, seed": spent[0],
            "CPU s, leech": max(spent[1:]),
            "CPU s": sum(spent),
            "MiB, seed": peak.of(nodes[0].programs),
            "MiB, leech": max(peak.of(node.programs) for node in nodes[1:]),
        }
        for target in targets:
            if content.digests(target / path.name) != bench.digests(path):
                raise Failed(f"{target} differs from what was shared")
        return sample
    finally:
        for node in reversed(nodes):
            node.stop()
        bench.tracker.forget()
        # Thousands of files stay until all is over: their file system has work to do after they are deleted.
        if not path.is_dir():
            shutil.rmtree(folder)


def cpu(nodes):
    return [sum(program.cpu() for program in node.programs) for node in nodes]


def add(bench, table, clients, path, **options):
    table.bytes = content.size_of(path)
    for client in clients:
        table.contender(client.name, client.missing(), lambda client=client: transfer(bench, client, path, **options))


def one(bench, table):
    """One seed to one leech, and servers that know no swarm."""
    path = bench.one_file()
    table.title = f"One seed to one leech over loopback, {path.stat().st_size:,} bytes, pieces of 512 KiB"
    add(bench, table, SWARM + SERVERS, path)


def two(bench, table):
    """One seed to two leeches, until both are done."""
    path = bench.one_file()
    table.title = f"One seed to two leeches, until both have {path.stat().st_size:,} bytes"
    add(bench, table, SWARM, path, leeches=2)


def many(bench, table):
    """Many files as one item."""
    path = bench.many_files()
    table.title = f"{len(content.files_of(path)):,} files of 20 to 200 KB as one item, {content.size_of(path):,} bytes, one seed to one leech"
    add(bench, table, SWARM + [servers.Rsync], path)


def limited(bench, table):
    """Memory at a limited rate."""
    path = bench.one_file()
    table.title = f"Peak anonymous memory with the leech limited to 100 MB/s, {path.stat().st_size:,} bytes"
    add(bench, table, SWARM, path, limit=100_000_000)
