//! A file system in an image file, whose power can be cut.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::libc;

use super::Random;

/// How a crash happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The process ends; what it wrote stays in the page cache.
    Kill,
    /// Nothing reaches the disk any more.
    Power {
        /// The journal's last transaction still does: metadata without its data, the harder test of the order of writes.
        flush_log: bool,
    },
}

impl Cut {
    /// A kill, or one of the two kinds of power cut.
    pub(super) fn random(kill: bool, random: &mut Random) -> Self {
        match (kill, random.below(2)) {
            (true, _) => Self::Kill,
            (false, flush) => Self::Power {
                flush_log: flush == 1,
            },
        }
    }
}

/// Where a daemon that will be crashed keeps everything.
pub(super) struct Disk {
    at: PathBuf,
    image: Option<PathBuf>,
}

impl Disk {
    /// A plain folder: for kills alone.
    pub(super) fn folder(at: &Path) -> Result<Self> {
        fs::create_dir_all(at)?;
        Ok(Self {
            at: at.to_owned(),
            image: None,
        })
    }

    /// A new ext4 file system in `image`, mounted at `at`, with room for a file of `len` bytes.
    pub(super) fn image(image: &Path, at: &Path, len: u64) -> Result<Self> {
        fs::create_dir_all(at)?;
        File::create(image)?.set_len(len * 2 + (64 << 20))?;
        run("mkfs.ext4", &["-q", "-F", "-J", "size=8", text(image)?])?;
        let disk = Self {
            at: at.to_owned(),
            image: Some(image.to_owned()),
        };
        disk.mount()?;
        Ok(disk)
    }

    /// All that was written until now is on the disk.
    pub(super) fn sync(&self) -> Result<()> {
        run("sync", &["-f", text(&self.at)?])
    }

    /// Cuts the power, if that is what is to be done.
    pub(super) fn cut(&self, cut: Cut) -> Result<()> {
        // From linux/ext4.h, where the call is EXT4_IOC_SHUTDOWN: _IOR('X', 125, __u32).
        const SHUTDOWN: u32 = 0x8004_587d;
        let flags: u32 = match cut {
            Cut::Kill => return Ok(()),
            Cut::Power { flush_log: true } => 1,
            Cut::Power { flush_log: false } => 2,
        };
        let root = File::open(&self.at)?;
        // SAFETY: the call reads one u32 behind the pointer, which lives until it returns.
        let done = unsafe { libc::ioctl(root.as_raw_fd(), SHUTDOWN as _, &raw const flags) };
        ensure!(
            done == 0,
            "FS_IOC_SHUTDOWN: {}",
            std::io::Error::last_os_error()
        );
        Ok(())
    }

    /// What a reboot does: unmount, and mount what is on the disk.
    pub(super) fn reboot(&self) -> Result<()> {
        if self.image.is_some() {
            run("umount", &[text(&self.at)?])?;
            self.mount()?;
        }
        Ok(())
    }

    fn mount(&self) -> Result<()> {
        match &self.image {
            Some(image) => run("mount", &["-o", "loop", text(image)?, text(&self.at)?]),
            None => Ok(()),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.image.is_some() {
            let _ = Command::new("umount").arg("-l").arg(&self.at).status();
        }
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}

fn run(program: &str, args: &[&str]) -> Result<()> {
    let output = Command::new(program).args(args).output();
    let output = output.with_context(|| format!("start {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {args:?}: {said}");
    Ok(())
}
