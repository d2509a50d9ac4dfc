//! p2pd as a user's agent under launchd, the service manager of macOS: `~/Library/LaunchAgents/p2pd.plist`.
//!
//! The file is made by `p2pctl daemon enable`, for the p2pd that p2pctl finds, and removed by `disable`. p2pd that ends with an error is started
//! again, at most every ten seconds as is launchd's custom; one that was told to stop stays stopped until the next login.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use p2p_wire::control::{ErrorKind, Platform};

use crate::error::Error;
use crate::files::write_whole;
use crate::socket::{Socket, Whose};
use crate::system;
use crate::text;

/// What launchd calls it.
const LABEL: &str = "p2pd";

/// The agent of the user who runs p2pctl.
#[derive(Debug)]
pub(crate) struct Agent {
    home: PathBuf,
    uid: u32,
}

impl Agent {
    /// The agent, where launchd is what starts the daemon that is meant. One at a given socket is no agent.
    pub(crate) fn find(socket: &Socket) -> Option<Self> {
        if Platform::HERE != Platform::MacOs || socket.whose != Whose::User {
            return None;
        }
        let home = std::env::home_dir().filter(|home| home.is_absolute())?;
        let uid = system::uid();
        Some(Self { home, uid })
    }

    /// Whether it was enabled.
    pub(crate) fn is_enabled(&self) -> bool {
        self.file().is_file()
    }

    /// Writes its file and has launchd start it, now and at every login.
    pub(crate) fn enable(&self) -> Result<(), Error> {
        let p2pd = system::p2pd()?;
        let program = Path::new(p2pd.get_program());
        let program = std::path::absolute(program).unwrap_or_else(|_| program.to_owned());
        let log = self.home.join("Library/Logs/p2pd.log");
        let (Some(program), Some(log)) = (program.to_str(), log.to_str()) else {
            return Err(Error::new(
                ErrorKind::BadData,
                "cannot enable p2pd through launchd",
                "Its file holds text, and the path of p2pd or of your home is none.",
                "Start it by hand:  p2pctl daemon start",
            ));
        };
        let file = self.file();
        let folder = file.parent().unwrap_or(&file);
        fs::create_dir_all(folder).map_err(|error| {
            let shown = text::show_os(folder.as_os_str());
            Error::file(format!("cannot make {shown}"), &error)
        })?;
        write_whole(&file, plist(program, log).as_bytes(), 0o644)?;
        self.unload()?;
        self.load()
    }

    /// Has launchd stop it and forget it.
    pub(crate) fn disable(&self) -> Result<(), Error> {
        self.unload()?;
        match fs::remove_file(self.file()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let shown = text::show_os(self.file().as_os_str());
                Err(Error::file(format!("cannot remove {shown}"), &error))
            }
            _ => Ok(()),
        }
    }

    /// Starts it. One that runs and did not answer is ended first.
    pub(crate) fn start(&self) -> Result<(), Error> {
        match self.is_loaded() {
            true => launchctl(&["kickstart".as_ref(), "-k".as_ref(), self.name().as_ref()]),
            false => self.load(),
        }
    }

    fn load(&self) -> Result<(), Error> {
        let (domain, file) = (format!("gui/{}", self.uid), self.file());
        launchctl(&["bootstrap".as_ref(), domain.as_ref(), file.as_os_str()])
    }

    fn unload(&self) -> Result<(), Error> {
        match self.is_loaded() {
            true => launchctl(&["bootout".as_ref(), self.name().as_ref()]),
            false => Ok(()),
        }
    }

    fn is_loaded(&self) -> bool {
        let mut command = Command::new("launchctl");
        command.arg("print").arg(self.name());
        system::run_kept(command).is_ok_and(|output| output.status.success())
    }

    fn name(&self) -> String {
        format!("gui/{}/{LABEL}", self.uid)
    }

    fn file(&self) -> PathBuf {
        let agents = self.home.join("Library/LaunchAgents");
        agents.join(format!("{LABEL}.plist"))
    }
}

fn launchctl(args: &[&OsStr]) -> Result<(), Error> {
    let mut command = Command::new("launchctl");
    command.args(args);
    let output = system::run_kept(command)?;
    if output.status.success() {
        return Ok(());
    }
    let verb = args.first().copied().unwrap_or_default();
    Err(Error::new(
        ErrorKind::Failed,
        format!("launchctl {} p2pd failed", text::show_os(verb)),
        system::reason(&output),
        "Look:  tail ~/Library/Logs/p2pd.log   start it by hand:  p2pd --user",
    ))
}

/// What launchd is to know of the p2pd at the path `program`, which writes what it says to `log`.
fn plist(program: &str, log: &str) -> String {
    let (program, log) = (in_xml(program), in_xml(log));
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Label</key>
	<string>{LABEL}</string>
	<key>ProgramArguments</key>
	<array>
		<string>{program}</string>
		<string>--user</string>
	</array>
	<key>RunAtLoad</key>
	<true/>
	<key>KeepAlive</key>
	<dict>
		<key>SuccessfulExit</key>
		<false/>
	</dict>
	<key>StandardErrorPath</key>
	<string>{log}</string>
</dict>
</plist>
"#
    )
}

fn in_xml(text: &str) -> String {
    let text = text.replace('&', "&amp;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_started_at_login_and_again_after_an_error_alone() {
        let plist = plist("/opt/p2p/bin/p2pd", "/Users/ann/Library/Logs/p2pd.log");
        let flat: String = plist.split_whitespace().collect();
        for part in [
            "<array><string>/opt/p2p/bin/p2pd</string><string>--user</string></array>",
            "<key>RunAtLoad</key><true/>",
            "<key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>",
            "<string>/Users/ann/Library/Logs/p2pd.log</string>",
        ] {
            assert!(flat.contains(part), "{part} is not in {plist}");
        }
    }

    #[test]
    fn a_path_is_text_in_the_file_whatever_it_is_called() {
        let plist = plist("/a&b/</string>/p2pd", "/l");
        assert!(
            plist.contains("<string>/a&amp;b/&lt;/string&gt;/p2pd</string>"),
            "{plist}"
        );
    }

    #[test]
    fn there_is_no_agent_for_a_daemon_at_a_given_socket() {
        let socket = Socket {
            path: "/s".into(),
            whose: Whose::Given,
        };
        assert!(Agent::find(&socket).is_none());
    }
}
