"""Processes and what they cost: CPU time, anonymous memory, descriptors, reads."""
import mmap
import os
import subprocess
import threading
import time

TICK = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A program did not do what a row asks of it."""


class Program:
    """A running program; its output goes to a file."""

    def __init__(self, args, log, **options):
        self.log = str(log)
        self.args = [str(arg) for arg in args]
        options.setdefault("stdin", subprocess.DEVNULL)
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen(self.args, stdout=options.pop("stdout", out), stderr=out, **options)
        self.pid = self.child.pid
        self.usage = None

    def poll(self):
        """Exit status, or None while it runs."""
        if self.usage is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.ended(status, usage)
        return self.child.returncode

    def wait(self, limit=600, check=True):
        """Waits for the end, without polling: the end is seen at once. An error if it failed or takes longer than `limit` seconds."""
        if self.usage is None:
            timer = threading.Timer(limit, self.child.kill)
            timer.start()
            _, status, usage = os.wait4(self.pid, 0)
            timer.cancel()
            self.ended(status, usage)
        if check and self.child.returncode != 0:
            raise Failed(f"{self.args[0]} ended with {self.child.returncode}: {self.tail()}")

    def ended(self, status, usage):
        self.usage = usage
        self.child.returncode = os.waitstatus_to_exitcode(status)

    def tail(self):
        """The end of what it printed."""
        with open(self.log, errors="replace") as log:
            return log.read()[-600:].strip()

    def stop(self, limit=20):
        """SIGTERM; SIGKILL after `limit` seconds."""
        if self.poll() is None:
            self.child.terminate()
            end = time.monotonic() + limit
            while self.poll() is None and time.monotonic() < end:
                time.sleep(0.01)
            if self.poll() is None:
                self.child.kill()
                self.wait(check=False)

    def cpu(self):
        """User and system seconds so far, of it and of all it started."""
        if self.poll() is not None:
            return self.usage.ru_utime + self.usage.ru_stime
        total = 0
        for pid in tree(self.pid):
            try:
                with open(f"/proc/{pid}/stat") as stat:
                    fields = stat.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            total += sum(int(field) for field in fields[11:15])
        return total / TICK


def tree(pid):
    """A process and those below it."""
    found = [pid]
    for parent in found:
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children") as children:
                    found += [int(child) for child in children.read().split()]
        except OSError:
            pass
    return found


def status_kib(pid, field):
    """A field of /proc/PID/status in KiB; 0 when the process is gone."""
    try:
        with open(f"/proc/{pid}/status") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def anonymous_mib(program):
    """Anonymous memory of a program and those below it."""
    return sum(status_kib(pid, "RssAnon") for pid in tree(program.pid)) / 1024


class Peak:
    """The peak of anonymous memory of programs while a block of code runs, looked at twenty times a second: a look reads some files for
    each thread, and what it takes of the processors the programs lack.
    """

    def __init__(self, programs):
        self.peaks = {program: 0.0 for program in programs}
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        while not self.stopping.wait(0.05):
            for program in self.peaks:
                self.peaks[program] = max(self.peaks[program], anonymous_mib(program))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    def of(self, programs):
        """The peaks of some of the programs, added up."""
        return sum(self.peaks[program] for program in programs)


def claim_free_memory(amount):
    """Writes to free memory once and frees it: to `amount` bytes, and to what lies about in smaller blocks than the largest, which the kernel
    hands out first. The host of a virtual machine may have taken free pages back; each is then asked of it anew at its first use, which takes
    seconds for a large file and says nothing of the program that happens to use it.
    """
    amount += scattered_memory()
    with mmap.mmap(-1, amount, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        for page in range(0, amount, mmap.PAGESIZE):
            memory[page] = 1


def scattered_memory():
    """Bytes of free memory in blocks of less than 4 MiB."""
    total = 0
    with open("/proc/buddyinfo") as zones:
        for zone in zones:
            counts = [int(count) for count in zone.split()[4:]]
            total += sum(count << order for order, count in enumerate(counts[:-1]))
    return total * mmap.PAGESIZE


def wait_for(what, condition, limit=120, pause=0.01):
    """Asks `condition` again and again until it gives something."""
    end = time.monotonic() + limit
    last = None
    while time.monotonic() < end:
        try:
            value = condition()
            if value:
                return value
            last = value
        except (OSError, ValueError, KeyError) as error:
            last = error
        time.sleep(pause)
    raise Failed(f"waited {limit} s for {what}; last: {last}")
