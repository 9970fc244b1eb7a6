//! Who said what, and how much of it was heard. Gemini sends the words of both sides in pieces, beside the audio and in
//! no promised order (GG); here they become utterances, and what was not heard is taken off them.

use std::{collections::VecDeque, fmt::Write as _, time::Duration};

use crate::backend::{Out, Says, Speaker, Utterance};

/// Of one utterance. More of it is not kept.
const TEXT_BYTES: usize = 8192;
/// Of the talk so far, for a session that must be told of it.
const TOLD_BYTES: usize = 12_000;
/// Utterances whose audio may wait to be heard.
const UNHEARD: usize = 8;
/// What is not heard of an utterance, and does not count: a syllable, and what the pace rounds.
const SLACK: Duration = Duration::from_millis(120);

struct Line {
    id: u64,
    text: String,
}

impl Line {
    fn add(&mut self, piece: &str) {
        let room = TEXT_BYTES.saturating_sub(self.text.len());
        self.text.push_str(&piece[..boundary(piece, room)]);
    }
}

/// Of the bot's, with where its audio stands since the last interruption.
struct Spoken {
    line: Line,
    from: Duration,
    to: Duration,
    told: bool,
    /// Its turn goes on: words that come late belong to it.
    open: bool,
}

/// Of the audio that a caller is sent.
const UNIT: Duration = Duration::from_millis(20);

#[derive(Default)]
pub(super) struct Talk {
    ids: u64,
    /// What the caller is saying.
    caller: Option<Line>,
    /// What the bot is answering, as it was told.
    answered: Option<Line>,
    /// What the bot is saying.
    bot: Option<Spoken>,
    spoken: VecDeque<Spoken>,
    /// Audio since the last interruption.
    said: Duration,
    told: VecDeque<(u64, Speaker, String)>,
}

impl Talk {
    /// Words of the caller's. `whole`: nothing more comes of this utterance.
    pub(super) fn caller(&mut self, piece: &str, whole: bool, out: &mut Out) {
        if self.bot.is_some() {
            // Who is answered has spoken: his words are late.
            let line = self.answered.get_or_insert_with(|| Line { id: next(&mut self.ids), text: String::new() });
            line.add(piece);
            tell(&mut self.told, Speaker::Caller, line, false, out);
            return;
        }
        let line = self.caller.get_or_insert_with(|| Line { id: next(&mut self.ids), text: String::new() });
        line.add(piece);
        if whole {
            self.caller_ends(out);
        }
    }

    fn caller_ends(&mut self, out: &mut Out) {
        if let Some(line) = self.caller.take() {
            tell(&mut self.told, Speaker::Caller, &line, false, out);
            self.answered = Some(line);
        }
    }

    /// What the caller said last and nothing has been said to.
    pub(super) fn unanswered(&self) -> Option<&str> {
        let line = self.caller.as_ref().or(if self.bot.is_none() { self.answered.as_ref() } else { None });
        line.map(|line| line.text.trim()).filter(|text| !text.is_empty())
    }

    /// The bot's turn: what the caller said is whole.
    pub(super) fn turns(&mut self, out: &mut Out) {
        self.caller_ends(out);
    }

    fn bot(&mut self, out: &mut Out) -> &mut Spoken {
        self.caller_ends(out);
        let (ids, at) = (&mut self.ids, self.said);
        self.bot.get_or_insert_with(|| Spoken {
            line: Line { id: next(ids), text: String::new() },
            from: at,
            to: at,
            told: false,
            open: true,
        })
    }

    /// Words of the bot's.
    pub(super) fn bot_words(&mut self, piece: &str, out: &mut Out) {
        match self.spoken.back_mut() {
            Some(last) if self.bot.is_none() && last.open => {
                last.line.add(piece);
                if last.told {
                    tell(&mut self.told, Speaker::Bot, &last.line, false, out);
                }
            }
            _ => self.bot(out).line.add(piece),
        }
    }

    /// So much audio of the bot's.
    pub(super) fn bot_audio(&mut self, audio: Duration, out: &mut Out) {
        self.bot(out).to += audio;
        self.said += audio;
    }

    /// What it is saying is whole, and was filled up to whole units on its way to the caller.
    pub(super) fn filled_up(&mut self) {
        let unit = UNIT.as_nanos();
        let nanos = self.said.as_nanos().next_multiple_of(unit);
        self.said = Duration::from_nanos(nanos as u64);
    }

    /// Its utterance is generated. Words of it may still come.
    pub(super) fn bot_ends(&mut self, out: &mut Out) {
        self.answered = None;
        if let Some(mut spoken) = self.bot.take() {
            // What has no sound was not said.
            if spoken.to > spoken.from {
                tell(&mut self.told, Speaker::Bot, &spoken.line, false, out);
                spoken.told = true;
                self.keep(spoken);
            }
        }
    }

    /// Its turn is over: what comes is of another.
    pub(super) fn turn_ends(&mut self, out: &mut Out) {
        self.bot_ends(out);
        self.spoken.iter_mut().for_each(|spoken| spoken.open = false);
    }

    /// It was broken off. How much was heard is said by [`Talk::heard`], or all was.
    pub(super) fn broken_off(&mut self) {
        self.answered = None;
        if let Some(spoken) = self.bot.take()
            && spoken.to > spoken.from
        {
            self.keep(Spoken { open: false, ..spoken });
        }
        self.spoken.iter_mut().for_each(|spoken| spoken.open = false);
    }

    /// What was broken off has been heard as far as there is audio of it, or will be.
    pub(super) fn broken_off_heard(&mut self, out: &mut Out) {
        self.broken_off();
        for spoken in self.spoken.iter_mut().filter(|spoken| !spoken.told) {
            tell(&mut self.told, Speaker::Bot, &spoken.line, true, out);
            spoken.told = true;
        }
    }

    /// Of all audio since the last time so much was heard; the rest never will be.
    pub(super) fn heard(&mut self, heard: Duration, out: &mut Out) {
        self.broken_off();
        for Spoken { line, from, to, told, .. } in self.spoken.drain(..) {
            if heard + SLACK >= to {
                if !told {
                    tell(&mut self.told, Speaker::Bot, &line, true, out);
                }
            } else if heard > from {
                let part = (heard - from).div_duration_f64(to - from);
                let cut = Line { id: line.id, text: first_part(&line.text, part).to_owned() };
                replace(&mut self.told, Speaker::Bot, &cut, true, told, out);
            } else {
                let nothing = Line { id: line.id, text: String::new() };
                replace(&mut self.told, Speaker::Bot, &nothing, true, told, out);
            }
        }
        self.said = Duration::ZERO;
    }

    /// Nothing more comes.
    pub(super) fn ends(&mut self, out: &mut Out) {
        self.caller_ends(out);
        self.broken_off_heard(out);
    }

    /// As a model reads it that was not there.
    pub(super) fn so_far(&self) -> String {
        let mut text = String::new();
        for (_, speaker, said) in &self.told {
            let who = match speaker {
                Speaker::Caller => "caller",
                Speaker::Bot => "you",
            };
            let said: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let _ = writeln!(text, "- {who}: {said}");
        }
        text
    }

    fn keep(&mut self, spoken: Spoken) {
        if self.spoken.len() >= UNHEARD {
            self.spoken.pop_front();
        }
        self.spoken.push_back(spoken);
    }
}

fn next(ids: &mut u64) -> u64 {
    *ids += 1;
    *ids
}

/// If there is something to tell.
fn tell(told: &mut VecDeque<(u64, Speaker, String)>, speaker: Speaker, line: &Line, cut: bool, out: &mut Out) {
    if !line.text.trim().is_empty() {
        replace(told, speaker, line, cut, true, out);
    }
}

fn replace(
    told: &mut VecDeque<(u64, Speaker, String)>,
    speaker: Speaker,
    line: &Line,
    cut: bool,
    even_empty: bool,
    out: &mut Out,
) {
    let text = line.text.trim();
    if text.is_empty() && !even_empty {
        return;
    }
    match told.iter_mut().rev().find(|(id, ..)| *id == line.id) {
        Some((_, _, said)) => text.clone_into(said),
        None => told.push_back((line.id, speaker, text.to_owned())),
    }
    let mut bytes: usize = told.iter().map(|(.., said)| said.len()).sum();
    while bytes > TOLD_BYTES && told.len() > 1 {
        bytes -= told.pop_front().map_or(0, |(.., said)| said.len());
    }
    out.say(Says::Said(Utterance { speaker, text: text.to_owned(), id: Some(format!("gemini-{}", line.id)), cut }));
}

/// So much of a text, in whole words: the one that was being said counts as heard.
fn first_part(text: &str, part: f64) -> &str {
    let text = text.trim();
    let about = (text.len() as f64 * part) as usize;
    let about = boundary(text, about);
    let end = text[about..].find(char::is_whitespace).map_or(text.len(), |more| about + more);
    text[..end].trim_end()
}

/// Where a character begins, there or before.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(out: &mut Out) -> Vec<(Speaker, String, String, bool)> {
        let said = out.says.drain(..).filter_map(|says| match says {
            Says::Said(Utterance { speaker, text, id, cut }) => Some((speaker, text, id.expect("an id"), cut)),
            _ => None,
        });
        said.collect()
    }

    fn one(speaker: Speaker, text: &str, id: u64, cut: bool) -> (Speaker, String, String, bool) {
        (speaker, text.to_owned(), format!("gemini-{id}"), cut)
    }

    use Speaker::{Bot, Caller};
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pieces_become_utterances_in_the_order_spoken() {
        let (mut talk, mut out) = (Talk::default(), Out::default());
        talk.caller(" Where is", false, &mut out);
        talk.caller(" my order?", false, &mut out);
        assert_eq!(talk.unanswered(), Some("Where is my order?"));
        assert_eq!(said(&mut out), []);
        talk.bot_audio(SECOND, &mut out);
        assert_eq!(said(&mut out), [one(Caller, "Where is my order?", 1, false)]);
        assert_eq!(talk.unanswered(), None);
        talk.bot_words("It is", &mut out);
        talk.caller(" Please.", false, &mut out);
        assert_eq!(said(&mut out), [one(Caller, "Where is my order? Please.", 1, false)], "late, and of the same");
        talk.bot_words(" on its way", &mut out);
        talk.bot_ends(&mut out);
        assert_eq!(said(&mut out), [one(Bot, "It is on its way", 2, false)]);
        talk.bot_words(".", &mut out);
        assert_eq!(said(&mut out), [one(Bot, "It is on its way.", 2, false)], "late, and of the same");
        talk.turn_ends(&mut out);
        talk.bot_audio(SECOND, &mut out);
        talk.bot_words("Anything else?", &mut out);
        talk.turn_ends(&mut out);
        assert_eq!(said(&mut out), [one(Bot, "Anything else?", 3, false)]);
        assert_eq!(
            talk.so_far(),
            "- caller: Where is my order? Please.\n- you: It is on its way.\n- you: Anything else?\n"
        );
    }

    #[test]
    fn words_of_the_caller_that_come_wholly_late_are_told_before_what_answers_them() {
        let (mut talk, mut out) = (Talk::default(), Out::default());
        talk.bot_audio(SECOND, &mut out);
        talk.bot_words("Ten.", &mut out);
        talk.caller("What time?", true, &mut out);
        talk.turn_ends(&mut out);
        assert_eq!(said(&mut out), [one(Caller, "What time?", 2, false), one(Bot, "Ten.", 1, false)]);
    }

    #[test]
    fn what_was_not_heard_is_taken_off() {
        let (mut talk, mut out) = (Talk::default(), Out::default());
        // One heard wholly and told, one told and half heard, one broken off unheard.
        talk.bot_audio(SECOND, &mut out);
        talk.bot_words("Hello.", &mut out);
        talk.turn_ends(&mut out);
        talk.bot_audio(4 * SECOND, &mut out);
        talk.bot_words("one two three four five six seven eight", &mut out);
        talk.turn_ends(&mut out);
        talk.bot_audio(SECOND, &mut out);
        talk.bot_words("Never", &mut out);
        said(&mut out);
        talk.heard(3 * SECOND, &mut out);
        assert_eq!(said(&mut out), [one(Bot, "one two three four five", 2, true)]);
        // And from there on it is counted anew.
        talk.bot_audio(2 * SECOND, &mut out);
        talk.bot_words("Yes of course", &mut out);
        talk.heard(Duration::ZERO, &mut out);
        assert_eq!(said(&mut out), []);
        talk.bot_audio(2 * SECOND, &mut out);
        talk.bot_words("Good bye", &mut out);
        talk.turn_ends(&mut out);
        said(&mut out);
        talk.heard(Duration::ZERO, &mut out);
        assert_eq!(said(&mut out), [one(Bot, "", 5, true)], "it was told, and is taken back");
    }

    #[test]
    fn what_is_broken_off_and_heard_is_told_as_cut() {
        let (mut talk, mut out) = (Talk::default(), Out::default());
        talk.bot_audio(SECOND, &mut out);
        talk.bot_words("As I was", &mut out);
        talk.ends(&mut out);
        assert_eq!(said(&mut out), [one(Bot, "As I was", 1, true)]);
        talk.bot_words("no sound", &mut out);
        talk.ends(&mut out);
        assert_eq!(said(&mut out), []);
    }

    #[test]
    fn nothing_grows_without_bound() {
        let (mut talk, mut out) = (Talk::default(), Out::default());
        for _ in 0..2000 {
            talk.caller("नमस्ते ", false, &mut out);
            talk.bot_audio(SECOND, &mut out);
            (0..4).for_each(|_| talk.bot_words("नमस्ते ", &mut out));
            talk.turn_ends(&mut out);
            out.says.clear();
        }
        (0..2000).for_each(|_| talk.bot_words("नमस्ते नमस्ते ", &mut out));
        assert!(talk.so_far().len() < 2 * TOLD_BYTES && talk.spoken.len() <= UNHEARD);
        assert!(talk.bot.as_ref().is_some_and(|bot| bot.line.text.len() <= TEXT_BYTES));
        assert_eq!(first_part("नमस्ते आप", 0.1), "नमस्ते");
    }
}
