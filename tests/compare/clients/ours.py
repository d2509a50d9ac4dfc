"""p2pd and p2pctl."""
import json
import pathlib
import subprocess

from clients import Node
from measure import Failed, Program, wait_for

BINARIES = pathlib.Path(__file__).parents[3] / "target/release"


class Ours(Node):
    name = "p2p"

    @classmethod
    def missing(cls):
        return None if (BINARIES / "p2pd").is_file() else "cargo build --release --bins"

    @classmethod
    def version(cls):
        return subprocess.run([BINARIES / "p2pd", "--version"], capture_output=True, text=True, check=True).stdout.strip()

    def start(self):
        config = self.folder / "p2pd.toml"
        limits = f'[limits]\ndownload = "{self.limit}B/s"\nlan_exempt = false\n' if self.limit else ""
        config.write_text(
            f'[daemon]\ndownload_dir = "{self.folder}/downloads"\n[network]\nbind = ["{self.address}"]\n'
            f'[shares]\nsettle = "1s"\n{limits}'
        )
        self.socket = self.folder / "control.sock"
        self.run()

    def run(self):
        """Starts the daemon, and waits until it answers."""
        daemon = Program(
            [BINARIES / "p2pd", "--user", "--config", self.folder / "p2pd.toml", "--state-dir", self.folder / "state",
             "--socket", self.socket],
            self.folder / "p2pd.log",
        )
        self.programs = [daemon]
        wait_for("p2pd to answer", lambda: self.ctl("status").returncode == 0 or daemon.poll())
        if daemon.poll() is not None:
            raise Failed(f"p2pd ended: {daemon.tail()}")

    def command(self, *args):
        return [BINARIES / "p2pctl", "--socket", self.socket, *args]

    def ctl(self, *args):
        return subprocess.run(self.command(*args), capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)

    def asked(self, *args):
        done = self.ctl(*args)
        if done.returncode:
            raise Failed(f"p2pctl {args}: {done.stderr}")
        return done.stdout

    def seed_all(self, items):
        self.asked("share", items[0].path.parent)

    def seeding(self):
        """How many items are seeded."""
        items = json.loads(self.asked("--json", "ls"))
        return sum(item["state"] == "seeding" for item in items)

    def seed(self, item):
        self.asked("fetch", item.torrent, "--data", item.path)

    def fetch(self, item, folder):
        self.fetching = Program(self.command("fetch", item.torrent, "--output", folder), self.folder / "fetch.log")
        self.programs.append(self.fetching)

    def wait(self):
        self.fetching.wait(self.patience)
