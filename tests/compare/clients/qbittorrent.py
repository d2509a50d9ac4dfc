"""qbittorrent-nox, told what to do by its web interface."""
import http.client
import json
import pathlib
import urllib.parse

from clients import Node
from measure import Program, wait_for


class Qbittorrent(Node):
    name = "qBittorrent"
    program = "qbittorrent-nox"

    def start(self):
        config = self.folder / "qBittorrent/config/qBittorrent.conf"
        config.parent.mkdir(parents=True)
        config.write_text(f"""[LegalNotice]
Accepted=true
[BitTorrent]
Session\\DHTEnabled=false
Session\\LSDEnabled=false
Session\\BTProtocol=TCP
Session\\Port=6881
Session\\Interface=lo
Session\\InterfaceName=lo
Session\\InterfaceAddress={self.address}
Session\\QueueingSystemEnabled=false
Session\\MultiConnectionsPerIp=true
Session\\IgnoreLimitsOnLAN=false
Session\\GlobalDLSpeedLimit={self.limit // 1024}
[Preferences]
WebUI\\Address={self.address}
WebUI\\Port=8080
WebUI\\AuthSubnetWhitelistEnabled=true
WebUI\\AuthSubnetWhitelist=0.0.0.0/0
WebUI\\HostHeaderValidation=false
WebUI\\CSRFProtection=false
""")
        self.run()

    def run(self):
        """Starts the daemon, and waits until it answers."""
        self.programs = [Program(["qbittorrent-nox", f"--profile={self.folder}"], self.folder / "out.log")]
        wait_for("qBittorrent to answer", lambda: self.get("app/version"))

    def request(self, method, path, body=None, headers=None):
        web = http.client.HTTPConnection(self.address, 8080, timeout=10)
        web.request(method, f"/api/v2/{path}", body, headers or {})
        reply = web.getresponse()
        data = reply.read()
        if reply.status != 200:
            raise ValueError(f"{path}: {reply.status} {data[:200]}")
        return data

    def get(self, path, **query):
        return self.request("GET", f"{path}?{urllib.parse.urlencode(query)}")

    def add(self, torrent, folder):
        data = pathlib.Path(torrent).read_bytes()
        mark = "x-boundary-of-the-form"
        field = f'--{mark}\r\nContent-Disposition: form-data; name="savepath"\r\n\r\n{folder}\r\n'
        file = (f'--{mark}\r\nContent-Disposition: form-data; name="torrents"; filename="a.torrent"\r\n'
                "Content-Type: application/x-bittorrent\r\n\r\n")
        body = field.encode() + file.encode() + data + f"\r\n--{mark}--\r\n".encode()
        self.request("POST", "torrents/add", body, {"Content-Type": f"multipart/form-data; boundary={mark}"})

    def states(self):
        return [row["state"] for row in json.loads(self.get("torrents/info"))]

    def seed_all(self, items):
        for item in items:
            self.add(item.torrent, item.path.parent)

    def seeding(self):
        """How many torrents are seeded."""
        return sum(state in ("stalledUP", "uploading") for state in self.states())

    def seed(self, item):
        self.add(item.torrent, item.path.parent)
        self.wait()

    def fetch(self, item, folder):
        self.add(item.torrent, folder)

    def wait(self):
        wait_for("qBittorrent to seed", lambda: self.states() in (["stalledUP"], ["uploading"]), self.patience)
