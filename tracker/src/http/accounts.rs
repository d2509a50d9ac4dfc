//! Routes about accounts, sessions and machines.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use p2p_wire::api::{Account, ChangePassword, Login, Me, Node, Page, Register, Session};

use super::App;
use super::body::{self, SMALL};
use super::caller::{Caller, Client};
use crate::refusal::Refusal;
use crate::store::{AccountRow, NewLine};
use crate::time::rfc3339;

/// A machine that reported or called within so many seconds is online.
const ONLINE: i64 = 120;

pub(super) async fn register(
    State(tracker): State<App>,
    client: Client,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Account>), Refusal> {
    client.check_password_transport()?;
    let request: Register = body::json(&headers, body, SMALL).await?;
    let account = tracker
        .accounts
        .register(request, client.ip, &tracker.config(), &tracker.hooks)
        .await?;
    let text = format!("{} registered", account.username);
    tracker
        .journal
        .record(account_line("registered", &account, None, text));
    Ok((StatusCode::CREATED, Json(public(&account))))
}

pub(super) async fn login(
    State(tracker): State<App>,
    client: Client,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Session>, Refusal> {
    client.check_password_transport()?;
    let request: Login = body::json(&headers, body, SMALL).await?;
    let made = tracker
        .accounts
        .login(request, client.ip, &tracker.config())
        .await?;
    let text = format!("{}/{} logged in", made.account.username, made.node.name);
    tracker.journal.record(account_line(
        "login",
        &made.account,
        Some(&made.node.name),
        text,
    ));
    Ok(Json(Session {
        token: made.token,
        account: public(&made.account),
        node_id: data_encoding::HEXLOWER.encode(&made.node.public),
        node_name: made.node.name,
        announce_url: client.announce_url(&tracker, &made.account),
        tracker: tracker.info(),
    }))
}

pub(super) async fn logout(
    State(tracker): State<App>,
    caller: Caller,
) -> Result<StatusCode, Refusal> {
    tracker.accounts.logout(&caller.login).await?;
    let (account, node) = (&caller.login.account, &caller.login.node.row.name);
    let text = format!("{}/{node} logged out", account.username);
    tracker
        .journal
        .record(account_line("logout", account, Some(node), text));
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn logout_all(
    State(tracker): State<App>,
    caller: Caller,
) -> Result<StatusCode, Refusal> {
    tracker.accounts.logout_all(&caller.login).await?;
    let account = &caller.login.account;
    let text = format!("{} logged out everywhere", account.username);
    tracker
        .journal
        .record(account_line("logout", account, None, text));
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn me(State(tracker): State<App>, caller: Caller) -> Json<Me> {
    let account = caller.login.account.clone();
    Json(me_as(&tracker, &caller, &account))
}

pub(super) async fn change_password(
    State(tracker): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    caller.client.check_password_transport()?;
    let ChangePassword { old, new } = body::json(&headers, body, SMALL).await?;
    tracker
        .accounts
        .change_password(&caller.login, old, new, &tracker.config())
        .await?;
    let account = &caller.login.account;
    let text = format!("{} changed the password", account.username);
    tracker
        .journal
        .record(account_line("password", account, None, text));
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn rotate_passkey(
    State(tracker): State<App>,
    caller: Caller,
) -> Result<Json<Me>, Refusal> {
    let account = tracker
        .accounts
        .rotate_passkey(caller.login.account.id)
        .await?;
    let text = format!("{} replaced the announce URL", account.username);
    tracker
        .journal
        .record(account_line("passkey", &account, None, text));
    Ok(Json(me_as(&tracker, &caller, &account)))
}

/// Every machine of every account: who is online, and what it seeds and fetches.
pub(super) async fn nodes(State(tracker): State<App>, _caller: Caller) -> Json<Page<Node>> {
    let now = crate::time::unix_now();
    let machines = tracker.accounts.directory().machines();
    let items = machines
        .into_iter()
        .map(|(account, machine)| {
            let (online, contents) = {
                let points = tracker.points();
                (
                    points.is_online(machine.row.id),
                    points.contents_of(machine.row.id),
                )
            };
            let seeding = contents.iter().filter(|(_, seed)| *seed).count() as u32;
            Node {
                account,
                node: machine.row.name.clone(),
                online: online || now - machine.last_seen() <= ONLINE,
                last_seen: rfc3339(machine.last_seen()),
                seeding,
                fetching: contents.len() as u32 - seeding,
            }
        })
        .collect();
    Json(Page { items, next: None })
}

fn me_as(tracker: &App, caller: &Caller, account: &AccountRow) -> Me {
    let node = &caller.login.node.row;
    Me {
        account: public(account),
        node_id: data_encoding::HEXLOWER.encode(&node.public),
        node_name: node.name.clone(),
        announce_url: caller.client.announce_url(tracker, account),
        tracker: tracker.info(),
    }
}

fn public(account: &AccountRow) -> Account {
    Account {
        username: account.username.clone(),
        admin: account.admin,
        created: rfc3339(account.created),
    }
}

fn account_line(
    event: &'static str,
    account: &AccountRow,
    node: Option<&str>,
    text: String,
) -> NewLine {
    NewLine {
        event,
        account: Some(account.username.clone()),
        node: node.map(str::to_owned),
        text,
        ..NewLine::default()
    }
}
