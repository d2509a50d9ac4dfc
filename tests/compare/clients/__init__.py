"""The programs that take part, each behind the same few calls.

A client class has a `name` and says with `missing()` why it cannot take part. An object of it is one node:

    node = Client(folder, address, limit)   limit: bytes a second it may receive; 0 for none
    node.start()                            until it can be told what to do
    node.seed(item)                         has it share what it is; it is ready when this returns
    node.fetch(item, folder)                has it fetch into `folder`; returns at once
    node.wait()                             returns as soon as the fetch is complete, still seeding
    node.programs                           what is measured
    node.stop()
"""
import dataclasses
import pathlib
import shutil
import subprocess


@dataclasses.dataclass
class Item:
    """What is shared: a file or folder and its torrent."""

    path: pathlib.Path
    torrent: pathlib.Path
    # The node that has it, for those that know no swarm.
    seed: object = None


class Node:
    name = "?"
    # A program that must be there.
    program = None
    # Seconds that a seed or a fetch may take.
    patience = 120

    def __init__(self, folder, address, limit=0):
        folder.mkdir(parents=True)
        self.folder, self.address, self.limit = folder, address, limit
        self.programs = []

    @classmethod
    def missing(cls):
        return None if shutil.which(cls.program) else f"{cls.program} is not installed"

    @classmethod
    def version(cls):
        text = subprocess.run([cls.program, "--version"], capture_output=True, text=True, check=False)
        return ((text.stdout + text.stderr).strip().splitlines() or ["?"])[0]

    def start(self):
        pass

    def stop(self):
        for program in reversed(self.programs):
            program.stop()
