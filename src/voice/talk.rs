//! What was said and done in a session, until it is written: in parts, so that a crash leaves what came before it.

use std::{collections::HashMap, time::Duration};

use patchbay_voice::backend::{Speaker as Who, Utterance};

use crate::call::{HandOver, Line, Speaker, TalkPart};

/// How long what was said may wait for more before it is written.
const GATHERED: Duration = Duration::from_secs(3);
/// What one session may say; a talk shows less of it.
const LINES: usize = 8000;
const BYTES: usize = 1024 * 1024;
const LINE_CHARS: usize = 8000;
const FIELDS: usize = 100;
const NOTES: usize = 100;

#[derive(Debug, Default)]
pub(super) struct Talk {
    pending: TalkPart,
    /// When it is to be written, since the session began.
    due: Option<Duration>,
    /// Lines that the service has named, and when each was first told.
    named: HashMap<String, (u32, u64)>,
    lines: u32,
    bytes: usize,
    fields: usize,
    notes: usize,
    pub(super) lost_lines: u32,
}

impl Talk {
    pub(super) fn said(&mut self, now: Duration, said: Utterance) {
        let Utterance { speaker, text, id, cut } = said;
        let mut text: String = text.trim().chars().take(LINE_CHARS).collect();
        let told = id.as_ref().and_then(|id| self.named.get(id).copied());
        if text.is_empty() && told.is_none() {
            return;
        }
        if self.lines as usize >= LINES || self.bytes + text.len() > BYTES {
            self.lost_lines = self.lost_lines.saturating_add(1);
            return;
        }
        text.shrink_to_fit();
        self.bytes += text.len();
        let at_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let (n, at_ms) = told.unwrap_or((self.lines, at_ms));
        if told.is_none() {
            self.lines += 1;
            if let Some(id) = id {
                self.named.insert(id, (n, at_ms));
            }
        }
        let speaker = match speaker {
            Who::Caller => Speaker::Caller,
            Who::Bot => Speaker::Bot,
        };
        self.pending.lines.retain(|line| line.n != n);
        self.pending.lines.push(Line { n, at_ms, speaker, text, cut });
        self.due = self.due.or(Some(now + GATHERED));
    }

    /// # Errors
    /// Why it is not kept, in words.
    pub(super) fn field(&mut self, name: String, value: String) -> Result<(), String> {
        if self.fields >= FIELDS {
            return Err(format!("{FIELDS} values have been set in this call; it takes no more"));
        }
        self.fields += 1;
        self.pending.fields.insert(name, value);
        self.due = Some(Duration::ZERO);
        Ok(())
    }

    /// # Errors
    /// Why it is not kept, in words.
    pub(super) fn note(&mut self, text: String) -> Result<(), String> {
        if self.notes >= NOTES {
            return Err(format!("{NOTES} notes have been taken in this call; it takes no more"));
        }
        self.notes += 1;
        self.pending.notes.push(text);
        self.due = Some(Duration::ZERO);
        Ok(())
    }

    pub(super) fn outcome(&mut self, outcome: String) {
        self.pending.outcome = Some(outcome);
        self.due = Some(Duration::ZERO);
    }

    pub(super) fn hand_over(&mut self, hand_over: HandOver) {
        self.pending.hand_over = Some(hand_over);
        self.due = Some(Duration::ZERO);
    }

    /// When there is something to write, since the session began.
    pub(super) fn due(&self) -> Option<Duration> {
        self.due
    }

    /// What is to be written.
    pub(super) fn take(&mut self) -> Option<TalkPart> {
        self.due.take()?;
        let next = TalkPart { number: self.pending.number + 1, ..TalkPart::default() };
        Some(std::mem::replace(&mut self.pending, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(id: &str, text: &str, cut: bool) -> Utterance {
        Utterance { speaker: Who::Bot, text: text.to_owned(), id: (!id.is_empty()).then(|| id.to_owned()), cut }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_said_is_gathered_and_what_is_done_is_written_at_once() {
        let mut talk = Talk::default();
        assert_eq!((talk.due(), talk.take()), (None, None));
        talk.said(at(1), said("a", " Hello there ", false));
        talk.said(at(2), said("", "  ", false));
        talk.said(at(2), said("", "Who is it?", false));
        assert_eq!(talk.due(), Some(at(4)));
        talk.said(at(3), said("a", "Hello", true));
        let part = talk.take().expect("a part");
        let lines: Vec<_> = part.lines.iter().map(|line| (line.n, line.at_ms, line.text.as_str(), line.cut)).collect();
        assert_eq!(lines, [(1, 2000, "Who is it?", false), (0, 1000, "Hello", true)]);
        assert_eq!((part.number, talk.due()), (0, None));
        // Told once more after it was written: the same place in a later part.
        talk.said(at(9), said("a", "", true));
        talk.note("angry".to_owned()).expect("kept");
        assert_eq!(talk.due(), Some(Duration::ZERO));
        let part = talk.take().expect("a part");
        assert_eq!((part.number, part.lines[0].n, part.lines[0].at_ms, part.notes.len()), (1, 0, 1000, 1));
    }

    #[test]
    fn nobody_says_without_end() {
        let mut talk = Talk::default();
        for n in 0..LINES + 5 {
            talk.said(at(1), said(&n.to_string(), "x", false));
        }
        assert_eq!((talk.take().expect("a part").lines.len(), talk.lost_lines), (LINES, 5));
        let mut talk = Talk::default();
        for _ in 0..200 {
            talk.said(at(1), said("", &"x".repeat(9000), false));
        }
        assert!(talk.lost_lines > 0 && talk.take().is_some_and(|part| part.lines[0].text.len() == LINE_CHARS));
        let kept = (0..=FIELDS).filter(|n| talk.field(n.to_string(), String::new()).is_ok()).count();
        assert_eq!((kept, (0..=NOTES).filter(|_| talk.note(String::new()).is_ok()).count()), (FIELDS, NOTES));
    }
}
