"""p2p beside other programs, in one run on one machine: run.sh starts this; `run.sh --help` says how."""
import argparse
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time

import content
import create
import idle
import transfer
import verify
from clients import Node
from clients.ours import Ours
from table import Table
from tracker import Tracker

ROWS = {
    "create": create.create,
    "one": transfer.one,
    "two": transfer.two,
    "many": transfer.many,
    "limited": transfer.limited,
    "verify": verify.verify,
    "idle": idle.idle,
}


class Bench:
    """What all rows share: a place for files, content, a tracker, addresses."""

    def __init__(self, options):
        self.options = options
        self.data = pathlib.Path(options.dir).resolve()
        self.data.mkdir(parents=True, exist_ok=True)
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=self.data))
        # ext4 passes over inodes that were deleted within the last minutes, one by one: who makes files near thousands of them needs seconds of CPU
        # time more. So it is told to spread what is made here over the disk; what one run makes is elsewhere than what another deleted, mostly.
        subprocess.run(["chattr", "+T", self.scratch], stderr=subprocess.DEVNULL, check=False)
        self.tracker = Tracker(options.address)
        self.clock = time.monotonic
        self.known = {}

    def address(self, n):
        """The address of the n-th node; the tracker has the one before the first."""
        network, host = self.options.address.rsplit(".", 1)
        return f"{network}.{int(host) + 1 + n}"

    def one_file(self):
        path = self.data / f"one-{self.options.bytes}.bin"
        content.one_file(path, self.options.bytes)
        return path

    def many_files(self):
        path = self.data / "many-5000"
        content.many_files(path, 5000, 554_000_000)
        return path

    def place(self):
        """A place for the files of one run."""
        return pathlib.Path(tempfile.mkdtemp(dir=self.scratch))

    def torrent(self, path):
        """A torrent of `path` with our tracker, made once in a run."""
        if ("torrent", path) not in self.known:
            torrent = self.scratch / f"{path.name}.torrent"
            create.create_one(path, torrent, self.tracker.url)
            self.known["torrent", path] = torrent
        return self.known["torrent", path]

    def digests(self, path):
        if ("digests", path) not in self.known:
            self.known["digests", path] = content.digests(path)
        return self.known["digests", path]

    def settle(self):
        """Lets the disk catch up with what came before."""
        os.sync()


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} cores of {model}, {platform.system()} {platform.release()}"


def main():
    parser = argparse.ArgumentParser(prog="run.sh", description=__doc__.split(":")[0] + ".")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"{', '.join(ROWS)}; all of them when none is named")
    parser.add_argument("--runs", type=int, default=3, help="alternating runs of each program (3)")
    parser.add_argument("--bytes", type=int, default=1_519_802_169, help="length of the one file (1519802169)")
    parser.add_argument("--only", default="", metavar="NAME,...", help="p2p and these programs alone")
    parser.add_argument("--dir", default="target/compare", help="where the files are made (target/compare); the file system matters")
    parser.add_argument("--patience", type=int, default=120, help="seconds after which a program is given up (120)")
    parser.add_argument("--no-sha", action="store_true", help="hide the CPU's SHA instructions from OpenSSL, with which the others hash")
    parser.add_argument("--address", default="198.51.100.1", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.rows) - set(ROWS)
    if unknown:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    Node.patience = options.patience
    if options.no_sha:
        os.environ["OPENSSL_ia32cap"] = ":~0x20000000"
    bench = Bench(options)
    print(f"{machine()}; {Ours.version()}; {options.runs} alternating runs{', no SHA instructions for OpenSSL' * options.no_sha}\n", flush=True)
    failed = False
    try:
        for name in options.rows or ROWS:
            table = Table(options)
            ROWS[name](bench, table)
            table.run()
            print(table.text(), flush=True)
            failed |= table.failed
    finally:
        shutil.rmtree(bench.scratch)
    sys.exit(failed)


if __name__ == "__main__":
    main()
