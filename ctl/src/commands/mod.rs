//! The commands: one file per command or small family, each with its arguments and its `run`.

pub(crate) mod account;
pub(crate) mod begin;
pub(crate) mod catalogue;
pub(crate) mod config;
pub(crate) mod create;
pub(crate) mod daemon;
pub(crate) mod doctor;
pub(crate) mod fetch;
pub(crate) mod help;
pub(crate) mod history;
pub(crate) mod hooks;
pub(crate) mod inspect;
pub(crate) mod items;
pub(crate) mod limit;
pub(crate) mod link;
pub(crate) mod log;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod share;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod top;
mod topics;
pub(crate) mod tracker;
pub(crate) mod verify;
pub(crate) mod watch;

use crate::cli::Command;
use crate::context::Context;
use crate::error::Error;

/// Runs the command.
pub(crate) fn run(command: Option<Command>, context: &Context) -> Result<(), Error> {
    if context.globals().version {
        return help::version(context);
    }
    let Some(command) = command else {
        return begin::run(context);
    };
    match command {
        Command::Share(args) => args.run(context),
        Command::Unshare(args) => args.run(context),
        Command::Rescan(args) => args.run(context),
        Command::Link(args) => args.run(context),
        Command::Create(args) => args.run(context),
        Command::Inspect(args) => args.run(context),
        Command::Fetch(args) => args.run(context),
        Command::Ls(args) => args.run(context),
        Command::Show(args) => args.run(context),
        Command::Pause(args) => args.run(items::Act::Pause, context),
        Command::Resume(args) => args.run(items::Act::Resume, context),
        Command::Announce(args) => args.run(items::Act::Announce, context),
        Command::Verify(args) => args.run(context),
        Command::Set(args) => args.run(context),
        Command::Mv(args) => args.run(context),
        Command::Rm(args) => args.run(context),
        Command::Tracker(args) => args.run(context),
        Command::Register(args) => args.run(context),
        Command::Login(args) => args.run(context),
        Command::Logout(args) => args.logout(context),
        Command::Whoami(args) => args.whoami(context),
        Command::Publish(args) => args.run(context),
        Command::Unpublish(args) => args.run(context),
        Command::Search(args) => args.run(context),
        Command::Online(args) => args.run(context),
        Command::Status => status::run(context),
        Command::Doctor => doctor::run(context),
        Command::Top(args) => args.run(context),
        Command::Watch(args) => args.run(context),
        Command::Log(args) => args.run(context),
        Command::History(args) => args.run(context),
        Command::Limit(args) => args.run(context),
        Command::Config(args) => args.run(context),
        Command::Hooks(args) => args.run(context),
        Command::Daemon(args) => args.run(context),
        Command::Completions(args) => args.run(),
        Command::Help(args) => args.run(),
        Command::Man(args) => args.run(context),
    }
}
