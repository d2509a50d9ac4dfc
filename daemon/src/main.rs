//! p2pd: the arguments, then the daemon.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use p2p_manual::{Manual, Page};
use p2pd::config::{self, Config, Given, Mode, Places};
use p2pd::log::Log;
use p2pd::{detach, rights, service};
use serde::Deserialize as _;

/// Bad configuration, as service managers know it (EX_CONFIG).
const BAD_CONFIG: u8 = 78;

/// A hook that cannot be started, as shells know it.
const NO_HOOK: u8 = 126;

/// Shares, seeds and fetches files.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    /// Configuration file
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Run as your own daemon (the default)
    #[arg(long, global = true, conflicts_with = "system")]
    user: bool,
    /// Run as the machine's daemon
    #[arg(long, global = true)]
    system: bool,
    /// Go to the background once it answers; log to p2pd.log in the state folder
    #[arg(long)]
    daemonize: bool,
    /// Folder that keeps what p2pd must remember
    #[arg(long, value_name = "DIR", global = true)]
    state_dir: Option<PathBuf>,
    /// Control socket
    #[arg(long, value_name = "PATH", global = true)]
    socket: Option<PathBuf>,
    /// What --daemonize starts
    #[arg(long, hide = true)]
    detached: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Looks at a path with the rights of a caller, for the daemon that started this
    #[command(name = rights::HELPER, hide = true)]
    AsCaller,
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man {
        /// The folder
        dir: PathBuf,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Check the configuration file
    Check,
    /// Print every key with its documentation and default
    Defaults,
    /// Print where the configuration file is
    Path,
}

fn main() -> ExitCode {
    if let Some(error) = p2p_hooks::become_hook(std::env::args_os()) {
        eprintln!("p2pd: the hook cannot be started: {error}");
        return ExitCode::from(NO_HOOK);
    }
    let cli = Cli::parse();
    if let Some(Command::AsCaller) = cli.command {
        return match rights::help() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let detached = cli.detached;
    let failed = |code: u8, text: String| {
        eprintln!("p2pd: {text}");
        if detached {
            detach::report_failure(&text);
        }
        ExitCode::from(code)
    };
    if let Some(Command::Man { dir }) = &cli.command {
        return match manual(dir) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(1, format!("{error:#}")),
        };
    }
    let places = match places(&cli) {
        Ok(places) => places,
        Err(error) => return failed(BAD_CONFIG, format!("{error:#}")),
    };
    if let Some(Command::Config(ConfigCommand::Defaults)) = cli.command {
        print!("{}", config::sample(places.mode));
        return ExitCode::SUCCESS;
    }
    if let Some(Command::Config(ConfigCommand::Path)) = cli.command {
        println!("{}", places.config.display());
        return ExitCode::SUCCESS;
    }
    let file = match config::read(&places) {
        Ok(file) => file,
        Err(error) => return failed(BAD_CONFIG, error.to_string()),
    };
    if let Some(Command::Config(ConfigCommand::Check)) = cli.command {
        let path = places.config.display();
        if places.config.exists() {
            println!("{path} is right");
        } else {
            println!("{path} is not there: every key has its default");
        }
        return ExitCode::SUCCESS;
    }
    let ran = if cli.daemonize {
        detach::start(&places).map_err(anyhow::Error::msg)
    } else {
        run(places, file, detached)
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(1, format!("{error:#}")),
    }
}

/// Writes p2pd(1), a page for each subcommand, and those of the files that p2pd reads.
fn manual(dir: &Path) -> anyhow::Result<()> {
    let rest = |_: &clap::Command| {
        let mut page = Page::default();
        page.see_also(&[
            ("p2pctl", 1),
            ("p2pd.toml", 5),
            ("p2pd-hooks", 5),
            ("p2pignore", 5),
        ]);
        page
    };
    let about = "configuration of the p2p peer daemon";
    let mut hooks = Page::markdown(include_str!("../../docs/hooks.md"));
    hooks.see_also(&[("p2pctl-hooks", 1), ("p2pd.toml", 5), ("p2p-tracker", 1)]);
    let mut ignore = Page::markdown(include_str!("../../docs/p2pignore.md"));
    ignore.see_also(&[("p2pctl-share", 1), ("p2pd.toml", 5)]);
    Manual::new(p2pd::control::SERVER)
        .commands(Cli::command(), rest)
        .file("p2pd.toml", about, config::manual())
        .file(
            "p2pd-hooks",
            "programs that p2pd and p2p-tracker run",
            hooks,
        )
        .file("p2pignore", "what a share leaves out", ignore)
        .write(dir)
        .with_context(|| format!("cannot write manual pages to {}", dir.display()))?;
    Ok(())
}

/// Where everything is; paths of the command line are made whole, because the daemon leaves the folder it was started from.
fn places(cli: &Cli) -> anyhow::Result<Places> {
    let whole = |path: &Option<PathBuf>| {
        let path = path.as_ref().map(std::path::absolute);
        path.transpose().context("a path cannot be made absolute")
    };
    let given = Given {
        config: whole(&cli.config)?,
        state: whole(&cli.state_dir)?,
        socket: whole(&cli.socket)?,
    };
    let mode = if cli.system { Mode::System } else { Mode::User };
    let uid = nix::unistd::getuid().as_raw();
    Ok(Places::find(
        mode,
        given,
        |name| std::env::var_os(name),
        uid,
    )?)
}

#[allow(clippy::disallowed_methods, reason = "this is where the program ends")]
fn run(places: Places, file: toml::Table, detached: bool) -> anyhow::Result<()> {
    if detached {
        detach::leave().context("cannot leave the terminal")?;
    }
    let daemon = Config::deserialize(file.clone())?.daemon;
    let log = Log::install(daemon.log_level, daemon.log_format);
    let log = log.map_err(anyhow::Error::msg)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ready = || {
        if detached {
            detach::report_ready();
        }
    };
    let ran = runtime.block_on(service::run(places, file, log, detached, ready));
    // Neither a blocking call, such as looking up a name, nor a file that a disk which does not answer lets nobody close may hold up the end.
    let (tell, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        runtime.shutdown_timeout(Duration::from_millis(100));
        let _ = tell.send(());
    });
    let _ = ended.recv_timeout(Duration::from_millis(200));
    Ok(ran?)
}
