//! The table of methods.

use std::sync::Arc;

use serde_json::Value;

use super::answer::{self, Outcome, params, value};
use super::caller::Role;
use super::progress::Progress;
use super::{
    Service, detail, doctor, fetch, hooks, items, overview, settings, shares, trackers, verify,
    watch,
};

/// What a method knows of its request besides its parameters.
pub(super) struct Request {
    /// What the caller may do.
    pub(super) role: Role,
    /// To tell how it goes.
    pub(super) progress: Progress,
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
            return value(overview::stop(&unhealthy.stop, request.role));
        }
        Service::Unhealthy(unhealthy) => return Err(answer::fault(unhealthy.fault(method))),
    };
    let Request { role, progress } = request;
    match method {
        "status" => value(Ok(overview::status(daemon).await)),
        "share.add" => value(shares::add(daemon, role, params(p)?).await),
        "share.wait" => value(shares::wait(daemon, params(p)?, progress).await),
        "share.list" => value(Ok(daemon.shares.list().await)),
        "share.remove" => value(shares::remove(daemon, role, params(p)?).await),
        "share.rescan" => value(shares::rescan(daemon, params(p)?).await),
        "fetch.add" => value(fetch::add(daemon, role, params(p)?).await),
        "item.wait" => value(items::wait(daemon, params(p)?, progress).await),
        "item.list" => value(items::list(daemon, params(p)?).await),
        "item.show" => value(detail::show(daemon, params(p)?).await),
        "item.pause" => value(items::each(daemon, items::Act::Pause, params(p)?).await),
        "item.resume" => value(items::each(daemon, items::Act::Resume, params(p)?).await),
        "item.announce" => value(items::each(daemon, items::Act::Announce, params(p)?).await),
        "item.verify" => value(items::each(daemon, items::Act::Verify, params(p)?).await),
        "verify.wait" => value(verify::wait(daemon, params(p)?, progress).await),
        "item.set" => value(items::set(daemon, role, params(p)?).await),
        "item.move" => value(items::move_to(daemon, role, params(p)?).await),
        "item.remove" => value(items::remove(daemon, role, params(p)?).await),
        "item.link" => value(items::link(daemon, params(p)?).await),
        "tracker.add" => value(trackers::add(daemon, role, params(p)?).await),
        "tracker.probe" => value(trackers::probe(daemon, role, params(p)?).await),
        "tracker.trust" => value(trackers::trust(daemon, role, params(p)?).await),
        "tracker.remove" => value(trackers::remove(daemon, role, params(p)?).await),
        "tracker.test" => value(trackers::test(daemon, params(p)?).await),
        "tracker.list" => value(Ok(daemon.trackers.list().await)),
        "account.register" => value(trackers::register(daemon, role, params(p)?).await),
        "account.login" => value(trackers::login(daemon, role, params(p)?).await),
        "account.logout" => value(trackers::logout(daemon, role, params(p)?).await),
        "account.whoami" => value(trackers::whoami(daemon, params(p)?).await),
        "catalogue.publish" => value(trackers::publish(daemon, role, params(p)?).await),
        "catalogue.unpublish" => value(trackers::unpublish(daemon, role, params(p)?).await),
        "catalogue.search" => value(daemon.trackers.search(params(p)?).await),
        "catalogue.nodes" => value(trackers::nodes(daemon, params(p)?).await),
        "limits.get" => value(Ok(settings::limits(daemon))),
        "limits.set" => value(settings::set_limits(daemon, role, params(p)?).await),
        "config.get" => value(settings::get(daemon, params(p)?)),
        "config.set" => value(settings::set(daemon, role, params(p)?).await),
        "config.unset" => value(settings::unset(daemon, role, params(p)?).await),
        "hooks.list" => value(Ok(daemon.hooks.list().await)),
        "hooks.run" => value(hooks::run(daemon, role, params(p)?).await),
        "hooks.log" => value(hooks::log(daemon, params(p)?).await),
        "history.list" => value(items::history(daemon, params(p)?).await),
        "log.tail" => value(watch::log(daemon, params(p)?, progress).await),
        "daemon.doctor" => value(Ok(doctor::examine(daemon).await)),
        "daemon.reload" => value(settings::reload(daemon, role).await),
        "daemon.stop" => value(overview::stop(&daemon.stop, role)),
        _ => Err(answer::no_such_method(method)),
    }
}
