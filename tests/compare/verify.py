"""Row `verify`: data that is there is added, and verified in place, until it is seeded."""
import shutil

import content
from clients import Item
from transfer import SWARM, cpu


def verify(bench, table):
    """The one file, in the page cache; the program runs already, but for aria2."""
    path = bench.one_file()
    table.title = f"Verify {path.stat().st_size:,} bytes in place, in the page cache"
    table.bytes = path.stat().st_size
    item = Item(path, bench.torrent(path))

    def run(client):
        folder = bench.scratch / "nodes"
        node = client(folder / "0", bench.address(0))
        try:
            content.warm(path)
            node.start()
            before = cpu([node])[0]
            began = bench.clock()
            node.seed(item)
            return {"seconds": bench.clock() - began, "CPU s": cpu([node])[0] - before}
        finally:
            node.stop()
            bench.tracker.forget()
            shutil.rmtree(folder)

    for client in SWARM:
        table.contender(client.name, client.missing(), lambda client=client: run(client))
