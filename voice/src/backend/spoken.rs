//! What a bot has said, and what of it was heard: services speak faster than the ear hears, and a caller who interrupts has
//! not heard all of it.

use std::{collections::VecDeque, time::Duration};

use super::{Out, Says, Speaker, Utterance};
use crate::Rate;

/// What was said and may still be taken back. A conversation without an interruption is no reason to keep all of it.
const LINES: usize = 64;
/// What an utterance is filled up to when it ends: as `Outbound` does.
const UNIT_MS: u64 = 20;

#[derive(Debug)]
struct Line {
    /// Where its audio begins.
    at: u64,
    id: String,
    text: String,
}

/// Audio and texts since the last interruption, counted as the far side counts.
#[derive(Debug)]
pub(super) struct Spoken {
    rate: Rate,
    bytes: u64,
    /// Where what it is saying now began, and whether none of its text is known yet.
    began: u64,
    untold: bool,
    lines: VecDeque<Line>,
    /// There is audio of which nobody has said that it was heard.
    unheard: bool,
    /// What was taken back, until it is known how much of it was heard.
    taken_back: Option<(VecDeque<Line>, u64)>,
    ends: u64,
}

impl Spoken {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            bytes: 0,
            began: 0,
            untold: true,
            lines: VecDeque::new(),
            unheard: false,
            taken_back: None,
            ends: 0,
        }
    }

    pub(super) fn audio(&mut self, pcm: Vec<u8>, out: &mut Out) {
        if !pcm.is_empty() {
            self.bytes += pcm.len() as u64;
            self.unheard = true;
            out.say(Says::Audio(pcm));
        }
    }

    /// What the audio says: of an utterance in several pieces each stands before its own audio. The first is of what
    /// was said since the utterance began, whether it comes before the audio or behind it.
    pub(super) fn text(&mut self, id: &str, text: &str, out: &mut Out) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        let at = if self.untold { self.began } else { self.bytes };
        self.untold = false;
        if self.lines.len() >= LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(Line { at, id: id.to_owned(), text: text.to_owned() });
        out.say(Says::Said(said(id, text, false)));
    }

    /// An utterance is whole. A mark behind it tells when it was heard.
    pub(super) fn ended(&mut self, out: &mut Out) {
        if self.bytes == self.began {
            return;
        }
        self.bytes = self.bytes.next_multiple_of(self.rate.bytes_of_ms(UNIT_MS));
        (self.began, self.untold) = (self.bytes, true);
        self.ends += 1;
        out.say(Says::Finished);
        out.say(Says::Mark(self.mark()));
    }

    /// A mark was reached, or never will be.
    pub(super) fn marked(&mut self, name: &str) {
        if self.taken_back.is_none() && self.bytes == self.began && name == self.mark() {
            self.unheard = false;
            self.lines.clear();
        }
    }

    /// The caller speaks. Nothing is taken back where all was heard.
    pub(super) fn interrupt(&mut self, out: &mut Out) {
        if std::mem::take(&mut self.unheard) {
            let lines = std::mem::take(&mut self.lines);
            self.taken_back.get_or_insert((lines, self.bytes));
            self.forget();
            out.say(Says::Clear);
        }
    }

    /// So much was heard of what was taken back: what was not, was not said.
    pub(super) fn cleared(&mut self, heard: Duration, out: &mut Out) {
        let (lines, bytes) = match self.taken_back.take() {
            Some(taken_back) => taken_back,
            None => {
                let bytes = self.bytes;
                let lines = std::mem::take(&mut self.lines);
                self.unheard = false;
                self.forget();
                (lines, bytes)
            }
        };
        let heard = u64::try_from(heard.as_micros()).unwrap_or(u64::MAX);
        let heard = heard.saturating_mul(self.rate.bytes_per_second()) / 1_000_000;
        let ends = lines.iter().skip(1).map(|line| line.at).chain([bytes]);
        for (Line { at, id, text }, end) in lines.iter().zip(ends) {
            if heard < end || *at >= end {
                let part = first_part(text, heard.saturating_sub(*at), end.saturating_sub(*at));
                out.say(Says::Said(said(id, part, true)));
            }
        }
    }

    /// The service itself has said what was heard of this.
    pub(super) fn corrected(&mut self, id: &str, text: &str, out: &mut Out) {
        let others = |lines: &mut VecDeque<Line>| lines.retain(|line| line.id != id);
        others(&mut self.lines);
        self.taken_back.iter_mut().for_each(|(lines, _)| others(lines));
        out.say(Says::Said(said(id, text.trim(), true)));
    }

    fn forget(&mut self) {
        self.lines.clear();
        (self.bytes, self.began, self.untold) = (0, 0, true);
    }

    fn mark(&self) -> String {
        format!("said-{}", self.ends)
    }
}

fn said(id: &str, text: &str, cut: bool) -> Utterance {
    Utterance { speaker: Speaker::Bot, text: text.to_owned(), id: Some(id.to_owned()), cut }
}

/// The words of a text that were spoken after so much of its audio, if each character takes as long as the others.
fn first_part(text: &str, heard: u64, whole: u64) -> &str {
    let characters = text.chars().count() as u128;
    let spoken = (characters * u128::from(heard)).checked_div(u128::from(whole)).unwrap_or(0).min(characters);
    let end = text.char_indices().nth(spoken as usize).map_or(text.len(), |(at, _)| at);
    let (part, rest) = text.split_at(end);
    let within = !rest.is_empty() && !rest.starts_with(char::is_whitespace);
    match (within, part.rfind(char::is_whitespace)) {
        (true, Some(word)) => part[..word].trim_end(),
        // A first word that was not said whole; where there are no words, what was said.
        (true, None) if text.contains(char::is_whitespace) => "",
        _ => part.trim_end(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::{Outbound, Pace};

    const RATE: Rate = Rate::Hz8000;

    fn seconds(count: usize) -> Vec<u8> {
        vec![1; count * RATE.bytes_per_second() as usize]
    }

    fn texts(out: &mut Out) -> Vec<(String, String, bool)> {
        let said = out.says.drain(..).filter_map(|says| match says {
            Says::Said(said) => Some((said.id.expect("an id"), said.text, said.cut)),
            _ => None,
        });
        said.collect()
    }

    fn line(id: &str, text: &str, cut: bool) -> (String, String, bool) {
        (id.to_owned(), text.to_owned(), cut)
    }

    #[test]
    fn of_what_was_interrupted_that_is_said_which_was_heard() {
        let (mut spoken, mut out) = (Spoken::new(RATE), Out::default());
        for (id, text) in [("1", "Welcome."), ("2", "We are open from nine to five."), ("3", "Anything else?")] {
            spoken.text(id, text, &mut out);
            spoken.audio(seconds(2), &mut out);
        }
        spoken.ended(&mut out);
        out.says.clear();
        spoken.interrupt(&mut out);
        assert_eq!(out.says, [Says::Clear]);
        spoken.cleared(Duration::from_secs(3), &mut out);
        assert_eq!(texts(&mut out), [line("2", "We are open", true), line("3", "", true)]);
        // What comes next is counted anew.
        spoken.text("4", "Sorry.", &mut out);
        spoken.audio(seconds(1), &mut out);
        spoken.interrupt(&mut out);
        spoken.cleared(Duration::from_secs(1), &mut out);
        assert_eq!(texts(&mut out), [line("4", "Sorry.", false)]);
    }

    #[test]
    fn text_that_comes_behind_its_audio_is_of_it() {
        let (mut spoken, mut out) = (Spoken::new(RATE), Out::default());
        spoken.audio(seconds(2), &mut out);
        spoken.text("1", "one two three four", &mut out);
        out.says.clear();
        spoken.interrupt(&mut out);
        spoken.cleared(Duration::from_secs(1), &mut out);
        assert_eq!(texts(&mut out), [line("1", "one two", true)]);
    }

    #[test]
    fn what_was_heard_is_not_taken_back() {
        let (mut spoken, mut out) = (Spoken::new(RATE), Out::default());
        spoken.interrupt(&mut out);
        assert_eq!(out.says, []);
        spoken.text("1", "Hello.", &mut out);
        spoken.audio(seconds(1), &mut out);
        spoken.ended(&mut out);
        spoken.ended(&mut out);
        assert_eq!(out.says.iter().filter(|says| matches!(says, Says::Mark(_))).count(), 1);
        out.says.clear();
        spoken.marked("said-1");
        spoken.interrupt(&mut out);
        assert_eq!(out.says, []);
        // A mark of what came before says nothing of what came after.
        spoken.audio(seconds(1), &mut out);
        spoken.ended(&mut out);
        spoken.audio(seconds(1), &mut out);
        spoken.marked("said-2");
        out.says.clear();
        spoken.interrupt(&mut out);
        assert_eq!(out.says, [Says::Clear]);
    }

    #[test]
    fn audio_is_counted_as_it_is_sent() {
        let (mut spoken, mut out) = (Spoken::new(RATE), Out::default());
        let mut outbound = Outbound::new(&Pace::of(RATE));
        for samples in (1..100).map(|number| number * 37 % 400) {
            spoken.audio(vec![1; 2 * samples], &mut out);
            spoken.ended(&mut out);
            for says in out.says.drain(..) {
                match says {
                    Says::Audio(pcm) => drop(outbound.push(Duration::ZERO, outbound.epoch(), &pcm)),
                    Says::Finished => outbound.finish(),
                    _ => {}
                }
            }
            assert_eq!(outbound.position(), RATE.duration(spoken.bytes));
        }
        spoken.text("1", "one two", &mut out);
        spoken.audio(seconds(1), &mut out);
        out.says.clear();
        let before = outbound.position();
        spoken.interrupt(&mut out);
        spoken.cleared(before + Duration::from_millis(500), &mut out);
        assert_eq!(texts(&mut out), [line("1", "one", true)]);
    }

    #[test]
    fn what_the_service_corrects_is_not_corrected_again() {
        let (mut spoken, mut out) = (Spoken::new(RATE), Out::default());
        spoken.text("1", "one two three four", &mut out);
        spoken.audio(seconds(4), &mut out);
        spoken.corrected("1", "one two three ", &mut out);
        spoken.interrupt(&mut out);
        spoken.cleared(Duration::from_secs(1), &mut out);
        assert_eq!(texts(&mut out), [line("1", "one two three four", false), line("1", "one two three", true)]);
    }

    #[test]
    fn parts_end_with_words_where_there_are_words() {
        for (text, heard, part) in [
            ("one two three", 0, ""),
            ("one two three", 2, ""),
            ("one two three", 3, "one"),
            ("one two three", 5, "one"),
            ("one two three", 13, "one two three"),
            ("one two three", 99, "one two three"),
            ("नमस्ते आप कैसे हैं", 8, "नमस्ते"),
            ("こんにちは", 2, "こん"),
        ] {
            assert_eq!(first_part(text, heard, text.chars().count() as u64), part, "{text} {heard}");
        }
        assert_eq!(first_part("one", 0, 0), "");
    }
}
