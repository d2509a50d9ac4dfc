//! What the gate before publishing says of entries: those it let pass are published; what it wants left out of one is kept beside the
//! exclusions of the share, which then makes another item without it.

use std::path::Path;
use std::sync::Arc;

use super::folder::Folder;
use super::holder::Holder;
use super::store::Known;

impl<H: Holder> Folder<H> {
    /// Takes what gates want left out, and looks again where there is something.
    pub(super) async fn leave_out(&mut self) {
        let Some(hooks) = self.catalogue.hub.holder.hooks() else {
            return;
        };
        let unpublished = self.known.iter().filter(|(_, known)| !known.published);
        let mut globs = Vec::new();
        for (entry, known) in unpublished {
            let files = hooks.take_left_out(known.info_hash).unwrap_or_default();
            globs.extend(files.iter().filter_map(|file| glob_of(entry, file)));
        }
        let mut row = (*self.catalogue.row).clone();
        globs.retain(|glob| !row.left_out.contains(glob));
        if globs.is_empty() {
            return;
        }
        row.left_out.extend(globs);
        let hub = &self.catalogue.hub;
        let kept = hub.store.set_left_out(&row).await;
        hub.warn(kept.map_err(|error| hub.state_fault(&error)));
        self.catalogue.row = Arc::new(row);
        self.scan(false).await;
    }

    /// Publishes what the gate let pass.
    pub(super) async fn publish_passed(&self) {
        let unpublished = self.known.iter().filter(|(_, known)| !known.published);
        for (entry, known) in unpublished {
            self.publish_if_passed(entry, known).await;
        }
    }

    /// Publishes an entry if the gate let it pass: also when that was while the entry was on its way.
    pub(super) async fn publish_if_passed(&self, entry: &Path, known: &Known) {
        let hooks = self.catalogue.hub.holder.hooks();
        if hooks.is_some_and(|hooks| hooks.take_passed(known.info_hash)) {
            self.catalogue.publish(entry, known.info_hash).await;
        }
    }
}

/// The exclusion of this one file. `None` where the entry's name is no text.
fn glob_of(entry: &Path, file: &str) -> Option<String> {
    let path = entry.join(file);
    Some(format!("/{}", globset::escape(path.to_str()?)))
}

#[cfg(test)]
mod tests {
    use super::super::ignore::Rules;
    use super::*;

    #[test]
    fn exactly_the_file_is_left_out_whatever_it_is_called() {
        for (entry, file) in [("set", "a [1]*.exe"), ("", "x/{y}!"), ("#a", "?")] {
            let glob = glob_of(Path::new(entry), file).unwrap();
            let rules = Rules::new([glob.as_str()]).unwrap();
            let path = Path::new(entry).join(file);
            assert!(rules.excludes(&path, false), "{glob}");
            assert!(!rules.excludes(Path::new("set/a 1b.exe"), false), "{glob}");
        }
    }
}
