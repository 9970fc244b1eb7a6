//! Whether the database still is where it was opened: a file that was removed or replaced under us takes what is written
//! without a word, and loses all of it at the next start.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How often it is looked at: what is written into a removed file for as long may be lost.
const EVERY: Duration = Duration::from_millis(250);

/// A file, and what told it from others when it was opened.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    identity: Option<(u64, u64)>,
    checked: Option<Instant>,
}

impl Place {
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), identity: identity(path), checked: None }
    }

    /// # Errors
    /// What happened to the file and what to do, in words.
    pub(super) fn check(&mut self) -> Result<(), String> {
        if self.checked.is_some_and(|at| at.elapsed() < EVERY) {
            return Ok(());
        }
        if identity(&self.path) != self.identity {
            return Err(format!(
                "{} was removed or replaced while it was open: put the right file there and restart",
                self.path.display()
            ));
        }
        self.checked = Some(Instant::now());
        Ok(())
    }
}

/// Device and number of the file; `None` if it is not there.
#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// Elsewhere an open file cannot be removed; that it is there is enough.
#[cfg(not(unix))]
fn identity(path: &Path) -> Option<(u64, u64)> {
    path.exists().then_some((0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_removed_or_replaced_is_seen() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("db");
        std::fs::write(&path, "one").expect("written");
        let fresh = || Place { checked: None, ..Place::of(&path) };
        let mut place = fresh();
        assert_eq!(place.check(), Ok(()));
        place.checked = None;
        std::fs::rename(&path, dir.path().join("elsewhere")).expect("moved");
        assert!(place.check().is_err_and(|why| why.contains("removed or replaced")));
        std::fs::write(&path, "two").expect("written");
        assert!(place.check().is_err(), "another file in its place is another database");
        assert_eq!(fresh().check(), Ok(()));
    }
}
