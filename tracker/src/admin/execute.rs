//! Doing what an administration command says.

use std::path::{Path, PathBuf};

use p2p_wire::api::ProblemType;
use tokio::sync::broadcast::error::RecvError;

use super::{Answer, Request, User};
use crate::http::log_event;
use crate::refusal::Refusal;
use crate::state::scratch_copy;
use crate::store::{LogQuery, NewLine};
use crate::time::rfc3339;
use crate::tracker::Tracker;

/// Lines of the log when no number is given.
const LOG_LINES: u32 = 50;
const MAX_LOG_LINES: u32 = 100_000;

/// Where answers go; false when nobody listens any more.
pub trait Output: Send {
    /// Passes one on.
    fn send(&mut self, answer: Answer) -> impl Future<Output = bool> + Send;
    /// Passes on a file that is removed afterwards.
    fn send_file(&mut self, path: &Path) -> impl Future<Output = std::io::Result<()>> + Send;
}

/// Does it; refusals become the last answer. `scratch` is a folder for temporary files on the disk of the state.
pub async fn execute(
    tracker: &Tracker,
    request: Request,
    scratch: &Path,
    output: &mut impl Output,
) {
    if let Err(refusal) = try_execute(tracker, request, scratch, output).await {
        let Refusal {
            kind, title, hint, ..
        } = refusal;
        output
            .send(Answer::Refused {
                kind: kind.as_str().to_owned(),
                title,
                hint,
            })
            .await;
    }
}

async fn try_execute(
    tracker: &Tracker,
    request: Request,
    scratch: &Path,
    output: &mut impl Output,
) -> Result<(), Refusal> {
    let accounts = &tracker.accounts;
    let audit = |event, username: &str, text: String| {
        tracker.journal.record(NewLine {
            event,
            account: Some(username.to_owned()),
            text,
            ..NewLine::default()
        });
    };
    match request {
        Request::UserAdd {
            username,
            password,
            admin,
        } => {
            let account = accounts.create(username, password, admin, None).await?;
            let role = if admin { " as an administrator" } else { "" };
            audit(
                "registered",
                &account.username,
                format!("{} was added{role}", account.username),
            );
        }
        Request::UserList => {
            for account in accounts.directory().accounts() {
                let user = User {
                    username: account.username.clone(),
                    admin: account.admin,
                    disabled: account.disabled,
                    created: rfc3339(account.created),
                };
                output.send(Answer::User(user)).await;
            }
            return Ok(());
        }
        Request::UserPassword { username, password } => {
            accounts.set_password(&username, password).await?;
            audit(
                "password",
                &username,
                format!("{username} was given a new password"),
            );
        }
        Request::UserDisable { username, disabled } => {
            accounts.set_disabled(&username, disabled).await?;
            let (event, what) = if disabled {
                ("disabled", "was disabled")
            } else {
                ("enabled", "was enabled")
            };
            audit(event, &username, format!("{username} {what}"));
        }
        Request::UserRemove { username } => {
            accounts.remove(&username).await?;
            audit("removed", &username, format!("{username} was removed"));
        }
        Request::Invite { count } => {
            for code in accounts.invite(count, &tracker.config()).await? {
                output.send(Answer::Code(code)).await;
            }
            return Ok(());
        }
        Request::Log { query, follow } => return log(tracker, query, follow, output).await,
        Request::Backup => return backup(tracker, scratch, output).await,
    }
    output.send(Answer::Done).await;
    Ok(())
}

async fn log(
    tracker: &Tracker,
    query: LogQuery,
    follow: bool,
    output: &mut impl Output,
) -> Result<(), Refusal> {
    // What has happened already is in the answer.
    tracker.journal.flush().await;
    // Subscribed first, so that no line falls between the two.
    let mut live = follow.then(|| tracker.journal.follow());
    let limit = if query.limit == 0 {
        LOG_LINES
    } else {
        query.limit.min(MAX_LOG_LINES)
    };
    let mut lines = tracker
        .store
        .log(LogQuery {
            limit,
            ..query.clone()
        })
        .await?;
    lines.reverse();
    let last = lines.last().map_or(0, |line| line.seq);
    for line in lines {
        if !output.send(Answer::Line(log_event(line))).await {
            return Ok(());
        }
    }
    while let Some(receiver) = &mut live {
        match receiver.recv().await {
            Ok(line) if line.seq > last && query.matches(&line) => {
                if !output.send(Answer::Line(log_event(line))).await {
                    break;
                }
            }
            // What was missed can be read later.
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => break,
        }
    }
    Ok(())
}

/// Copies to a temporary file beside the database and passes that on: the reader writes where it may write, not where the tracker may.
async fn backup(
    tracker: &Tracker,
    scratch: &Path,
    output: &mut impl Output,
) -> Result<(), Refusal> {
    let copy = Scratch(scratch_copy(scratch));
    let copied = tracker.store.backup(copy.0.clone()).await;
    let sent = match &copied {
        Ok(()) => output.send_file(&copy.0).await,
        Err(_) => Ok(()),
    };
    drop(copy);
    copied?;
    sent.map_err(|error| {
        Refusal::new(
            ProblemType::Unavailable,
            format!("the copy could not be passed on: {error}"),
            "Look whether the disk of the state folder has room, and try again.",
        )
    })
}

/// A file that goes with this, also when the command is given up halfway.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
