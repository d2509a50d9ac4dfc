//! What is asked for on the terminal: passwords, never taken from the command line or the environment, and whether something is meant.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::Path;

use anyhow::{Context, anyhow, bail};

/// Bytes that are read for an answer.
const MAX: u64 = 4_096;

/// Asks before something that cannot be undone. `yes` answers it; without a terminal and without `yes` it is an error.
pub(super) fn confirm(yes: bool, question: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        bail!(
            "{question}\n  There is no terminal to ask on; add --yes to say yes. Nothing was changed."
        );
    }
    eprint!("{question} [y/N] ");
    io::stderr().flush().context("cannot ask on the terminal")?;
    let mut answer = String::new();
    let read = io::stdin().lock().take(MAX).read_line(&mut answer);
    read.context("cannot ask on the terminal")?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!("stopped: nothing was changed\n  The answer was not yes."),
    }
}

/// A password from `file` (`-` is standard input), else asked for twice on the terminal.
pub(super) fn password(file: Option<&Path>) -> anyhow::Result<String> {
    match file {
        Some(path) if path == Path::new("-") => first_line(io::stdin()),
        Some(path) => {
            let opened = File::open(path).map_err(|error| {
                anyhow!("cannot read {}: {error}\n  Name a file that you may read, or - for standard input.", path.display())
            });
            first_line(opened?)
        }
        None if !io::stdin().is_terminal() => {
            bail!(
                "there is no terminal to ask for the password on\n  Give it with --password-file FILE, or - for standard input."
            )
        }
        None => {
            let password =
                rpassword::prompt_password("Password: ").context("cannot ask for the password")?;
            if rpassword::prompt_password("Again: ").context("cannot ask for the password")?
                != password
            {
                bail!("the two passwords differ\n  Nothing was changed; try again.");
            }
            Ok(password)
        }
    }
}

fn first_line(from: impl Read) -> anyhow::Result<String> {
    let mut line = String::new();
    BufReader::new(from.take(MAX))
        .read_line(&mut line)
        .context("cannot read the password")?;
    let password = line.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        bail!("the password file is empty\n  Its first line is the password.");
    }
    Ok(password.to_owned())
}
