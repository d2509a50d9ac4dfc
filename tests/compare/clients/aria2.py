"""aria2, started for one torrent."""
from clients import Node
from measure import Failed, Program, wait_for


class Aria2(Node):
    name = "aria2"
    program = "aria2c"

    def aria2(self, torrent, folder, *args):
        done = self.folder / "done.sh"
        done.write_text(f"#!/bin/sh\n: > '{self.folder}/done'\n")
        done.chmod(0o755)
        limit = [f"--max-overall-download-limit={self.limit}"] if self.limit else []
        port = 6881
        self.programs = [Program(
            ["aria2c", "--no-conf", "--quiet", f"--interface={self.address}", f"--listen-port={port}", f"--dir={folder}",
             "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false", "--disable-ipv6", "--seed-ratio=0",
             "--file-allocation=none", "--bt-max-peers=0", "--max-upload-limit=0", "--console-log-level=warn",
             f"--log={self.folder}/aria2.log", "--log-level=notice", f"--on-bt-download-complete={done}",
             *limit, *args, torrent],
            self.folder / "out.log",
        )]

    def seed(self, item):
        self.aria2(item.torrent, item.path.parent, "--check-integrity=true")
        self.wait()

    def fetch(self, item, folder):
        self.aria2(item.torrent, folder)

    def wait(self):
        aria2 = self.programs[0]
        wait_for("aria2", lambda: (self.folder / "done").exists() or aria2.poll() is not None, self.patience, 0.005)
        if aria2.poll() is not None:
            raise Failed(f"aria2 ended: {aria2.tail()}")
