//! Accounts: who may do what, and how they prove it.
//!
//! Passwords are hashed with argon2id and never kept; sessions are random tokens of which only the hash is kept; passkeys carry a MAC and
//! are not kept at all. What is asked often (sessions, passkeys, names) is answered from [`Directory`], a mirror of the database.

mod directory;
mod guesses;
mod invites;
mod passkey;
mod password;
mod rules;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use p2p_wire::api::{Login as LoginRequest, ProblemType, Register};

use crate::config::{Config, Registration};
use crate::hooks::{Gate, Hooks};
use crate::ids::{AccountId, SecretHash};
use crate::refusal::Refusal;
use crate::store::{AccountRow, NewAccount, NewSession, NodeRow, Store};
use crate::throttle::{Throttle, household};
use crate::time::unix_now;

pub use directory::{Directory, Login, Machine};
use guesses::{Guesser, Guesses};
use invites::{hash_invite, new_invite};
pub use passkey::PasskeyKey;
use password::PasswordPool;
use rules::{MAX_PASSWORD, check_node_name, check_password, check_username};

/// Everything about accounts.
pub struct Accounts {
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    passkeys: PasskeyKey,
    passwords: PasswordPool,
    logins: Throttle<IpAddr>,
    registrations: Throttle<IpAddr>,
    guesses: Guesses,
}

/// A session just made; the token is not kept anywhere else.
pub struct NewLogin {
    /// Bearer token.
    pub token: String,
    /// Who.
    pub account: Arc<AccountRow>,
    /// Where.
    pub node: NodeRow,
}

/// Why a passkey is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPasskey {
    /// Not one of this tracker.
    Unknown,
    /// It was rotated.
    Old,
    /// The account is disabled or gone.
    Disabled,
}

impl Accounts {
    /// With the key of the passkeys from the store.
    pub fn new(store: Arc<dyn Store>, directory: Arc<Directory>, passkeys: PasskeyKey) -> Self {
        Self {
            store,
            directory,
            passkeys,
            passwords: PasswordPool::default(),
            logins: Throttle::default(),
            registrations: Throttle::default(),
            guesses: Guesses::default(),
        }
    }

    /// Who is known.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Makes an account on request of `from`.
    pub async fn register(
        &self,
        request: Register,
        from: IpAddr,
        config: &Config,
        hooks: &Hooks,
    ) -> Result<AccountRow, Refusal> {
        let closed = |title: &str, hint: &str| {
            Err(Refusal::new(ProblemType::RegistrationClosed, title, hint))
        };
        let invite = match (config.accounts.registration, request.invite) {
            (Registration::Closed, _) => {
                return closed(
                    "this tracker takes no registrations",
                    "Its administrator makes accounts (p2p-tracker user add).",
                );
            }
            (Registration::Invite, None) => {
                return closed(
                    "registration is by invitation",
                    "Ask the tracker's administrator for a code (p2p-tracker invite).",
                );
            }
            (Registration::Invite, Some(code)) => Some(hash_invite(&code)),
            (Registration::Open, _) => None,
        };
        slow_down(
            self.registrations.take(
                household(from),
                config.limits.registrations_per_minute,
                Instant::now(),
            ),
            "too many registrations from your address",
        )?;
        // No hook hears a name that cannot be one.
        check_username(&request.username)?;
        let name = &request.username;
        hooks.ask(Gate::PreRegister, name, None, config).await?;
        self.create(request.username, request.password, false, invite)
            .await
    }

    /// Makes an account. No invitation is needed without `invite`.
    pub async fn create(
        &self,
        username: String,
        password: String,
        admin: bool,
        invite: Option<SecretHash>,
    ) -> Result<AccountRow, Refusal> {
        check_username(&username)?;
        check_password(&password)?;
        let password_hash = self.passwords.hash(password).await?;
        Ok(self
            .store
            .create_account(NewAccount {
                username,
                password_hash,
                admin,
                invite,
                now: unix_now(),
            })
            .await?)
    }

    /// Logs a machine in.
    pub async fn login(
        &self,
        request: LoginRequest,
        from: IpAddr,
        config: &Config,
    ) -> Result<NewLogin, Refusal> {
        let node_name = check_node_name(&request.node_name)?;
        let limits = &config.limits;
        slow_down(
            self.logins
                .take(household(from), limits.logins_per_minute, Instant::now()),
            "too many logins from your address",
        )?;
        let account = self
            .authenticate(
                request.username,
                request.password,
                Guesser::at(from),
                limits.failures_per_minute,
            )
            .await?;
        if account.disabled {
            return Err(Refusal::new(
                ProblemType::Forbidden,
                "this account is disabled",
                "Ask the tracker's administrator.",
            ));
        }
        let token = BASE64URL_NOPAD.encode(&random::<32>()?);
        let node = request.node_id.and_then(|id| {
            HEXLOWER_PERMISSIVE
                .decode(id.as_bytes())
                .ok()?
                .try_into()
                .ok()
        });
        let node = self
            .store
            .login(NewSession {
                account: account.id,
                token: SecretHash::of(token.as_bytes()),
                node,
                fresh_node: random()?,
                node_name,
                max_nodes: config.accounts.max_nodes,
                now: unix_now(),
            })
            .await?;
        Ok(NewLogin {
            token,
            account,
            node,
        })
    }

    /// The account of a name and password; wrong passwords are counted.
    async fn authenticate(
        &self,
        username: String,
        password: String,
        who: Guesser,
        per_minute: u32,
    ) -> Result<Arc<AccountRow>, Refusal> {
        let bad = || {
            Refusal::new(
                ProblemType::BadCredentials,
                "the user name or the password is wrong",
                "Check both; a forgotten password is set anew by the administrator (p2p-tracker user passwd NAME).",
            )
        };
        if username.len() > 32 || password.len() > MAX_PASSWORD {
            return Err(bad());
        }
        slow_down(
            self.guesses
                .take(&username, who, per_minute, Instant::now()),
            "too many wrong passwords for this account",
        )?;
        // A caller that goes away meanwhile has had its try.
        let known = self.known_password(username.clone(), password).await;
        if !matches!(known, Ok(None)) {
            self.guesses.give_back(&username, who);
        }
        known?
            .and_then(|id| self.directory.account(id))
            .ok_or_else(bad)
    }

    /// The account whose name and password these are, if there is one.
    async fn known_password(
        &self,
        username: String,
        password: String,
    ) -> Result<Option<AccountId>, Refusal> {
        let known = self.store.password(username).await?;
        let (id, hash) = known.map_or((None, None), |(id, hash)| (Some(id), Some(hash)));
        let right = self.passwords.verify(password, hash).await?;
        Ok(id.filter(|_| right))
    }

    /// The session of a bearer token.
    pub fn session(&self, token: &str) -> Result<Login, Refusal> {
        self.directory
            .login(SecretHash::of(token.as_bytes()), unix_now())
            .ok_or_else(|| {
                Refusal::new(
                    ProblemType::LoginRequired,
                    "this login has ended or never was",
                    "Log in again (p2pctl login).",
                )
            })
    }

    /// Ends a session.
    pub async fn logout(&self, login: &Login) -> Result<(), Refusal> {
        Ok(self.store.logout(login.token).await?)
    }

    /// Ends all sessions of the account.
    pub async fn logout_all(&self, login: &Login) -> Result<(), Refusal> {
        Ok(self.store.logout_all(login.account.id).await?)
    }

    /// Changes the password; every other session of the account ends.
    pub async fn change_password(
        &self,
        login: &Login,
        old: String,
        new: String,
        config: &Config,
    ) -> Result<(), Refusal> {
        check_password(&new)?;
        let per_minute = config.limits.failures_per_minute;
        let account = self
            .authenticate(
                login.account.username.clone(),
                old,
                Guesser::Machine(login.node.row.id),
                per_minute,
            )
            .await?;
        let hash = self.passwords.hash(new).await?;
        Ok(self
            .store
            .set_password(account.id, hash, Some(login.token))
            .await?)
    }

    /// Sets a password without knowing the old one; all sessions end.
    pub async fn set_password(&self, username: &str, password: String) -> Result<(), Refusal> {
        let account = self.named(username)?;
        check_password(&password)?;
        let hash = self.passwords.hash(password).await?;
        Ok(self.store.set_password(account.id, hash, None).await?)
    }

    /// Makes all earlier passkeys of the account invalid.
    pub async fn rotate_passkey(&self, account: AccountId) -> Result<AccountRow, Refusal> {
        Ok(self.store.rotate_passkey(account).await?)
    }

    /// Disables or enables an account.
    pub async fn set_disabled(&self, username: &str, disabled: bool) -> Result<(), Refusal> {
        let account = self.named(username)?;
        self.store.set_disabled(account.id, disabled).await?;
        Ok(())
    }

    /// Removes an account with all it published.
    pub async fn remove(&self, username: &str) -> Result<(), Refusal> {
        let account = self.named(username)?;
        Ok(self.store.remove_account(account.id).await?)
    }

    /// Makes invitations.
    pub async fn invite(&self, count: u32, config: &Config) -> Result<Vec<String>, Refusal> {
        if !(1..=1_000).contains(&count) {
            return Err(Refusal::invalid(
                format!("{count} invitations cannot be made at a time"),
                "Take 1 to 1000.",
            ));
        }
        let codes: Vec<String> = (0..count).map(|_| new_invite()).collect::<Result<_, _>>()?;
        let expires = unix_now().saturating_add(
            i64::try_from(config.accounts.invite_lifetime.0.as_secs()).unwrap_or(i64::MAX),
        );
        self.store
            .create_invites(
                codes.iter().map(|code| hash_invite(code)).collect(),
                expires,
            )
            .await?;
        Ok(codes)
    }

    /// The passkey of an account as it is now.
    pub fn passkey(&self, account: &AccountRow) -> String {
        self.passkeys.issue(account.id, account.generation)
    }

    /// Whose passkey that is. No waiting, no database.
    pub fn check_passkey(&self, passkey: &str) -> Result<Arc<AccountRow>, BadPasskey> {
        let (account, generation) = self.passkeys.verify(passkey).ok_or(BadPasskey::Unknown)?;
        let account = self
            .directory
            .account(account)
            .filter(|account| !account.disabled)
            .ok_or(BadPasskey::Disabled)?;
        if account.generation == generation {
            Ok(account)
        } else {
            Err(BadPasskey::Old)
        }
    }

    fn named(&self, username: &str) -> Result<Arc<AccountRow>, Refusal> {
        self.directory.account_named(username).ok_or_else(|| {
            Refusal::not_found(
                format!("there is no account `{username}`"),
                "See `p2p-tracker user ls`.",
            )
        })
    }
}

fn slow_down(tries: Result<(), u32>, title: &str) -> Result<(), Refusal> {
    tries.map_err(|secs| {
        Refusal::new(
            ProblemType::SlowDown,
            title,
            format!("Try again in {secs} s."),
        )
        .retry_after(secs)
    })
}

fn random<const N: usize>() -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| Refusal::internal("the machine has no randomness"))?;
    Ok(bytes)
}
