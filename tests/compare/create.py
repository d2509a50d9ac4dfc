"""Row `create`: piece hashes of a file in the page cache. The hashes must be right."""
import hashlib
import shutil
import subprocess
import sys

import content
from clients import libtorrent as lt
from clients.ours import BINARIES, Ours
from measure import Failed, Program

TORF = """
import sys, torf
torrent = torf.Torrent(path=sys.argv[1], trackers=[sys.argv[3]], piece_size=int(sys.argv[4]))
torrent.generate()
torrent.write(sys.argv[2])
"""
LIBTORRENT = """
import os, sys, libtorrent
files = libtorrent.file_storage()
libtorrent.add_files(files, sys.argv[1])
create = libtorrent.create_torrent(files, int(sys.argv[4]), libtorrent.create_torrent.v1_only)
create.add_tracker(sys.argv[3])
libtorrent.set_piece_hashes(create, os.path.dirname(sys.argv[1]))
open(sys.argv[2], "wb").write(libtorrent.bencode(create.generate()))
"""


def script(text, path, torrent, url):
    return [sys.executable, "-c", text, path, torrent, url, content.PIECE]


def ours(path, torrent, url):
    return [BINARIES / "p2pctl", "--quiet", "create", "--piece-size", "512KiB", "--announce", url, "--output", torrent, path]


def mktorrent(path, torrent, url):
    return ["mktorrent", "-t", "2", "-l", "19", "-a", url, "-o", torrent, path]


def transmission(path, torrent, url):
    return ["transmission-create", "-s", "512", "-t", url, "-o", torrent, path]


def tool(program):
    return None if shutil.which(program) else f"{program} is not installed"


def torf():
    found = subprocess.run([sys.executable, "-c", "import torf"], capture_output=True, check=False)
    return None if found.returncode == 0 else f"{sys.executable} has no module torf"


# Name, why it is missing, its command.
CREATORS = [
    ("p2p", Ours.missing, ours),
    ("mktorrent -t 2", lambda: tool("mktorrent"), mktorrent),
    ("torf", torf, lambda *args: script(TORF, *args)),
    ("libtorrent", lt.Libtorrent.missing, lambda *args: script(LIBTORRENT, *args)),
    ("transmission-create", lambda: tool("transmission-create"), transmission),
]


def create_one(path, torrent, url):
    """A torrent for the other rows."""
    subprocess.run([str(arg) for arg in ours(path, torrent, url)], check=True, stdout=subprocess.DEVNULL)


def create(bench, table):
    """One torrent of the one file."""
    path = bench.one_file()
    table.title = f"Create (hash) a torrent of {path.stat().st_size:,} bytes in the page cache, pieces of 512 KiB"
    table.bytes = path.stat().st_size
    right = content.pieces_of(path)
    torrent = bench.scratch / "created.torrent"

    def run(command):
        torrent.unlink(missing_ok=True)
        content.warm(path)
        began = bench.clock()
        program = Program(command(path, torrent, "http://127.0.0.1:1/announce"), bench.scratch / "create.log")
        program.wait()
        seconds = bench.clock() - began
        if hashlib.sha1(content.info_of(torrent)[b"pieces"]).hexdigest() != right:
            raise Failed("the hashes are wrong")
        return {"seconds": seconds, "CPU s": program.cpu()}

    for name, missing, command in CREATORS:
        table.contender(name, missing(), lambda command=command: run(command))
