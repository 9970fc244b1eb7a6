//! Who has said what, one after the other: the caller's words come as text when they have been transcribed, often after
//! the bot has answered them.

use std::collections::VecDeque;

use crate::backend::{Out, Says, Speaker, Utterance};

/// Turns whose text is waited for. Nobody speaks so often before it comes.
const WAITING: usize = 32;

#[derive(Debug)]
struct Turn {
    id: String,
    text: Option<Utterance>,
}

#[derive(Debug, Default)]
pub(super) struct Turns(VecDeque<Turn>);

impl Turns {
    /// Somebody speaks; what he says comes as text later.
    pub(super) fn begin(&mut self, id: &str, out: &mut Out) {
        if self.0.iter().any(|turn| turn.id == id) {
            return;
        }
        self.0.push_back(Turn { id: id.to_owned(), text: None });
        while self.0.len() > WAITING {
            self.let_go(1, out);
        }
    }

    /// It has. A turn nobody waits for is told at once.
    pub(super) fn said(&mut self, said: Utterance, out: &mut Out) {
        match self.0.iter_mut().find(|turn| Some(&turn.id) == said.id.as_ref()) {
            Some(turn) => turn.text = Some(said),
            // Something was told of it before, which is taken back if nothing of it was heard.
            None if said.cut || !said.text.is_empty() => out.say(Says::Said(said)),
            None => {}
        }
        self.tell_whole(out);
    }

    /// The same, of a turn that is still waited for and has no text yet.
    pub(super) fn said_if_waiting(&mut self, said: Utterance, out: &mut Out) {
        if self.0.iter().any(|turn| Some(&turn.id) == said.id.as_ref() && turn.text.is_none()) && !said.text.is_empty()
        {
            self.said(said, out);
        }
    }

    /// There will be no text of it.
    pub(super) fn silent(&mut self, id: &str, out: &mut Out) {
        self.0.retain(|turn| turn.id != id);
        self.tell_whole(out);
    }

    /// What is before this turn is waited for no longer.
    pub(super) fn reached(&mut self, id: &str, out: &mut Out) {
        if let Some(at) = self.0.iter().position(|turn| turn.id == id) {
            self.let_go(at, out);
            self.tell_whole(out);
        }
    }

    /// Nor is any of them.
    pub(super) fn all(&mut self, out: &mut Out) {
        self.let_go(self.0.len(), out);
    }

    fn let_go(&mut self, count: usize, out: &mut Out) {
        let texts = self.0.drain(..count).filter_map(|turn| turn.text);
        texts.filter(|said| !said.text.is_empty()).for_each(|said| out.say(Says::Said(said)));
    }

    fn tell_whole(&mut self, out: &mut Out) {
        let whole = self.0.iter().take_while(|turn| turn.text.is_some()).count();
        self.let_go(whole, out);
    }
}

/// What was heard of a text, if so much of its sound was: whole words.
pub(super) fn heard_of(text: &str, heard_ms: u64, of_ms: u64) -> String {
    if of_ms == 0 || heard_ms >= of_ms {
        return if of_ms == 0 { String::new() } else { text.to_owned() };
    }
    let count = text.chars().count() as u64;
    let Some((at, _)) = text.char_indices().nth((count * heard_ms / of_ms) as usize) else {
        return text.to_owned();
    };
    // A word that was begun was not heard; where there are no spaces, every character is as good as one.
    let begun = text[at..].chars().next().is_some_and(|next| !next.is_whitespace());
    let heard = &text[..at];
    match (begun, heard.rfind(char::is_whitespace)) {
        (true, Some(space)) => heard[..space].trim_end().to_owned(),
        (true, None) if text.contains(char::is_whitespace) => String::new(),
        _ => heard.trim_end().to_owned(),
    }
}

pub(super) fn utterance(speaker: Speaker, id: &str, text: &str) -> Utterance {
    Utterance { speaker, text: text.trim().to_owned(), id: Some(id.to_owned()), cut: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(out: &mut Out) -> Vec<String> {
        let said = out.says.drain(..);
        said.map(|says| if let Says::Said(said) = says { said.text } else { panic!("{says:?}") }).collect()
    }

    #[test]
    fn an_answer_waits_for_the_text_of_what_it_answers() {
        let (mut turns, mut out) = (Turns::default(), Out::default());
        turns.begin("u1", &mut out);
        turns.begin("b1", &mut out);
        turns.said(utterance(Speaker::Bot, "b1", "Your order is on its way."), &mut out);
        assert!(told(&mut out).is_empty());
        turns.said(utterance(Speaker::Caller, "u1", " Where is my order?\n"), &mut out);
        assert_eq!(told(&mut out), ["Where is my order?", "Your order is on its way."]);
        // And not for ever.
        turns.begin("u2", &mut out);
        turns.begin("b2", &mut out);
        turns.said(utterance(Speaker::Bot, "b2", "Anything else?"), &mut out);
        turns.reached("b2", &mut out);
        turns.said(utterance(Speaker::Caller, "u2", "Thanks."), &mut out);
        assert_eq!(told(&mut out), ["Anything else?", "Thanks."]);
        turns.begin("u3", &mut out);
        turns.begin("b3", &mut out);
        turns.said(utterance(Speaker::Bot, "b3", "Goodbye."), &mut out);
        turns.silent("u3", &mut out);
        assert_eq!(told(&mut out), ["Goodbye."]);
        for turn in 0..100 {
            turns.begin(&turn.to_string(), &mut out);
        }
        assert!(turns.0.len() <= WAITING && told(&mut out).is_empty());
    }

    #[test]
    fn of_a_sentence_that_was_cut_off_whole_words_are_left() {
        for (heard, left) in [
            (0, ""),
            (100, ""),
            (300, "Your"),
            (450, "Your order"),
            (500, "Your order"),
            (999, "Your order is on its"),
            (1000, "Your order is on its way."),
        ] {
            assert_eq!(heard_of("Your order is on its way.", heard, 1000), left, "{heard}");
        }
        assert_eq!(heard_of("您的订单正在路上", 500, 1000), "您的订单");
        assert_eq!(heard_of("", 5, 10), "");
    }
}
