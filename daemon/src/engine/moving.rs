//! Moving an item's data to another folder.
//!
//! Where it goes is recorded before it goes: a kill at any instant leaves a record that names the place where the data is, and the next start
//! looks which of the two that is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use p2p_wire::InfoHash;
use p2p_wire::control::ErrorKind;

use super::asker::Asker;
use super::ops::{Reply, disk_fault, give_back};
use super::registry::{Registry, no_such};
use super::standing::Standing;
use super::{Ctx, FileStamp, view};
use crate::Fault;
use crate::resume::{Record, Site};
use crate::storage::{self, Disk, Disks, Lane, StorageError, TreeSpec, stage_of};

impl Registry {
    pub(super) fn move_to(&mut self, item: InfoHash, dir: PathBuf, reply: Reply) {
        let Some((mut record, _)) = self.take_out(item) else {
            let _ = reply.send(Err(no_such(item)));
            return;
        };
        let ctx = self.ctx.clone();
        let what = format!("cannot move {} to {}", record.name, dir.display());
        let mut asker = Asker::new(what, reply);
        tokio::spawn(async move {
            let moved = if record.share.is_some() {
                let fix = "Move the file or folder itself; the share follows it.";
                Err(Fault::new(
                    ErrorKind::Conflict,
                    &asker.what,
                    "it belongs to a share",
                    fix,
                ))
            } else {
                move_data(&ctx, item, &mut record, dir, &mut asker).await
            };
            let mut left = None;
            let answer = moved.map(|copied| {
                left = copied;
                let path = view::path(&record);
                let text = format!("{} moved to {}", record.name, path.display());
                let name = Some(record.name.as_str());
                ctx.events.emit("item.moved", Some(item), name, text);
                view::item(item, &record, &view::Live::default())
            });
            ctx.store.put(item, &record);
            // A record that cannot be written just now is written later; until then, what was written before tells the next start where to look.
            let kept = ctx.store.try_flush().await.is_ok();
            match left {
                // A kill before this leaves a copy behind; a kill after a removal that no record knows of would leave nothing.
                Some(copied) if kept => {
                    let from = copied.from.clone();
                    let standing = Standing {
                        ctx: &ctx,
                        item,
                        name: &record.name,
                        paths: &[&from],
                        writes: None,
                    };
                    let removing = copied.remove(item);
                    (standing.see_through(removing, |error| asker.must_wait(error))).await;
                }
                Some(copied) => {
                    let store = ctx.store.clone();
                    tokio::spawn(async move {
                        store.flush().await;
                        copied.remove(item).await;
                    });
                }
                None => {}
            }
            give_back(&ctx, item, Some(record)).await;
            asker.answer(answer);
        });
    }

    /// Ends what a kill interrupted, beside the registry: the disk may take its time.
    pub(super) fn settle_move(&mut self, item: InfoHash) {
        let Some((mut record, _)) = self.take_out(item) else {
            return;
        };
        let ctx = self.ctx.clone();
        tokio::spawn(async move {
            let (site, name) = (record.site.clone(), record.name.clone());
            let to = record.moving.clone();
            let paths = [&site, to.as_ref().unwrap_or(&site)].map(view::home);
            let standing = Standing {
                ctx: &ctx,
                item,
                name: &name,
                paths: &paths,
                writes: None,
            };
            let settling = settle(&ctx.disks, item, &mut record);
            (standing.see_through(settling, |_| ())).await;
            give_back(&ctx, item, Some(record)).await;
        });
    }
}

/// An item that is not where it was, and is where it was being moved to, is there now.
async fn settle(disks: &Disks, item: InfoHash, record: &mut Record) {
    let Some(to) = record.moving.take() else {
        return;
    };
    let (old, new) = (data_at(&record.site, item), data_at(&to, item));
    let disk = disks.between(view::home(&record.site), view::home(&to));
    let look = move || Ok(!is_there(&old) && is_there(&new));
    if let Ok(disk) = disk.await
        && let Ok(true) = disk.run(Lane::Check, look).await
    {
        record.site = to;
    }
}

/// What was moved by copying it, and is still where it was.
struct Copied {
    from: PathBuf,
    disk: Disk,
}

impl Copied {
    async fn remove(self, item: InfoHash) {
        let from = self.from;
        let remove = move || storage::remove_copied(&from);
        if let Err(error) = self.disk.run(Lane::Check, remove).await {
            tracing::warn!(%item, "what was copied stays where it was: {error}");
        }
    }
}

fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// The file or folder that a move renames.
fn data_at(site: &Site, item: InfoHash) -> PathBuf {
    match site {
        Site::Staged(dir) => stage_of(dir, item),
        Site::Fetched { path, .. } | Site::Foreign(path) => path.clone(),
    }
}

/// Moves the data and says so in the record, which is kept before the data goes: where that cannot be, nothing is moved. The caller keeps
/// what the record is then. What is given was copied, and is to be removed once that is kept.
async fn move_data(
    ctx: &Ctx,
    item: InfoHash,
    record: &mut Record,
    dir: PathBuf,
    asker: &mut Asker,
) -> Result<Option<Copied>, Fault> {
    let what = asker.what.clone();
    let failed = |error| disk_fault(&what, &error);
    let (site, into) = (record.site.clone(), dir.clone());
    let name = record.name.clone();
    let paths = [view::home(&site), &into];
    let disk = ctx.disks.between(paths[0], paths[1]);
    let disk = ctx.disks.while_answering(&paths, disk).await;
    let disk = disk.flatten().map_err(failed)?;
    let old = site.clone();
    let plan = disk.run(Lane::Check, move || plan(&old, item, dir));
    let plan = ctx.disks.while_answering(&paths, plan).await;
    let Plan { to, from, is_there } = plan.flatten().map_err(failed)?;
    if !is_there {
        record.site = to;
        return Ok(None);
    }
    record.moving = Some(to.clone());
    ctx.store.put(item, record);
    if let Err(error) = ctx.store.try_flush().await {
        record.moving = None;
        let why = format!("where it goes cannot be written down: {error}");
        let fix = "look at the disk of the state folder (`p2pctl doctor`) and try again";
        return Err(Fault::new(ErrorKind::Disk, what, why, fix));
    }
    let (path, target, part) = (from.clone(), data_at(&to, item), item.to_string());
    let moving = move || storage::move_as(&path, &target, &part);
    // From here on a disk that does not answer is waited for: nobody else can say where the data is.
    let standing = Standing {
        ctx,
        item,
        name: &name,
        paths: &paths,
        writes: None,
    };
    let moved = disk.run(Lane::Check, moving);
    let moved = (standing.see_through(moved, |error| asker.must_wait(error))).await;
    record.moving = None;
    let copied = moved.map_err(failed)?;
    record.site = to;
    if !matches!(record.site, Site::Staged(_)) {
        let stamped = restamp(ctx, &disk, item, record);
        let stamped = standing.see_through(stamped, |error| asker.must_wait(error));
        stamped.await.map_err(failed)?;
    }
    Ok(copied.then_some(Copied { from, disk }))
}

struct Plan {
    /// Where the data goes.
    to: Site,
    /// The file or folder that is moved.
    from: PathBuf,
    /// Nothing is staged before the first preparation.
    is_there: bool,
}

fn plan(site: &Site, item: InfoHash, dir: PathBuf) -> Result<Plan, StorageError> {
    let from = data_at(site, item);
    let to = match site {
        Site::Staged(_) => {
            if !dir.is_dir() {
                return Err(storage::not_a_folder(&dir));
            }
            let stage = stage_of(&dir, item);
            storage::make_folder(stage.parent().unwrap_or(&dir))?;
            Site::Staged(dir)
        }
        Site::Fetched { path, aside } => Site::Fetched {
            path: storage::place_in(path, &dir)?,
            aside: aside.clone(),
        },
        Site::Foreign(path) => Site::Foreign(storage::place_in(path, &dir)?),
    };
    let is_there = is_there(&from) || !matches!(site, Site::Staged(_));
    Ok(Plan { to, from, is_there })
}

/// Takes what the files are at their place: a rename changed the ctime of one, a copy is another file.
async fn restamp(
    ctx: &Ctx,
    disk: &Disk,
    item: InfoHash,
    record: &mut Record,
) -> Result<(), StorageError> {
    let Some(metainfo) = ctx.store.metainfo(item).await.ok().flatten() else {
        return Ok(());
    };
    let stage = view::stage(record, item);
    let (site, only) = (record.site.clone(), record.only.clone());
    let on_disk = disk.clone();
    let look = move || {
        let info = Arc::new(metainfo.info);
        let wanted = view::wanted_files(&info, &only);
        let tree = on_disk.tree(TreeSpec {
            info: &info,
            site: &site,
            stage: &stage,
            wanted: &wanted,
            writable: false,
            stamps: Vec::new(),
        });
        Ok(tree.stamps())
    };
    let stamps: Vec<Option<FileStamp>> = disk.run(Lane::Check, look).await?;
    record.stamps = stamps;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::engine::add::blank;

    #[tokio::test]
    async fn after_a_kill_an_item_is_where_its_data_is() {
        let dir = tempfile::tempdir().unwrap();
        let disks = Disks::new(1);
        let item = InfoHash([7; 20]);
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        for staged in [true, false] {
            let at = |path: &PathBuf| match staged {
                true => Site::Staged(path.clone()),
                false => Site::Foreign(path.join("data")),
            };
            for (old_there, new_there) in
                [(true, false), (true, true), (false, true), (false, false)]
            {
                for (place, there) in [(&old, old_there), (&new, new_there)] {
                    let _ = fs::remove_dir_all(place);
                    if there {
                        fs::create_dir_all(data_at(&at(place), item)).unwrap();
                    }
                }
                let mut record = Record {
                    site: at(&old),
                    moving: Some(at(&new)),
                    ..blank(item)
                };
                settle(&disks, item, &mut record).await;
                let moved = !old_there && new_there;
                let expected = at(if moved { &new } else { &old });
                assert_eq!((&record.site, &record.moving), (&expected, &None));
            }
        }
    }
}
