//! Running a command and saying how it went.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory as _;
use p2p_hooks::Standing;
use p2p_manual::{Manual, Page};
use p2p_wire::api::{LogEvent, ProblemType};

use super::{Cli, Command, ConfigCommand, LogArgs, UserCommand, ask};
use crate::admin::{self, Answer, Request};
use crate::config::{self, Config, ConfigError, DEFAULT_PATH};
use crate::hooks;
use crate::log::Log;
use crate::service::{self, StartError};
use crate::state::{StateError, fingerprint_file};
use crate::store::LogQuery;

const FAILED: u8 = 1;
const NOT_RUNNING: u8 = 3;
const NOT_FOUND: u8 = 4;
const DENIED: u8 = 5;
const CONFLICT: u8 = 6;
const DISK: u8 = 11;
/// `EX_CONFIG`, which systemd units know.
const BAD_CONFIG: u8 = 78;

/// Runs the command; errors are printed, the code says which kind.
pub fn run(cli: Cli) -> ExitCode {
    let path = config_path(cli.config.as_deref());
    if let Some(Command::Man { dir }) = &cli.command {
        return manual(dir);
    }
    if let Some(Command::Config(command)) = &cli.command {
        return config_command(command, path.as_deref());
    }
    let config = match load(path.as_deref()) {
        Ok(config) => config,
        Err(error) => return bad_config(&error),
    };
    let state_dir = config.state_dir(cli.state_dir.as_deref());
    match cli.command {
        Some(Command::Fingerprint) => fingerprint(&state_dir),
        Some(Command::Hooks) => list_hooks(&config),
        None | Some(Command::Serve) => serve(config, path, &state_dir),
        Some(command) => match request(command) {
            Ok((request, target)) => administer(config, &state_dir, request, target.as_deref()),
            Err(error) => fail(FAILED, &format!("{error:#}")),
        },
    }
}

/// State, event, name, and why it is not run: a line each, separated by tabs.
fn list_hooks(config: &Config) -> ExitCode {
    for hook in hooks::list(config) {
        let (state, why) = match hook.standing {
            Standing::Ready => ("ready", String::new()),
            Standing::Masked => ("masked", "it is a link to /dev/null".to_owned()),
            Standing::Refused(why) => ("refused", why),
        };
        let name = p2p_hooks::clean(&hook.name);
        say(&format!("{state}\t{}\t{name}\t{why}\n", hook.event));
    }
    ExitCode::SUCCESS
}

/// The file that is named, or the usual one where it exists.
fn config_path(named: Option<&Path>) -> Option<PathBuf> {
    named
        .map(Path::to_owned)
        .or_else(|| Some(PathBuf::from(DEFAULT_PATH)).filter(|path| path.exists()))
}

fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
    path.map_or_else(|| Ok(Config::default()), config::read)
}

fn bad_config(error: &ConfigError) -> ExitCode {
    fail(BAD_CONFIG, &error.to_string())
}

fn config_command(command: &ConfigCommand, path: Option<&Path>) -> ExitCode {
    match command {
        ConfigCommand::Defaults => say(&config::sample()),
        ConfigCommand::Path => match path {
            Some(path) => say(&format!("{}\n", path.display())),
            None => {
                return fail(
                    NOT_FOUND,
                    &format!(
                        "there is no {DEFAULT_PATH}\n  The defaults are in use; `config defaults` prints them."
                    ),
                );
            }
        },
        ConfigCommand::Check => match (load(path), path) {
            (Ok(_), Some(path)) => say(&format!("{}: good\n", path.display())),
            (Ok(_), None) => say("no configuration file; the defaults are in use\n"),
            (Err(error), _) => return bad_config(&error),
        },
    }
    ExitCode::SUCCESS
}

/// Writes p2p-tracker(1), a page for each subcommand, and p2p-tracker.toml(5).
fn manual(dir: &Path) -> ExitCode {
    let rest = |_: &clap::Command| {
        let mut page = Page::default();
        page.see_also(&[("p2p-tracker.toml", 5), ("p2pd-hooks", 5), ("p2pctl", 1)]);
        page
    };
    let about = "configuration of the p2p tracker";
    let written = Manual::new(concat!("p2p-tracker ", env!("CARGO_PKG_VERSION")))
        .commands(Cli::command(), rest)
        .file("p2p-tracker.toml", about, config::manual())
        .write(dir);
    match written {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => fail(
            DISK,
            &format!("cannot write manual pages to {}: {error}", dir.display()),
        ),
    }
}

fn serve(config: Config, path: Option<PathBuf>, state_dir: &Path) -> ExitCode {
    let log = Log::install(&config.tracker.log_level, config.tracker.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(FAILED, &format!("cannot start threads: {error}")),
    };
    let reload = Box::new(move || load(path.as_deref()));
    let apply_level = move |level: &str| log.set_level(level);
    match runtime.block_on(service::run(config, state_dir, reload, apply_level)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(start_code(&error), &error.to_string()),
    }
}

/// The fingerprint of the certificate that is served.
fn fingerprint(state_dir: &Path) -> ExitCode {
    let path = fingerprint_file(state_dir);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => fail(
            NOT_RUNNING,
            &format!(
                "no tracker runs on {}\n  Start it (systemctl start p2p-tracker), or name its folder with --state-dir.",
                state_dir.display()
            ),
        ),
        Err(error) => fail(
            DENIED,
            &format!(
                "cannot read {}: {error}\n  Try it with sudo.",
                path.display()
            ),
        ),
    }
}

fn start_code(error: &StartError) -> u8 {
    match error {
        StartError::State(StateError::Locked { .. }) => CONFLICT,
        StartError::State(StateError::Folder { .. }) => DENIED,
        StartError::Store { .. } | StartError::Damaged { .. } | StartError::Write(_) => DISK,
        StartError::Listen(_) => FAILED,
        StartError::Tls(_) => BAD_CONFIG,
    }
}

/// What to ask of the tracker, and where a backup goes.
fn request(command: Command) -> anyhow::Result<(Request, Option<PathBuf>)> {
    let request = match command {
        Command::User(UserCommand::Add {
            username,
            admin,
            password,
        }) => Request::UserAdd {
            username,
            admin,
            password: ask::password(password.password_file.as_deref())?,
        },
        Command::User(UserCommand::Passwd { username, password }) => Request::UserPassword {
            username,
            password: ask::password(password.password_file.as_deref())?,
        },
        Command::User(UserCommand::Ls) => Request::UserList,
        Command::User(UserCommand::Disable { username, undo }) => Request::UserDisable {
            username,
            disabled: !undo,
        },
        Command::User(UserCommand::Rm { username, yes }) => {
            let what = p2p_hooks::clean(&username);
            ask::confirm(yes, &format!("Remove {what} and all that it published?"))?;
            Request::UserRemove { username }
        }
        Command::Invite { n } => Request::Invite { count: n },
        Command::Log(LogArgs {
            publishes,
            file,
            account,
            follow,
            n,
        }) => {
            let query = LogQuery {
                file,
                account,
                publishes,
                limit: n,
                ..LogQuery::default()
            };
            Request::Log { query, follow }
        }
        Command::Backup { file } => return Ok((Request::Backup, Some(file))),
        Command::Serve
        | Command::Fingerprint
        | Command::Hooks
        | Command::Config(_)
        | Command::Man { .. } => {
            anyhow::bail!("not an administration command")
        }
    };
    Ok((request, None))
}

fn administer(
    config: Config,
    state_dir: &Path,
    request: Request,
    target: Option<&Path>,
) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(FAILED, &format!("cannot start: {error}")),
    };
    if matches!(request, Request::UserList) && std::io::stdout().is_terminal() {
        say(&format!(
            "{:<32}  {:<8}  {:<8}  {}\n",
            "NAME", "ROLE", "STATE", "CREATED"
        ));
    }
    let mut refused = None;
    let called =
        runtime.block_on(admin::call(
            config,
            state_dir,
            request,
            target,
            |answer| match answer {
                Answer::Refused { kind, title, hint } => refused = Some((kind, title, hint)),
                answer => print(&answer),
            },
        ));
    if let Err(error) = called {
        let code = match &error {
            admin::AdminError::Socket { .. } => DENIED,
            admin::AdminError::Start(error) => start_code(error),
            admin::AdminError::NotRunning(_) => NOT_RUNNING,
            admin::AdminError::Target { error, .. }
                if error.kind() == std::io::ErrorKind::AlreadyExists =>
            {
                CONFLICT
            }
            admin::AdminError::Target { .. } => DISK,
            admin::AdminError::Broken(_) => FAILED,
        };
        return fail(code, &error.to_string());
    }
    let Some((kind, title, hint)) = refused else {
        return ExitCode::SUCCESS;
    };
    let code = match ProblemType::from_name(&kind) {
        Some(ProblemType::NotFound) => NOT_FOUND,
        Some(ProblemType::NameTaken) => CONFLICT,
        Some(ProblemType::Unavailable) => DISK,
        _ => FAILED,
    };
    fail(code, &format!("{title}\n  {hint}"))
}

fn print(answer: &Answer) {
    match answer {
        Answer::User(user) => {
            let role = if user.admin { "admin" } else { "member" };
            let state = if user.disabled { "disabled" } else { "active" };
            if std::io::stdout().is_terminal() {
                say(&format!(
                    "{:<32}  {role:<8}  {state:<8}  {}\n",
                    user.username, user.created
                ));
            } else {
                say(&format!(
                    "{}\t{role}\t{state}\t{}\n",
                    user.username, user.created
                ));
            }
        }
        Answer::Code(code) => say(&format!("{code}\n")),
        Answer::Line(line) => say(&log_line(line)),
        Answer::Done | Answer::Database(_) | Answer::Refused { .. } => {}
    }
}

fn log_line(line: &LogEvent) -> String {
    let text: String = line
        .text
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if std::io::stdout().is_terminal() {
        return format!("{}  {text}\n", line.time);
    }
    let hash = line
        .info_hash
        .map(|hash| hash.to_string())
        .unwrap_or_default();
    format!("{}\t{}\t{hash}\t{text}\n", line.time, line.event)
}

/// To standard output; a reader that went away ends the program quietly.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    if out
        .write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_err()
    {
        std::process::exit(0);
    }
}

fn fail(code: u8, text: &str) -> ExitCode {
    eprintln!("p2p-tracker: {text}");
    ExitCode::from(code)
}
