//! The table of methods.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::Value;

use super::answer::{self, Outcome, params, value};
use super::caller::Caller;
use super::progress::Progress;
use super::torrent::Torrent;
use super::{
    Service, detail, doctor, fetch, hooks, items, links, listing, overview, settings, shares,
    trackers, verify, watch,
};

/// What a method knows of its request besides its parameters.
pub(super) struct Request {
    /// Who asks.
    pub(super) caller: Arc<Caller>,
    /// The .torrent that came by `torrent.part`; empty if none did.
    pub(super) torrent: Torrent,
    /// To tell how it goes.
    pub(super) progress: Progress,
}

/// Whether `method` changes nothing and may last: it ends when nobody waits for it any more.
pub(super) fn only_waits(method: &str) -> bool {
    method.ends_with(".wait") || method == "log.tail"
}

/// Does what `method` says. `hello`, `cancel` and `events.subscribe` concern the connection and are answered there.
pub(super) async fn call(
    service: &Arc<Service>,
    method: &str,
    p: Value,
    request: Request,
) -> Outcome {
    let daemon = match &**service {
        Service::Running(daemon) => daemon,
        Service::Unhealthy(unhealthy) if method == "daemon.stop" => {
            return value(overview::stop(&unhealthy.stop, &request.caller));
        }
        Service::Unhealthy(unhealthy) => return Err(answer::fault(unhealthy.fault(method))),
    };
    if daemon.stopping.load(Ordering::Relaxed) && method != "daemon.stop" {
        return Err(answer::fault(daemon.stopping(method)));
    }
    let Request {
        caller,
        torrent,
        progress,
    } = request;
    let caller = &*caller;
    match method {
        "status" => value(Ok(overview::status(daemon, caller).await)),
        "share.add" => value(shares::add(daemon, caller, params(p)?).await),
        "share.wait" => value(shares::wait(daemon, caller, params(p)?, progress).await),
        "share.list" => value(Ok(daemon.shares.list(caller.whose()).await)),
        "share.remove" => value(shares::remove(daemon, caller, params(p)?).await),
        "share.rescan" => value(shares::rescan(daemon, caller, params(p)?).await),
        "fetch.add" => value(fetch::add(daemon, caller, params(p)?, torrent.bytes()).await),
        "item.wait" => value(items::wait(daemon, caller, params(p)?, progress).await),
        "item.list" => value(listing::list(daemon, caller, params(p)?).await),
        "item.show" => value(detail::show(daemon, caller, params(p)?).await),
        "item.pause" => value(items::each(daemon, caller, items::Act::Pause, params(p)?).await),
        "item.resume" => value(items::each(daemon, caller, items::Act::Resume, params(p)?).await),
        "item.announce" => {
            value(items::each(daemon, caller, items::Act::Announce, params(p)?).await)
        }
        "item.verify" => value(items::each(daemon, caller, items::Act::Verify, params(p)?).await),
        "verify.wait" => value(verify::wait(daemon, caller, params(p)?, progress).await),
        "item.set" => value(items::set(daemon, caller, params(p)?).await),
        "item.move" => value(items::move_to(daemon, caller, params(p)?).await),
        "item.remove" => value(items::remove(daemon, caller, params(p)?).await),
        "item.torrent" => value(links::torrent(daemon, caller, params(p)?).await),
        "item.link" => value(links::link(daemon, caller, params(p)?).await),
        "tracker.add" => value(trackers::add(daemon, caller, params(p)?).await),
        "tracker.probe" => value(trackers::probe(daemon, caller, params(p)?).await),
        "tracker.trust" => value(trackers::trust(daemon, caller, params(p)?).await),
        "tracker.remove" => value(trackers::remove(daemon, caller, params(p)?).await),
        "tracker.test" => value(trackers::test(daemon, caller, params(p)?).await),
        "tracker.list" => value(Ok(daemon.trackers.of(caller.uid).list().await)),
        "account.register" => value(trackers::register(daemon, caller, params(p)?).await),
        "account.login" => value(trackers::login(daemon, caller, params(p)?).await),
        "account.logout" => value(trackers::logout(daemon, caller, params(p)?).await),
        "account.whoami" => value(trackers::whoami(daemon, caller, params(p)?).await),
        "catalogue.publish" => {
            value(trackers::publish(daemon, caller, params(p)?, torrent.bytes()).await)
        }
        "catalogue.unpublish" => value(trackers::unpublish(daemon, caller, params(p)?).await),
        "catalogue.search" => value(daemon.trackers.of(caller.uid).search(params(p)?).await),
        "catalogue.nodes" => value(trackers::nodes(daemon, caller, params(p)?).await),
        "limits.get" => value(Ok(settings::limits(daemon))),
        "limits.set" => value(settings::set_limits(daemon, caller, params(p)?).await),
        "config.get" => value(settings::get(daemon, params(p)?)),
        "config.set" => value(settings::set(daemon, caller, params(p)?).await),
        "config.unset" => value(settings::unset(daemon, caller, params(p)?).await),
        "hooks.list" => value(Ok(daemon.hooks.list().await)),
        "hooks.run" => value(hooks::run(daemon, caller, params(p)?).await),
        "hooks.log" => value(hooks::log(daemon, caller, params(p)?).await),
        "history.list" => value(items::history(daemon, caller, params(p)?).await),
        "log.tail" => value(watch::log(daemon, caller, params(p)?, progress).await),
        "daemon.doctor" => value(Ok(doctor::examine(daemon, caller).await)),
        "daemon.reload" => value(settings::reload(daemon, caller).await),
        "daemon.stop" => value(overview::stop(&daemon.stop, caller)),
        _ => Err(answer::no_such_method(method)),
    }
}
