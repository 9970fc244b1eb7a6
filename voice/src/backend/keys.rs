//! Keys as a model is told of them: as text, and those that follow each other as one, since a number is not ten answers.

use std::time::Duration;

use crate::{Dtmf, Rate};

/// After a key, how long another one may still belong to it.
const PAUSE: Duration = Duration::from_secs(1);
/// More than anybody is asked for.
const KEYS: usize = 64;

/// What was pressed and not told yet. The caller's audio is the clock: it comes all the time.
#[derive(Debug)]
pub(super) struct Keys {
    rate: Rate,
    pressed: String,
    since: Duration,
}

impl Keys {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, pressed: String::new(), since: Duration::ZERO }
    }

    pub(super) fn press(&mut self, key: &Dtmf) {
        if self.pressed.len() < KEYS {
            self.pressed.extend(key.digit.chars().filter(|c| c.is_ascii_alphanumeric() || "*#".contains(*c)).take(1));
        }
        self.since = Duration::ZERO;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pressed.is_empty()
    }

    /// So many bytes of the caller's audio have passed. What is to be told now, if anything: `#` ends a number.
    pub(super) fn passed(&mut self, bytes: usize) -> Option<String> {
        if self.pressed.is_empty() {
            return None;
        }
        self.since += self.rate.duration(bytes as u64);
        if self.since < PAUSE && !self.pressed.ends_with('#') {
            return None;
        }
        Some(format!("The caller pressed {} on the keypad.", std::mem::take(&mut self.pressed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(keys: &mut Keys, digit: &str) {
        keys.press(&Dtmf { digit: digit.to_owned(), duration_ms: None });
    }

    #[test]
    fn keys_that_follow_each_other_are_told_as_one() {
        let mut keys = Keys::new(Rate::Hz8000);
        assert_eq!(keys.passed(16_000), None);
        press(&mut keys, "4");
        assert_eq!(keys.passed(14_400), None);
        press(&mut keys, "2");
        assert_eq!(keys.passed(15_999), None);
        assert_eq!(keys.passed(320).as_deref(), Some("The caller pressed 42 on the keypad."));
        assert_eq!(keys.passed(320), None);
        press(&mut keys, "7");
        press(&mut keys, "#");
        assert_eq!(keys.passed(320).as_deref(), Some("The caller pressed 7# on the keypad."));
    }

    #[test]
    fn what_is_no_key_is_none_and_they_have_an_end() {
        let mut keys = Keys::new(Rate::Hz8000);
        press(&mut keys, "\"");
        assert_eq!(keys.passed(32_000), None);
        (0..1000).for_each(|_| press(&mut keys, "1"));
        assert!(keys.passed(32_000).is_some_and(|told| told.len() < 120));
    }
}
