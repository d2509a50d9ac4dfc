"""rqbit, started for one torrent."""
import json
import urllib.request

from clients import Node
from measure import Program, wait_for


class Rqbit(Node):
    name = "rqbit"
    program = "rqbit"

    def rqbit(self, item, folder):
        # It cannot be told where its connections come from, so that the tracker knows all nodes by one address: their ports tell them apart.
        port = 6881 + int(self.address.rsplit(".", 1)[1])
        self.api = f"{self.address}:3030"
        limit = [f"--ratelimit-download={self.limit}"] if self.limit else []
        self.programs = [Program(
            ["rqbit", "-v", "error", "--disable-dht", "--disable-lsd", "--disable-upnp-port-forward", "--ipv4-only", f"--listen-port={port}",
             f"--http-api-listen-addr={self.api}", *limit, "download", "--overwrite", f"--output-folder={folder}", item.torrent],
            self.folder / "out.log",
        )]

    def seed(self, item):
        self.rqbit(item, item.path.parent)
        self.wait()

    def fetch(self, item, folder):
        self.rqbit(item, folder)

    def wait(self):
        wait_for("rqbit", lambda: self.programs[0].poll() is not None or self.finished(), self.patience, 0.005)

    def finished(self):
        with urllib.request.urlopen(f"http://{self.api}/torrents/0/stats/v1", timeout=5) as answer:
            return json.load(answer)["finished"]
