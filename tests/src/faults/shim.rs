//! The library that makes a call fail, `shim.c`: compiled, told what to do, and asked what it did.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

const SOURCE: &str = include_str!("shim.c");
/// Bytes of the table that the library writes: two numbers and a text that ends with a zero.
const TABLE: usize = 256;

/// What befalls a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No space left, where a call may take space.
    Full,
    /// An I/O error.
    Broken,
    /// Half of a write.
    Short,
    /// The process is killed: in the middle of a write, before any other call.
    Crash,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Full, Self::Broken, Self::Short, Self::Crash];

    /// `full`, `broken`, `short` or `crash`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Broken => "broken",
            Self::Short => "short",
            Self::Crash => "crash",
        }
    }
}

/// The library, compiled.
#[derive(Debug)]
pub struct Shim(PathBuf);

impl Shim {
    /// Compiles it into the folder `dir`. `None`, with a word on standard error, where it cannot work; an error instead where
    /// `P2P_NO_SKIP` is set.
    pub fn build(dir: &Path) -> Result<Option<Self>> {
        match Self::compile(dir) {
            Ok(shim) => Ok(Some(shim)),
            Err(error) if std::env::var_os("P2P_NO_SKIP").is_none() => {
                eprintln!("skipped: no disk can be made to fail here: {error:#}");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn compile(dir: &Path) -> Result<Self> {
        ensure!(
            cfg!(all(target_os = "linux", target_env = "gnu"))
                && !cfg!(target_feature = "crt-static"),
            "nothing can be preloaded into programs built for this system"
        );
        let (source, library) = (dir.join("shim.c"), dir.join("shim.so"));
        fs::write(&source, SOURCE)?;
        // Not optimised, so that no check is left out and no header has a body for what is defined here.
        let output = Command::new("cc")
            .args(["-O0", "-U_FORTIFY_SOURCE", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output()
            .context("start the C compiler cc")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cc fails: {said}");
        Ok(Self(library))
    }

    /// Makes a new table, and what the environment of a program must hold so that `fault` befalls its call number `call` (from 1) on
    /// what lies below the folders `under`.
    pub fn plan(
        &self,
        table: &Path,
        under: &[PathBuf],
        fault: Fault,
        call: u64,
    ) -> Result<Vec<(&'static str, OsString)>> {
        fs::write(table, [0; TABLE])?;
        let mut folders = OsString::new();
        for folder in under {
            if !folders.is_empty() {
                folders.push(":");
            }
            folders.push(folder);
        }
        Ok(vec![
            ("LD_PRELOAD", self.0.clone().into()),
            ("P2P_FAULT_TABLE", table.into()),
            ("P2P_FAULT_UNDER", folders),
            ("P2P_FAULT_KIND", fault.name().into()),
            ("P2P_FAULT_CALL", call.to_string().into()),
        ])
    }
}

/// What a table says.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Calls so far that the fault could have befallen.
    pub(super) calls: u64,
    /// The one that it befell, with its path.
    pub(super) hit: Option<String>,
}

impl Seen {
    /// As it stands in the table at this moment.
    pub(super) fn read(table: &Path) -> Result<Self> {
        let bytes = fs::read(table)?;
        let (calls, rest) = bytes.split_first_chunk().context("no table")?;
        let (hit, text) = rest.split_first_chunk().context("half a table")?;
        let [calls, hit] = [calls, hit].map(|number| u64::from_ne_bytes(*number));
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let hit = (hit > 0).then(|| String::from_utf8_lossy(text).into_owned());
        Ok(Self { calls, hit })
    }
}
