"""What knows no swarm: curl from nginx, rsync from its daemon (nothing is verified by them), and the plain program that is our yardstick."""
import shutil
import socket
import subprocess

from clients import Node
from clients.ours import BINARIES
from measure import Program, wait_for


class Server(Node):
    """One side serves a folder, the other fetches all of it."""

    port = 0
    needs = ()

    @classmethod
    def missing(cls):
        absent = [program for program in cls.needs if not shutil.which(program)]
        return f"{', '.join(absent)} is not installed" if absent else None

    def listening(self):
        wait_for(f"{self.name} to listen", lambda: socket.create_connection((self.address, self.port), 1).close() is None)

    def wait(self):
        self.programs[0].wait(self.patience)


class Curl(Server):
    name = "nginx + curl"
    needs = ("nginx", "curl")
    port = 8000

    @classmethod
    def version(cls):
        nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=False).stderr.strip()
        curl = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=False).stdout.split(" (")[0]
        return f"{nginx}, {curl}"

    def seed(self, item):
        config = self.folder / "nginx.conf"
        config.write_text(f"""daemon off; master_process off; pid {self.folder}/pid; error_log {self.folder}/error.log;
events {{}}
http {{
    access_log off; sendfile on; tcp_nopush on; client_body_temp_path {self.folder}/body; proxy_temp_path {self.folder}/proxy;
    fastcgi_temp_path {self.folder}/fastcgi; uwsgi_temp_path {self.folder}/uwsgi; scgi_temp_path {self.folder}/scgi;
    server {{ listen {self.address}:{self.port}; root {item.path.parent}; }}
}}
""")
        self.programs = [Program(["nginx", "-c", config, "-p", self.folder], self.folder / "out.log")]
        self.listening()

    def fetch(self, item, folder):
        folder.mkdir(exist_ok=True)
        self.programs = [Program(
            ["curl", "--silent", "--show-error", "--fail", "--interface", self.address, "--output", folder / item.path.name,
             f"http://{item.seed.address}:{item.seed.port}/{item.path.name}"],
            self.folder / "out.log",
        )]


class Rsync(Server):
    name = "rsync daemon"
    program = "rsync"
    needs = ("rsync",)
    port = 8730

    def seed(self, item):
        config = self.folder / "rsyncd.conf"
        config.write_text(f"use chroot = no\nreverse lookup = no\n[all]\npath = {item.path.parent}\nread only = yes\n")
        self.programs = [Program(
            ["rsync", "--daemon", "--no-detach", f"--config={config}", f"--address={self.address}", f"--port={self.port}"],
            self.folder / "out.log",
        )]
        self.listening()

    def fetch(self, item, folder):
        self.programs = [Program(
            ["rsync", "--archive", "--whole-file", f"rsync://{item.seed.address}:{item.seed.port}/all/{item.path.name}", f"{folder}/"],
            self.folder / "out.log",
        )]


class Plain(Node):
    """sendfile, recv, write while hot, hash: both sides in one program, no protocol."""

    name = "plain program"

    @classmethod
    def missing(cls):
        return None if (BINARIES / "plain").is_file() else "cargo build --release --bins"

    def seed(self, item):
        pass

    def fetch(self, item, folder):
        self.programs = [Program([BINARIES / "plain", item.path, folder / item.path.name], self.folder / "out.log")]

    def wait(self):
        self.programs[0].wait(self.patience)
