//! Passwords from a terminal or a file, never from the command line or the environment.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::Path;

use anyhow::{Context, anyhow, bail};

/// Bytes that are read for a password.
const MAX: u64 = 4_096;

/// From `file` (`-` is standard input), else asked for twice on the terminal.
pub(super) fn read(file: Option<&Path>) -> anyhow::Result<String> {
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
