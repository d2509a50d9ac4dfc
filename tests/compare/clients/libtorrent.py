"""libtorrent-rasterbar through its Python module, with the settings that a loopback asks for."""
import pathlib
import select
import subprocess
import sys

from clients import Node
from measure import Failed, Program, wait_for

try:
    import libtorrent
except ImportError:
    libtorrent = None

NODE = pathlib.Path(__file__).parents[1] / "libtorrent_node.py"


class Libtorrent(Node):
    name = "libtorrent"

    @classmethod
    def missing(cls):
        return None if libtorrent else f"{sys.executable} has no module libtorrent"

    @classmethod
    def version(cls):
        return f"libtorrent {libtorrent.__version__}"

    def start(self):
        self.run()

    def run(self):
        """Starts the node, with what it had when it was started before."""
        self.node = Program(
            [sys.executable, NODE, self.address, str(self.limit)], self.folder / "out.log",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        self.programs = [self.node]
        self.expect("ready")
        if (self.folder / "resume").is_dir():
            self.tell("load", self.folder / "resume")
            self.expect("loaded")

    def tell(self, *words):
        self.node.child.stdin.write("\t".join(map(str, words)).encode() + b"\n")
        self.node.child.stdin.flush()

    def line(self, word):
        """What it says next; it is to be `word`, as far as the error is concerned."""
        out = self.node.child.stdout
        if not select.select([out], [], [], self.patience)[0]:
            raise Failed(f"waited {self.patience} s for libtorrent to be {word}")
        return out.readline().decode().strip()

    def expect(self, word):
        line = self.line(word)
        if line != word:
            raise Failed(f"libtorrent said {line!r} for {word}: {self.node.tail()}")

    def seed_all(self, items):
        for item in items:
            self.tell("begin", item.torrent, item.path.parent)
            self.expect("begun")
        wait_for("libtorrent to seed", lambda: self.seeding() == len(items), self.patience, 0.2)
        (self.folder / "resume").mkdir()
        self.tell("save", self.folder / "resume")
        self.expect("saved")

    def seeding(self):
        """How many torrents are seeded."""
        self.tell("count")
        return int(self.line("counted"))

    def add(self, torrent, folder):
        self.tell("add", torrent, folder)

    def seed(self, item):
        self.add(item.torrent, item.path.parent)
        self.wait()

    def fetch(self, item, folder):
        self.add(item.torrent, folder)

    def wait(self):
        self.expect("complete")
