//! A tracker and peers as real processes with real sockets, each with its own state, all below one folder.

mod control;
mod peer;
mod process;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

pub use self::control::Control;
pub use self::peer::Peer;
pub(crate) use self::peer::rows;
use self::process::stdout_of;
pub use self::process::{Process, wait_for};

/// The password of every account in a lab.
const PASSWORD: &str = "correct horse battery staple";

/// The three programs.
#[derive(Clone, Debug)]
pub struct Programs {
    /// p2pd.
    pub daemon: PathBuf,
    /// p2pctl.
    pub ctl: PathBuf,
    /// p2p-tracker.
    pub tracker: PathBuf,
}

impl Programs {
    /// Those that cargo built beside the running program (`target/PROFILE`).
    pub fn beside_this() -> Result<Self> {
        let this = std::env::current_exe().context("find this program")?;
        let folder = this
            .ancestors()
            .skip(1)
            .find(|folder| folder.join("p2pd").is_file())
            .ok_or_else(|| anyhow!("p2pd is not built: run `cargo build --workspace --bins`"))?;
        let programs = Self {
            daemon: folder.join("p2pd"),
            ctl: folder.join("p2pctl"),
            tracker: folder.join("p2p-tracker"),
        };
        for program in [&programs.ctl, &programs.tracker] {
            ensure!(program.is_file(), "{} is not built", program.display());
        }
        Ok(programs)
    }
}

/// A folder with a tracker and peers in it.
#[derive(Debug)]
pub struct Lab {
    dir: PathBuf,
    programs: Programs,
    tracker: Option<Process>,
    url: String,
    network: [u8; 3],
    peers: AtomicU8,
}

impl Lab {
    /// Starts a tracker with open registration below the existing folder `dir`. `settings`: further lines of its configuration.
    pub fn start(dir: &Path, programs: Programs, settings: &str) -> Result<Self> {
        Self::start_in([127, 0, 1], dir, programs, settings)
    }

    /// The same with addresses in `network`, all of which this machine must have: .1 is the tracker's, the peers follow.
    pub fn start_in(
        network: [u8; 3],
        dir: &Path,
        programs: Programs,
        settings: &str,
    ) -> Result<Self> {
        let tracker = address_in(network, 1);
        let state = dir.join("tracker");
        fs::create_dir_all(&state)?;
        let config = format!(
            "[http]\nlisten = [\"{tracker}:0\"]\n\n[accounts]\nregistration = \"open\"\n\n{settings}"
        );
        fs::write(dir.join("p2p-tracker.toml"), config)?;
        let mut lab = Self {
            dir: dir.to_owned(),
            programs,
            tracker: None,
            url: String::new(),
            network,
            peers: AtomicU8::new(2),
        };
        lab.start_tracker()?;
        Ok(lab)
    }

    /// Starts the tracker, again on the same address after [`Lab::stop_tracker`].
    pub fn start_tracker(&mut self) -> Result<()> {
        let state = self.dir.join("tracker");
        let bound = state.join("http.addr");
        // A file of an earlier run would be taken for this one's.
        let _ = fs::remove_file(&bound);
        let mut process = Process::start(
            Command::new(&self.programs.tracker)
                .arg("serve")
                .arg("--config")
                .arg(self.dir.join("p2p-tracker.toml"))
                .arg("--state-dir")
                .arg(&state),
            &self.dir.join("tracker.log"),
        )?;
        let addr = wait_for("the tracker's address", Duration::from_secs(10), || {
            process.ensure_alive()?;
            Ok(fs::read_to_string(&bound)
                .ok()
                .filter(|text| text.ends_with('\n')))
        })?;
        let addr = addr.lines().next().unwrap_or_default().to_owned();
        if self.url.is_empty() {
            let config = self.dir.join("p2p-tracker.toml");
            let text = fs::read_to_string(&config)?
                .replace(&format!("{}:0", address_in(self.network, 1)), &addr);
            fs::write(&config, text)?;
            self.url = format!("http://{addr}");
        }
        self.tracker = Some(process);
        Ok(())
    }

    /// Ends the tracker with SIGTERM.
    pub fn stop_tracker(&mut self) -> Result<()> {
        self.tracker.take().map_or(Ok(()), Process::stop)
    }

    /// Ends the tracker as a crash would.
    pub fn kill_tracker(&mut self) -> Result<()> {
        self.tracker.take().map_or(Ok(()), Process::kill)
    }

    /// `http://address:port` of the tracker.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Memory of its own that the tracker holds, in bytes, and its open descriptors.
    pub fn tracker_holds(&self) -> Result<(u64, usize)> {
        let tracker = self
            .tracker
            .as_ref()
            .context("the tracker is not running")?;
        process::holds(tracker.pid())
    }

    /// The folder of the lab.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The tracker's log as `p2p-tracker log` prints it, oldest line first.
    pub fn tracker_log(&self, args: &[&str]) -> Result<String> {
        let output = Command::new(&self.programs.tracker)
            .arg("log")
            .args(args)
            .arg("--config")
            .arg(self.dir.join("p2p-tracker.toml"))
            .arg("--state-dir")
            .arg(self.dir.join("tracker"))
            .output()?;
        stdout_of("p2p-tracker log", &output)
    }

    /// An address of the lab's network that nobody else has.
    pub fn next_address(&self) -> Ipv4Addr {
        address_in(self.network, self.peers.fetch_add(1, Ordering::Relaxed))
    }

    /// Starts a peer called `name` with folders of its own, without an account. `settings`: lines of its `p2pd.toml`.
    pub fn peer(&self, name: &str, settings: &str) -> Result<Peer> {
        let mut peer = self.new_peer(name, settings)?;
        peer.start()?;
        Ok(peer)
    }

    /// Starts a peer without an account through `wrapper`, a program and its first arguments.
    pub fn peer_through(&self, name: &str, wrapper: &[&str], settings: &str) -> Result<Peer> {
        let mut peer = self.new_peer(name, settings)?;
        peer.wrapper = wrapper.iter().map(|&part| part.to_owned()).collect();
        peer.start()?;
        Ok(peer)
    }

    fn new_peer(&self, name: &str, settings: &str) -> Result<Peer> {
        let dir = self.dir.join(name);
        fs::create_dir_all(dir.join("downloads"))?;
        let downloads = dir.join("downloads");
        let address = self.next_address();
        let config = format!(
            "[daemon]\ndownload_dir = {:?}\n\n[network]\nbind = [\"{address}\"]\n\n{settings}\n",
            downloads.display().to_string(),
        );
        fs::write(dir.join("p2pd.toml"), config)?;
        let password = dir.join("password");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(password)?;
        writeln!(file, "{PASSWORD}")?;
        Ok(Peer {
            name: name.to_owned(),
            dir,
            address,
            programs: self.programs.clone(),
            wrapper: Vec::new(),
            environment: Vec::new(),
            process: None,
        })
    }

    /// A [`Lab::member`] whose download folder is a memory file system of `size`, in a mount namespace of its own. `None`, with a
    /// word on standard error, where this machine does not allow that; an error instead where `P2P_NO_SKIP` is set.
    pub fn member_on_small_disk(
        &self,
        name: &str,
        size: &str,
        settings: &str,
    ) -> Result<Option<Peer>> {
        let downloads = self.dir.join(name).join("downloads");
        let mount = format!("mount -t tmpfs -o size={size} tmpfs \"$0\" && exec \"$@\"");
        let mut wrapper = vec!["unshare".to_owned(), "-m".into()];
        if !nix::unistd::geteuid().is_root() {
            wrapper.push("-Ur".into());
        }
        wrapper.extend([
            "sh".into(),
            "-c".into(),
            mount,
            downloads.display().to_string(),
        ]);
        fs::create_dir_all(&downloads)?;
        let works = Command::new(&wrapper[0])
            .args(&wrapper[1..])
            .arg("true")
            .output();
        if !works.is_ok_and(|output| output.status.success()) {
            ensure!(
                std::env::var_os("P2P_NO_SKIP").is_none(),
                "cannot mount a small disk"
            );
            eprintln!("skipped: this machine does not let us mount a small disk");
            return Ok(None);
        }
        let mut peer = self.new_peer(name, settings)?;
        peer.wrapper = wrapper;
        peer.start()?;
        self.join(&peer)?;
        Ok(Some(peer))
    }

    /// Starts a peer that has joined the tracker (called `home` there) with an account of its own name.
    pub fn member(&self, name: &str, settings: &str) -> Result<Peer> {
        let peer = self.peer(name, settings)?;
        self.join(&peer)?;
        Ok(peer)
    }

    /// Has a peer join the tracker with an account of its own name.
    pub fn join(&self, peer: &Peer) -> Result<()> {
        peer.ctl(&["tracker", "add", "home", &self.url])?;
        let password = peer.password_file();
        peer.ctl(&[
            "register",
            "--username",
            peer.name(),
            "--password-file",
            &password,
        ])?;
        Ok(())
    }
}

fn address_in([a, b, c]: [u8; 3], host: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, host)
}
