//! Recording and duration: one more private message, for the call's own cannot be edited.

use std::sync::Arc;

use patchbay_kit::{CallActivity, Exchange, Note, Notes, RecordRef, Step};

use crate::{
    Freshchat, NOT_FOUND,
    conversations::{Shown, show},
    errors::{classify, gone, speaks},
    messages::{LOOKS, at, conversation_of, say_for, say_once, too_long},
    scan::{Ended, Scan, Want},
};

/// What a message is to a note.
const NOTE: &str = "note";

fn author(of: &CallActivity) -> Option<String> {
    of.agent.as_ref().map(|agent| agent.id.clone())
}

impl Notes for Freshchat {
    /// By its whole text: its CallSid stands in the call's own message, too.
    fn find(&self, on: &RecordRef, of: &CallActivity, note: &Note) -> Option<Exchange<Option<RecordRef>>> {
        let id = conversation_of(on).to_owned();
        let key = note.key.0.clone();
        let scan = Scan { conversation: id.clone(), want: Want::Text(note.body.clone()), since: of.started_at };
        Some(scan.read(LOOKS, move |ended, _| match ended {
            Ended::Found(message) => Ok(Step::Done(Some(at(NOTE, &id, Some(&message))))),
            Ended::NotThere => Ok(Step::Done(None)),
            Ended::Gone => Err(gone()),
            Ended::TooLong => Err(too_long(&key)),
        }))
    }

    /// In the name of the call's agent, else of the conversation's, else of the one who stands in.
    fn create(&self, on: &RecordRef, of: &CallActivity, note: &Note) -> Exchange<RecordRef> {
        let (account, id, text) = (Arc::clone(&self.account), conversation_of(on).to_owned(), note.body.clone());
        if let Some(agent) = author(of) {
            return say_for(&account, NOTE, &id, &text, Some(&agent));
        }
        show(&id)
            .then(move |reply| {
                if NOT_FOUND.contains(&reply.status) {
                    return Err(if speaks(reply) { gone() } else { classify(reply) });
                }
                let shown: Shown = reply.json()?;
                Ok(Step::Then(say_for(&account, NOTE, &id, &text, shown.agent())))
            })
            .accepting(NOT_FOUND)
    }

    /// A correction is one more message.
    fn update(&self, at: &RecordRef, of: &CallActivity, note: &Note) -> Exchange<RecordRef> {
        say_once(&self.account, NOTE, conversation_of(at), &note.body, author(of), of.started_at)
    }
}
