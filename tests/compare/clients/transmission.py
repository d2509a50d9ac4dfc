"""transmission-daemon, told what to do by its RPC."""
import base64
import json
import pathlib
import urllib.error
import urllib.request

from clients import Node
from measure import Program, wait_for


class Transmission(Node):
    name = "transmission"
    program = "transmission-daemon"

    def start(self):
        settings = {
            "bind-address-ipv4": self.address, "rpc-bind-address": self.address, "rpc-port": 9091, "peer-port": 51413,
            "rpc-whitelist-enabled": False, "rpc-host-whitelist-enabled": False, "rpc-authentication-required": False,
            "dht-enabled": False, "lpd-enabled": False, "utp-enabled": False, "port-forwarding-enabled": False,
            "speed-limit-down-enabled": bool(self.limit), "speed-limit-down": self.limit // 1000,
            "download-queue-enabled": False, "seed-queue-enabled": False,
        }
        (self.folder / "settings.json").write_text(json.dumps(settings))
        self.session = ""
        self.run()

    def run(self):
        """Starts the daemon, and waits until it answers."""
        self.programs = [Program(["transmission-daemon", "--foreground", "--config-dir", self.folder], self.folder / "out.log")]
        wait_for("transmission to answer", lambda: self.rpc("session-get"))

    def rpc(self, method, **arguments):
        body = json.dumps({"method": method, "arguments": arguments}).encode()
        request = urllib.request.Request(
            f"http://{self.address}:9091/transmission/rpc", body, {"X-Transmission-Session-Id": self.session})
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                answer = json.load(reply)
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise
            self.session = error.headers["X-Transmission-Session-Id"]
            return self.rpc(method, **arguments)
        if answer["result"] != "success":
            raise ValueError(answer["result"])
        return answer["arguments"]

    def add(self, torrent, folder):
        metainfo = base64.b64encode(pathlib.Path(torrent).read_bytes()).decode()
        self.rpc("torrent-add", metainfo=metainfo, **{"download-dir": str(folder)})

    def states(self):
        """Status (6: seeding) of every torrent."""
        return [row["status"] for row in self.rpc("torrent-get", fields=["status"])["torrents"]]

    def seed_all(self, items):
        for item in items:
            self.add(item.torrent, item.path.parent)

    def seeding(self):
        """How many torrents are seeded."""
        return self.states().count(6)

    def seed(self, item):
        self.add(item.torrent, item.path.parent)
        self.wait()

    def fetch(self, item, folder):
        self.add(item.torrent, folder)

    def wait(self):
        wait_for("transmission to seed", lambda: self.states() == [6], self.patience)
