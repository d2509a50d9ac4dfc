//! What an announce leads to, whatever carried it: admission by mode and passkey, the swarm, the log. No database is asked.

use std::net::{IpAddr, SocketAddr};

use p2p_wire::InfoHash;
use p2p_wire::announce::{Event, Peer, Peers, Request, ScrapeEntry};
use p2p_wire::api::Mode;
use p2p_wire::units::Time;

use crate::accounts::BadPasskey;
use crate::config::Config;
use crate::ids::{AccountId, NodeId};
use crate::metrics::Transport;
use crate::swarms::{Announce, Change, Family, Full, Ident};
use crate::tracker::Tracker;

/// Peers for a client that does not say how many it wants.
const DEFAULT_NUMWANT: u32 = 50;

/// Why an announce is refused: text for the user, and whether trying again can help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What, and what to do.
    pub reason: String,
    /// Minutes; `None` where only the user can help.
    pub retry_in: Option<u32>,
}

impl Failure {
    fn user(reason: &str) -> Self {
        Self {
            reason: reason.to_owned(),
            retry_in: None,
        }
    }
}

impl Tracker {
    /// Takes an announce from `from`. One that came over UDP is answered with peers of the family it came by.
    pub fn announce(
        &self,
        passkey: Option<&str>,
        request: &Request,
        from: IpAddr,
        by: Transport,
    ) -> Result<Peers, Failure> {
        let config = self.config();
        let account = self.admit(passkey, &request.info_hash, &config)?;
        let announce = self.understood(account, request, (from, by), &config);
        let want = request
            .numwant
            .unwrap_or(DEFAULT_NUMWANT)
            .min(config.announce.max_numwant);
        let hash = request.info_hash;
        let done = self
            .swarms
            .announce(hash, &announce, want, rand::random(), self.caps(&config))
            .map_err(full)?;
        self.told(&announce, hash, done.change, done.node);
        let interval = secs32(config.announce.interval);
        let min_interval = secs32(config.announce.min_interval);
        Ok(Peers {
            // Not all at once, and never sooner than allowed.
            interval: (interval - rand::random_range(0..=interval / 10)).max(min_interval),
            min_interval: Some(min_interval),
            complete: Some(done.counts.seeds),
            incomplete: Some(done.counts.leeches),
            downloaded: Some(done.counts.completed),
            tracker_id: None,
            warning: None,
            external_ip: Some(from.to_canonical()),
            peers: done
                .peers
                .into_iter()
                .map(|row| Peer {
                    addr: row.addr,
                    peer_id: row.peer_id,
                })
                .collect(),
        })
    }

    /// What `request` says of the peer that sent it.
    fn understood(
        &self,
        account: AccountId,
        request: &Request,
        (from, by): (IpAddr, Transport),
        config: &Config,
    ) -> Announce {
        let ip = request
            .ip
            .filter(|_| config.announce.trust_ip)
            .unwrap_or(from)
            .to_canonical();
        let interval = secs32(config.announce.interval);
        Announce {
            account,
            ident: Some(Ident::new(request.key.as_deref(), request.peer_id)),
            peer_id: Some(request.peer_id),
            addr: SocketAddr::new(ip, request.port),
            seed: request.left == 0,
            completed: request.event == Event::Completed,
            stopped: request.event == Event::Stopped,
            only: (by == Transport::Udp).then(|| Family::of(from.to_canonical())),
            // One announce may be lost or late.
            expires: self
                .clock
                .now()
                .saturating_add(interval)
                .saturating_add(interval / 2 + 60),
        }
    }

    /// Writes down what an announce changed.
    fn told(&self, announce: &Announce, hash: InfoHash, change: Change, node: Option<NodeId>) {
        match change {
            Change::None => {}
            Change::Joined => {
                let address = if self.config().privacy.log_ips {
                    format!(" from {}", announce.addr)
                } else {
                    String::new()
                };
                self.record("joined", announce.account, node, hash, |who, file| {
                    let what = if announce.seed { "a seed" } else { "a leech" };
                    format!("{who} joined {file} as {what}{address}")
                });
            }
            Change::Completed => {
                self.record("completed", announce.account, node, hash, |who, file| {
                    format!("{who} completed {file}")
                });
            }
            Change::Left => {
                // A daemon that stops says so here; its points would stand until it counts as silent.
                if let Some(node) = node {
                    self.points().leave(node, &hash, self.clock.now());
                }
                self.record("left", announce.account, node, hash, |who, file| {
                    format!("{who} left {file}")
                });
            }
        }
    }

    /// Counts of the torrents asked for that the asker may know of. None asked for is none answered: there is no full scrape.
    pub fn scrape(
        &self,
        passkey: Option<&str>,
        hashes: &[InfoHash],
    ) -> Result<Vec<ScrapeEntry>, Failure> {
        let config = self.config();
        let count = |hash: &InfoHash| {
            let counts = self.swarms.counts(hash);
            ScrapeEntry {
                info_hash: *hash,
                complete: counts.seeds,
                incomplete: counts.leeches,
                downloaded: counts.completed,
            }
        };
        let account = self.account_of(passkey, config.tracker.mode)?;
        let may = |hash: &&InfoHash| {
            config.tracker.mode != Mode::Listed
                || self.catalogue.listings().visible(hash, account).is_some()
        };
        Ok(hashes.iter().filter(may).map(count).collect())
    }

    /// Whose announce this is, if it is allowed.
    fn admit(
        &self,
        passkey: Option<&str>,
        hash: &InfoHash,
        config: &Config,
    ) -> Result<AccountId, Failure> {
        let account = self.account_of(passkey, config.tracker.mode)?;
        if config.tracker.mode == Mode::Listed
            && self.catalogue.listings().visible(hash, account).is_none()
        {
            return Err(Failure::user(
                "this torrent is not published on this tracker; publish it there first (p2pctl publish)",
            ));
        }
        Ok(account)
    }

    fn account_of(&self, passkey: Option<&str>, mode: Mode) -> Result<AccountId, Failure> {
        let checked = passkey.map(|passkey| self.accounts.check_passkey(passkey));
        match (checked, mode) {
            (Some(Ok(account)), _) => Ok(account.id),
            (_, Mode::Open) => Ok(AccountId::NOBODY),
            (None, _) => Err(Failure::user(
                "this tracker needs a personal announce URL; log in to it and download the .torrent from it (p2pctl fetch does both)",
            )),
            (Some(Err(BadPasskey::Unknown)), _) => Err(Failure::user(
                "this announce URL is not one of this tracker; download the .torrent from it anew",
            )),
            (Some(Err(BadPasskey::Old)), _) => Err(Failure::user(
                "this announce URL was replaced by a newer one; download the .torrent from the tracker anew",
            )),
            (Some(Err(BadPasskey::Disabled)), _) => Err(Failure::user(
                "the account of this announce URL is disabled or removed; ask the tracker's administrator",
            )),
        }
    }
}

fn secs32(time: Time) -> u32 {
    u32::try_from(time.0.as_secs()).unwrap_or(u32::MAX)
}

fn full(full: Full) -> Failure {
    let reason = match full {
        Full::Account => {
            "your account or address takes part in too many torrents at once; stop some of them"
        }
        Full::Tracker => {
            "this tracker has as many peers as it can hold; its administrator can raise limits.peers"
        }
    };
    Failure {
        reason: reason.to_owned(),
        retry_in: Some(30),
    }
}
