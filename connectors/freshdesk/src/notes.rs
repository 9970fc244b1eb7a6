//! Remarks on a call's ticket: private notes.

use std::sync::Arc;

use patchbay_kit::{
    CallActivity, Exchange, Failure, Kind, Note, Notes, RecordRef, Request, Response, Retry, StatusCode, Step, words,
};
use serde::Deserialize;
use serde_json::json;

use crate::{Freshdesk, Id, PER_PAGE, path, tickets::gone};

/// Pages of a ticket's conversation that are looked through. They come oldest first, and a recording follows its call
/// by minutes, so its note stands on the first.
const PAGES: usize = 5;
const GONE: &[StatusCode] = &[StatusCode::NOT_FOUND];

#[derive(Deserialize)]
struct Listed {
    id: u64,
    body: Option<String>,
    body_text: Option<String>,
    #[serde(default)]
    private: bool,
}

/// The conversation in which a lost note is looked for.
struct Search {
    ticket: String,
    key: String,
}

impl Search {
    /// "Freshdesk API v2, Tickets: List All Conversations of a Ticket" \[V\].
    fn page(self: Arc<Self>, number: usize) -> Exchange<Option<RecordRef>> {
        Request::get("note.find", path(["tickets", &self.ticket, "conversations"]))
            .query("per_page", PER_PAGE)
            .query("page", number)
            .then(move |reply| {
                if GONE.contains(&reply.status) {
                    return Err(gone(&self.ticket));
                }
                let entries: Vec<Listed> = reply.json()?;
                let holds = |text: &Option<String>| text.as_ref().is_some_and(|text| words::mentions(text, &self.key));
                // A public reply that quotes the CallSid is somebody else's.
                let note = entries.iter().find(|one| one.private && (holds(&one.body) || holds(&one.body_text)));
                if let Some(note) = note {
                    return Ok(Step::Done(Some(RecordRef::new("note", note.id))));
                }
                if entries.len() < PER_PAGE || number >= PAGES {
                    return Ok(Step::Done(None));
                }
                Ok(Step::Then(Arc::clone(&self).page(number + 1)))
            })
            .accepting(GONE)
    }
}

impl Notes for Freshdesk {
    fn find(&self, on: &RecordRef, _: &CallActivity, note: &Note) -> Option<Exchange<Option<RecordRef>>> {
        Some(Arc::new(Search { ticket: on.id.clone(), key: note.key.0.clone() }).page(1))
    }

    /// "Freshdesk API v2, Tickets: Create a Note" \[V\]. `private` is said although it is the default: a note that the
    /// caller can read would be a leak.
    fn create(&self, on: &RecordRef, _: &CallActivity, note: &Note) -> Exchange<RecordRef> {
        let ticket = on.id.clone();
        Request::post("note.create", path(["tickets", &ticket, "notes"]))
            .json(json!({"body": note.body, "private": true}))
            .done(move |reply| if GONE.contains(&reply.status) { Err(gone(&ticket)) } else { made(reply) })
            .accepting(GONE)
    }

    /// "Freshdesk API v2, Conversations: Update a conversation" \[V\]; only the notes of the key's own agent can be
    /// changed, others answer 403.
    fn update(&self, at: &RecordRef, _: &CallActivity, note: &Note) -> Exchange<RecordRef> {
        Request::put("note.update", path(["conversations", &at.id]))
            .json(json!({"body": note.body}))
            .done(|reply| {
                if GONE.contains(&reply.status) {
                    // Not `About::Record`: the call's own ticket may well be there.
                    return Err(Failure::new(Kind::NotFound, Retry::Never)
                        .because("the note has been deleted in Freshdesk, or its ticket"));
                }
                made(reply)
            })
            .accepting(GONE)
    }
}

fn made(reply: &Response) -> Result<RecordRef, Failure> {
    let note: Id = reply.json()?;
    Ok(RecordRef::new("note", note.id))
}
