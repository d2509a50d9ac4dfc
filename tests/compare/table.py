"""The contenders of a row, run in turn, and the table of their results."""
import statistics
import sys

from measure import Failed


class Table:
    """Every run of every contender. Runs alternate, so that a slow spell of the machine hits all alike."""

    def __init__(self, options):
        self.title = ""
        # What is worked off in a run, for a rate; 0 for none.
        self.bytes = 0
        self.ours = "p2p"
        self.runs, self.only = options.runs, [name for name in options.only.split(",") if name]
        self.contenders, self.samples, self.skipped = {}, {}, {}
        self.failed = False

    def contender(self, name, missing, run):
        """Takes part, or is named with the reason why not. `run` gives figures by name; `seconds` is compared."""
        if self.only and name != self.ours and not any(only.lower() in name.lower() for only in self.only):
            return
        if missing:
            self.skipped[name] = missing
        else:
            self.contenders[name] = run
            self.samples[name] = []

    def run(self):
        for turn in range(self.runs):
            for name, run in self.contenders.items():
                if name in self.skipped:
                    continue
                try:
                    sample = run()
                except Failed as error:
                    self.skipped[name] = f"failed: {error}"
                    self.failed |= name == self.ours
                    sample = {}
                else:
                    self.samples[name].append(sample)
                shown = ", ".join(f"{key} {value:.2f}" for key, value in sample.items()) or self.skipped[name]
                print(f"  {turn + 1}/{self.runs} {name}: {shown}", file=sys.stderr, flush=True)

    def text(self):
        """A Markdown table: seconds as least and median, other figures as medians, and the ratios of both to ours."""
        measured = {name: samples for name, samples in self.samples.items() if samples}
        median = lambda name, key: statistics.median(sample[key] for sample in measured[name])
        least = lambda name: min(sample["seconds"] for sample in measured[name])
        keys = [key for key in next(iter(measured.values()), [{}])[0] if key != "seconds"]
        head = ["program", "s, least", "s, median", *(["MB/s"] if self.bytes else []), *keys, "least to ours", "median to ours"]
        rows = []
        for name in measured:
            seconds = median(name, "seconds")
            row = [name, f"{least(name):.2f}", f"{seconds:.2f}"]
            if self.bytes:
                row.append(f"{self.bytes / seconds / 1e6:,.0f}")
            row += [f"{median(name, key):,.2f}" if "CPU" in key else f"{median(name, key):,.0f}" for key in keys]
            if self.ours in measured:
                row += [f"{least(name) / least(self.ours):.2f}", f"{seconds / median(self.ours, 'seconds'):.2f}"]
            else:
                row += ["-", "-"]
            rows.append(row)
        lines = [f"### {self.title}", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        lines += [""] if self.skipped else []
        lines += [f"{name}: skipped, {reason}" for name, reason in self.skipped.items()]
        return "\n".join(lines) + "\n"
