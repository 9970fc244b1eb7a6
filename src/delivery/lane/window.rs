//! How a lane's window is shared among the turns that want places in it.

use std::collections::BTreeMap;

use crate::store::Turn;

/// Places of the window that deliveries may take now: all that are free, but for the one that is kept for each other
/// kind of now with nothing under way. So a flood of one kind never shuts another out. Calls of the past get what is left
/// over, and a quarter of the window at most.
pub(super) fn share(window: usize, turn: Turn, taken: &BTreeMap<Turn, usize>) -> usize {
    let used: usize = taken.values().sum();
    let of = |turn: &Turn| taken.get(turn).copied().unwrap_or_default();
    let idle = |other: &Turn| *other != turn && *other != Turn::Backfill && of(other) == 0;
    let kept = Turn::ALL.iter().filter(|other| idle(other)).count();
    let free = window.saturating_sub(used);
    let free = if window <= Turn::ALL.len() { free } else { free.saturating_sub(kept) };
    match turn {
        Turn::Now(_) => free,
        Turn::Backfill => free.min((window / 4).max(1).saturating_sub(of(&turn))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::IntentKind;

    #[test]
    fn a_flood_of_logs_leaves_a_place_for_the_others() {
        const LOG: Turn = Turn::Now(IntentKind::Log);
        const RECORDING: Turn = Turn::Now(IntentKind::Recording);
        let mut taken = BTreeMap::new();
        assert_eq!(share(8, LOG, &taken), 6);
        taken.insert(LOG, 6);
        assert_eq!(share(8, LOG, &taken), 0);
        assert_eq!(share(8, RECORDING, &taken), 1);
        taken.insert(RECORDING, 1);
        assert_eq!(share(8, RECORDING, &taken), 0);
        assert_eq!(share(8, Turn::Backfill, &taken), 0);
        assert_eq!(share(1, LOG, &BTreeMap::new()), 1);
    }

    #[test]
    fn the_past_never_takes_the_window() {
        let mut taken = BTreeMap::new();
        assert_eq!(share(16, Turn::Backfill, &taken), 4);
        taken.insert(Turn::Backfill, 4);
        assert_eq!(share(16, Turn::Backfill, &taken), 0);
        assert_eq!(share(16, Turn::Now(IntentKind::Log), &taken), 10, "twelve are free, two kept");
    }
}
