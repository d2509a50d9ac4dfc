//! A machine with the system's daemon and several users.
//!
//! The daemon runs as in its unit: as a user of its own that may take on the rights of others and has no other privilege. The users and
//! groups are made up, in a mount namespace of the daemon's; that takes root.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::lab::{Lab, Process, Programs, rows, wait_for};

/// How long anything may take.
pub const LIMIT: Duration = Duration::from_secs(60);
const GROUP: u32 = 70_000;
/// User id of ann.
pub const ANN: u32 = 70_001;
/// User id of ben.
pub const BEN: u32 = 70_002;
/// User id of p2pd.
pub const DAEMON: u32 = 70_009;

/// One machine with the users ann and ben, both of the group `p2p`.
pub struct Machine {
    ctl: PathBuf,
    dir: PathBuf,
    daemon: Process,
}

impl Machine {
    /// A daemon with the users ann and ben, each with a home. `settings`: of its `p2pd.toml`.
    fn start(dir: &Path, programs: &Programs, settings: &str) -> Result<Self> {
        fs::set_permissions(dir, Permissions::from_mode(0o755))?;
        // Where they were built, others may not be able to reach them.
        let copy = |from: &Path, name: &str| -> Result<PathBuf> {
            let to = dir.join(name);
            fs::copy(from, &to).with_context(|| format!("copy {}", from.display()))?;
            Ok(to)
        };
        let (ctl, p2pd) = (
            copy(&programs.ctl, "p2pctl")?,
            copy(&programs.daemon, "p2pd")?,
        );
        for (name, uid) in [
            ("ann", ANN),
            ("ben", BEN),
            ("state", DAEMON),
            ("srv", DAEMON),
            ("run", DAEMON),
        ] {
            let home = dir.join(name);
            fs::create_dir(&home)?;
            chown(&home, Some(uid), Some(GROUP))?;
            fs::set_permissions(
                &home,
                Permissions::from_mode(if uid == DAEMON { 0o755 } else { 0o711 }),
            )?;
        }
        let config = dir.join("p2pd.toml");
        let text = format!(
            "[daemon]\ndownload_dir = {:?}\n\n{settings}",
            dir.join("srv").display().to_string()
        );
        fs::write(&config, text)?;
        let home = |name: &str| dir.join(name).display().to_string();
        let passwd = format!(
            "root:x:0:0::/root:/bin/sh\np2pd:x:{DAEMON}:{GROUP}::{}:/bin/sh\nann:x:{ANN}:{ANN}::{}:/bin/sh\nben:x:{BEN}:{BEN}::{}:/bin/sh\n",
            home("state"),
            home("ann"),
            home("ben")
        );
        fs::write(dir.join("passwd"), passwd)?;
        fs::write(
            dir.join("group"),
            format!("root:x:0:\np2p:x:{GROUP}:ann,ben\nann:x:{ANN}:\nben:x:{BEN}:\n"),
        )?;
        let become_daemon = format!(
            "mount --bind \"$0/passwd\" /etc/passwd && mount --bind \"$0/group\" /etc/group && exec setpriv --reuid {DAEMON} \
             --regid {GROUP} --clear-groups --inh-caps -all,+setuid,+setgid --bounding-set -all,+setuid,+setgid \
             --ambient-caps +setuid,+setgid --no-new-privs -- \"$@\""
        );
        let mut command = Command::new("unshare");
        command
            .args(["-m", "sh", "-c", &become_daemon])
            .arg(dir)
            .arg(p2pd)
            .arg("--system");
        command
            .arg("--config")
            .arg(&config)
            .arg("--state-dir")
            .arg(dir.join("state"));
        command.arg("--socket").arg(dir.join("run/control.sock"));
        let daemon = Process::start(&mut command, &dir.join("p2pd.log"))?;
        let machine = Self {
            ctl,
            dir: dir.to_owned(),
            daemon,
        };
        wait_for("the daemon to answer", LIMIT, || {
            machine.root(&["status"]).map(Some)
        })
        .with_context(|| machine.daemon.output())?;
        Ok(machine)
    }

    /// A path in it, such as `ann/Public`.
    pub fn path(&self, below: &str) -> String {
        self.dir.join(below).display().to_string()
    }

    /// A folder of `uid` in the home of that user.
    pub fn folder(&self, uid: u32, below: &str, mode: u32) -> Result<String> {
        let path = self.dir.join(below);
        fs::create_dir(&path)?;
        chown(&path, Some(uid), Some(uid))?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        Ok(path.display().to_string())
    }

    /// A file of `uid` that everybody may read.
    pub fn file(&self, uid: u32, below: &str, content: &[u8]) -> Result<()> {
        let path = self.dir.join(below);
        fs::write(&path, content)?;
        chown(&path, Some(uid), Some(uid))?;
        fs::set_permissions(&path, Permissions::from_mode(0o644))?;
        Ok(())
    }

    fn run(&self, uid: u32, args: &[&str]) -> Result<(i32, String, String)> {
        let mut command = match uid {
            0 => Command::new(&self.ctl),
            _ => {
                let mut command = Command::new("setpriv");
                let (uid, group) = (uid.to_string(), GROUP.to_string());
                command.args(["--reuid", &uid, "--regid", &uid, "--groups", &group, "--"]);
                command.arg(&self.ctl);
                command
            }
        };
        let output = command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .arg("--socket")
            .arg(self.dir.join("run/control.sock"))
            .args(args)
            .stdin(Stdio::null())
            .output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().context("p2pctl was killed")?;
        Ok((code, text(&output.stdout), text(&output.stderr)))
    }

    /// Runs `p2pctl` as `uid` and gives its standard output.
    pub fn done(&self, uid: u32, args: &[&str]) -> Result<String> {
        let (code, out, err) = self.run(uid, args)?;
        ensure!(
            code == 0,
            "{uid}: p2pctl {} ended with {code}:\n{out}{err}",
            args.join(" ")
        );
        Ok(out)
    }

    /// Runs `p2pctl` as root.
    pub fn root(&self, args: &[&str]) -> Result<String> {
        self.done(0, args)
    }

    /// Runs `p2pctl --json` as `uid`.
    pub fn json(&self, uid: u32, args: &[&str]) -> Result<Value> {
        let text = self.done(uid, &[&["--json"], args].concat())?;
        serde_json::from_str(&text).with_context(|| format!("read the JSON of {args:?}: {text}"))
    }

    /// The command ends with `code`, and what it says contains `says`.
    pub fn refused(&self, uid: u32, args: &[&str], code: i32, says: &str) -> Result<()> {
        let (ended, out, err) = self.run(uid, args)?;
        ensure!(
            ended == code && err.contains(says),
            "{uid}: p2pctl {} ended with {ended} and not {code}, or does not say {says:?}:\n{out}{err}",
            args.join(" ")
        );
        Ok(())
    }

    /// Names of the items that `uid` sees.
    fn items(&self, uid: u32) -> Result<Vec<String>> {
        let rows = rows(self.json(uid, &["ls"])?)?;
        Ok(rows
            .iter()
            .filter_map(|row| row["name"].as_str().map(str::to_owned))
            .collect())
    }

    /// Waits until `uid` sees items of just these names.
    pub fn wait_items(&self, uid: u32, names: &[&str]) -> Result<()> {
        wait_for(&format!("{uid} to have {names:?}"), LIMIT, || {
            let items = self.items(uid)?;
            if items == names {
                Ok(Some(()))
            } else {
                bail!("has {items:?}")
            }
        })
    }

    /// Makes an account called `name` and logs `uid` in.
    pub fn log_in(&self, uid: u32, name: &str) -> Result<()> {
        let password = format!("{name}/password");
        self.file(uid, &password, b"correct horse battery staple\n")?;
        let path = self.path(&password);
        self.done(
            uid,
            &["register", "--username", name, "--password-file", &path],
        )?;
        Ok(())
    }
}

/// A lab and a machine in it; `None` without root, which is an error where `P2P_NO_SKIP` is set.
pub fn machine(dir: &Path) -> Result<Option<(Lab, Machine)>> {
    if !nix::unistd::geteuid().is_root() {
        ensure!(
            std::env::var_os("P2P_NO_SKIP").is_none(),
            "this test needs root"
        );
        eprintln!("skipped: only root can run programs as several users");
        return Ok(None);
    }
    let programs = Programs::beside_this()?;
    let lab = Lab::start(dir, programs.clone(), "")?;
    let settings = format!(
        "[network]\nbind = [\"{}\"]\n\n[shares]\nsettle = \"1s\"\n",
        lab.next_address()
    );
    let machine_dir = dir.join("machine");
    fs::create_dir(&machine_dir)?;
    fs::set_permissions(dir, Permissions::from_mode(0o755))?;
    let machine = Machine::start(&machine_dir, &programs, &settings)?;
    machine.root(&["tracker", "add", "home", lab.url()])?;
    Ok(Some((lab, machine)))
}
