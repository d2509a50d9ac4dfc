//! Questions on the terminal: yes or no, names, passwords. Nothing secret is taken from arguments or the environment.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use p2p_wire::control::ErrorKind;

use crate::context::Context;
use crate::error::Error;
use crate::text;

/// Longest password file that is read, in bytes.
const MAX_SECRET: u64 = 4_096;

/// Asks before something that cannot be undone. `--yes` answers yes; without a terminal and without `--yes` it is an error.
pub(crate) fn confirm(context: &Context, question: &str) -> Result<(), Error> {
    if context.globals().yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Error::new(
            ErrorKind::Usage,
            question,
            "There is no terminal to ask on.",
            "Add --yes to say yes.",
        ));
    }
    let answer = prompt(&format!("{question} [y/N] "))?;
    match answer.to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::new(
            ErrorKind::Failed,
            "stopped: nothing was changed",
            "The answer was not yes.",
            "",
        )),
    }
}

/// The user name that was given, or what the user types.
pub(crate) fn username(given: Option<String>) -> Result<String, Error> {
    if let Some(name) = given {
        return Ok(name);
    }
    if !io::stdin().is_terminal() {
        return Err(Error::usage(
            "which account?",
            "There is no terminal to ask on.",
            "Give it:  --username NAME",
        ));
    }
    prompt("User name: ")
}

/// An invitation code, if the user has one.
pub(crate) fn invitation() -> Result<Option<String>, Error> {
    let code = prompt("Invitation code (empty for none): ")?;
    Ok(Some(code).filter(|code| !code.is_empty()))
}

/// A password from `file` (`-` is standard input), or from the terminal without showing it; twice if it is new.
pub(crate) fn password(file: Option<&Path>, new: bool) -> Result<String, Error> {
    let password = match file {
        Some(path) => secret_file(path)?,
        None => typed(new)?,
    };
    if password.is_empty() {
        return Err(Error::usage(
            "the password is empty",
            "An account needs one.",
            "Type one, or put it on the first line of the file of --password-file.",
        ));
    }
    Ok(password)
}

/// The first line of a file that holds a secret.
pub(crate) fn secret_file(path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().take(MAX_SECRET).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_SECRET).read_to_end(&mut bytes))
    };
    let shown = text::show_os(path.as_os_str());
    read.map_err(|error| Error::file(format!("cannot read {shown}"), &error))?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(&[]);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8(line.to_vec()).map_err(|_| {
        Error::usage(
            format!("what is in {shown} is not UTF-8"),
            "A password or code is text.",
            "Put it alone on the first line, in UTF-8.",
        )
    })
}

fn typed(new: bool) -> Result<String, Error> {
    let read = |prompt: &str| {
        rpassword::prompt_password(prompt).map_err(|_| {
            Error::usage(
                "which password?",
                "There is no terminal to ask on.",
                "Give --password-file FILE, or - for standard input.",
            )
        })
    };
    let first = read("Password: ")?;
    if new && read("Again: ")? != first {
        return Err(Error::usage(
            "the two passwords differ",
            "Nothing was sent.",
            "Try again.",
        ));
    }
    Ok(first)
}

fn prompt(question: &str) -> Result<String, Error> {
    let fault = |error| Error::file("cannot ask on the terminal", &error);
    let mut stderr = io::stderr();
    write!(stderr, "{}", text::escape(question)).map_err(fault)?;
    stderr.flush().map_err(fault)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(fault)?;
    Ok(line.trim().to_owned())
}
