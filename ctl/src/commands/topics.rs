//! The topics of `p2pctl help`: what holds for every command. They are sections of p2pctl(1), too.

/// One topic.
pub(crate) struct Topic {
    /// What is typed after `p2pctl help`.
    pub(crate) name: &'static str,
    /// The heading of its section in the manual page.
    pub(crate) heading: &'static str,
    /// Its text, as it is printed.
    pub(crate) text: &'static str,
}

/// Every topic.
pub(crate) const TOPICS: [Topic; 3] = [
    Topic {
        name: "exit-codes",
        heading: "EXIT STATUS",
        text: EXIT_CODES,
    },
    Topic {
        name: "json",
        heading: "OUTPUT FOR SCRIPTS",
        text: JSON,
    },
    Topic {
        name: "filters",
        heading: "FILTERS AND TARGETS",
        text: FILTERS,
    },
];

/// Their names, as in "a, b, c".
pub(crate) fn names() -> String {
    TOPICS.map(|topic| topic.name).join(", ")
}

const EXIT_CODES: &str = "\
Exit codes of p2pctl

    0  ok
    1  failed
    2  usage: the command line or a value in it is wrong
    3  daemon not reachable
    4  not found
    5  permission denied
    6  exists, or conflicts with something
    7  timed out
    8  stopped waiting, and the work goes on in the daemon
    9  refused by a gate
   10  verification found bad data
   11  disk full or I/O error
   12  versions do not match
   13  tracker refused, cannot be reached, or wants a login
  130  interrupted
";

const JSON: &str = "\
Output for scripts

What is asked for goes to standard output, talk and errors to standard error.

On a terminal output is for people: tables, rounded numbers, shortened hashes.
In a pipe it has the same columns, separated by tabs, without a heading and
with exact values: bytes, whole hashes, times as 2026-01-31T12:00:00Z.
With --json it is one JSON document; commands that go on (watch, log -f)
print one a line.

    p2pctl --json ls
    p2pctl --json show HASH --peers
    p2pctl --fields info_hash,done,size ls

--fields picks fields in every form of output; one that does not exist is an
error that names those that do. Keys are snake_case. Sizes are bytes, rates
bytes per second, durations seconds (their names end in _s), hashes 40 digits
in lower case. Fields are added in later versions and never change their type.
";

const FILTERS: &str = "\
Filters and targets

    p2pctl ls FILTER      a state: fetching, seeding, paused, error, ...
                          share:NAME: what is of that share
                          anything else: a part of the name, in any case,
                          or the beginning of the hash
    HASH or NAME          an item: its info-hash, 4 or more digits that begin
                          it, or its name where only one has it
    p2pctl fetch TARGET   an info-hash, or its beginning where it is known
                          OWNER/SHARE/ENTRY or OWNER/SHARE/ENTRY@VERSION as
                          the catalogue has it
                          a magnet link, a .torrent file, an http(s) URL of
                          one, or - for standard input
    fetch --only GLOB     of the files in the item: * within a name, ** over
                          folders, {a,b} one of several
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_fit_a_narrow_terminal() {
        for topic in TOPICS {
            for line in topic.text.lines() {
                assert!(line.len() <= 80, "{}: {line}", topic.name);
            }
        }
    }
}
