//! What a search still shows of records that have been written since: the real ones' indexes lag behind writes.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

/// Whether an index that is `lag` behind knows by now of what was written then.
pub(crate) fn indexed(since: Timestamp, lag: Duration, now: Timestamp) -> bool {
    since.checked_add(lag).is_ok_and(|from| from <= now)
}

/// What a record was before it was as it is.
#[derive(Clone, Debug)]
pub(crate) struct Past<T> {
    since: Timestamp,
    older: Vec<(Timestamp, T)>,
}

impl<T: Clone> Past<T> {
    pub(crate) fn new(since: Timestamp) -> Self {
        Self { since, older: Vec::new() }
    }

    /// The record is being altered; what it was stays searchable for `lag`.
    pub(crate) fn replace(&mut self, was: &T, now: Timestamp, lag: Duration) {
        if !lag.is_zero() {
            self.older.push((self.since, was.clone()));
            // Of the versions search has taken in, only the newest can still be shown.
            let taken_in = self.older.iter().rposition(|(since, _)| indexed(*since, lag, now));
            self.older.drain(..taken_in.unwrap_or(0));
        }
        self.since = now;
    }

    /// The record as search knows it, `None` where it does not yet.
    pub(crate) fn as_indexed<'a>(&'a self, latest: &'a T, now: Timestamp, lag: Duration) -> Option<&'a T> {
        if indexed(self.since, lag, now) {
            return Some(latest);
        }
        self.older.iter().rev().find(|(since, _)| indexed(*since, lag, now)).map(|(_, version)| version)
    }
}

/// What can stand on a [`Shelf`].
pub(crate) trait Record: Clone {
    fn set_id(&mut self, id: u64);
}

/// Records by id, each with its past.
#[derive(Clone, Debug)]
pub(crate) struct Shelf<T> {
    next: u64,
    records: BTreeMap<u64, (T, Past<T>)>,
}

impl<T: Record> Shelf<T> {
    pub(crate) fn starting_at(first: u64) -> Self {
        Self { next: first, records: BTreeMap::new() }
    }

    /// Adds a record under the next id.
    pub(crate) fn insert(&mut self, mut record: T, since: Timestamp) -> u64 {
        let id = self.next;
        self.next += 1;
        record.set_id(id);
        self.records.insert(id, (record, Past::new(since)));
        id
    }

    pub(crate) fn get(&self, id: u64) -> Option<&T> {
        self.records.get(&id).map(|(latest, _)| latest)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.records.values().map(|(latest, _)| latest)
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Alters a record; the version before stays searchable for `lag`.
    pub(crate) fn change(&mut self, id: u64, now: Timestamp, lag: Duration, change: impl FnOnce(&mut T)) {
        if let Some((latest, past)) = self.records.get_mut(&id) {
            past.replace(latest, now, lag);
            change(latest);
        }
    }

    /// The records as an index that is `lag` behind knows them.
    pub(crate) fn as_indexed(&self, now: Timestamp, lag: Duration) -> impl DoubleEndedIterator<Item = &T> {
        self.records.values().filter_map(move |(latest, past)| past.as_indexed(latest, now, lag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::constant(second, 0)
    }

    #[test]
    fn search_shows_what_was_there_when_it_last_looked() {
        let lag = Duration::from_secs(10);
        let mut past = Past::new(at(0));
        for (second, was) in [(100, "first"), (105, "second")] {
            past.replace(&was, at(second), lag);
        }
        let shown = |second| past.as_indexed(&"third", at(second), lag).copied();
        assert_eq!(
            [9, 109, 110, 114, 115].map(shown),
            [None, Some("first"), Some("second"), Some("second"), Some("third")]
        );
    }

    #[test]
    fn versions_that_cannot_be_shown_any_more_are_not_kept() {
        let lag = Duration::from_secs(10);
        let mut past = Past::new(at(0));
        for second in 1..=1000 {
            past.replace(&"x", at(second), lag);
        }
        assert_eq!(past.older.len(), 10);
        past.replace(&"x", at(1001), Duration::ZERO);
        assert_eq!(past.older.len(), 10);
    }
}
