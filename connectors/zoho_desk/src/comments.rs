//! Private comments: remarks on a call's record, and missed calls on the ticket their caller has open.

use std::sync::Arc;

use patchbay_kit::{
    CallActivity, CallKey, Changed, Exchange, Failure, Kind, Note, Notes, RecordRef, Request, Response, Retry,
    StatusCode, Step, words,
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Api, PER_PAGE, ZohoDesk,
    errors::{self, On},
    path,
    tickets::{GONE, gone, refusal},
    wire::{self, Id},
};

/// The kind of a record that is a comment. Its id is the ticket's and its own, for neither is enough to reach it.
pub(crate) const CALL: &str = "comment";
const NOTE: &str = "note";

/// Pages of a ticket's comments that are looked through, newest first.
const PAGES: usize = 5;

/// A comment as a list shows it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listed {
    pub(crate) id: Id,
    content: Option<String>,
    #[serde(default, deserialize_with = "wire::maybe_true")]
    is_public: Option<bool>,
}

impl Listed {
    /// A public comment that quotes the CallSid is somebody else's.
    pub(crate) fn is_private_and_names(&self, key: &str) -> bool {
        self.is_public == Some(false) && self.content.as_ref().is_some_and(|text| words::mentions(text, key))
    }
}

#[derive(Deserialize)]
struct Made {
    id: Id,
}

/// A missed call's record.
pub(crate) fn call(ticket: &str, comment: &str) -> RecordRef {
    RecordRef::new(CALL, format!("{ticket}:{comment}"))
}

/// Ticket and comment of a record; a ticket has no comment.
fn parts(at: &RecordRef) -> (&str, &str) {
    at.id.split_once(':').unwrap_or((&at.id, ""))
}

/// "Ticket Comments: List all ticket comments" \[V\].
pub(crate) fn list(api: &Api, ticket: &str, sort_by: &str, from: usize) -> Request {
    api.to(Request::get("comment.find", path(["tickets", ticket, "comments"])))
        .query("sortBy", sort_by)
        .query("limit", PER_PAGE)
        .query("from", from)
}

/// "Ticket Comments: Create ticket comment" \[V\]. `isPublic` is said always: a comment that the caller can read would be
/// a leak.
fn create(api: &Api, ticket: &str, content: &str) -> Request {
    api.to(Request::post("comment.create", path(["tickets", ticket, "comments"]))).json(json!({
        "content": unmentioned(content),
        "contentType": "html",
        "isPublic": false,
    }))
}

/// "Ticket Comments: Update ticket comment" \[V\]; who did not write it and is no administrator may not.
fn change(api: &Api, at: &RecordRef, content: &str) -> Request {
    let (ticket, comment) = parts(at);
    let request = Request::patch("comment.update", path(["tickets", ticket, "comments", comment]));
    api.to(request).json(json!({"content": unmentioned(content), "contentType": "html", "isPublic": false}))
}

/// `zsu[@user:7]zsu` in a comment calls an agent to it ("Ticket Comments: Create ticket comment" \[V\]); a caller must not
/// be able to. The bracket as an entity looks the same and means nothing.
fn unmentioned(content: &str) -> String {
    content.replace("zsu[@", "zsu&#91;@")
}

/// A call's subject and body in one text.
fn text_of(call: &CallActivity) -> String {
    format!("<div><b>{}</b></div>{}", words::escaped(&call.subject), call.body)
}

/// Writes a missed call on an open ticket; where that cannot be commented on, `otherwise`.
pub(crate) fn add_call(
    api: &Api,
    ticket: &str,
    missed: &CallActivity,
    otherwise: Exchange<RecordRef>,
) -> Exchange<RecordRef> {
    let id = ticket.to_owned();
    create(api, ticket, &text_of(missed))
        .then(move |reply| {
            if !GONE.contains(&reply.status) {
                return Ok(Step::Done(call(&id, &reply.json::<Made>()?.id.0)));
            }
            if errors::field_errors(reply).is_empty() {
                return Ok(Step::Then(otherwise.clone()));
            }
            Err(errors::classify(reply, On::Ticket))
        })
        .accepting(GONE)
}

/// Writes a missed call again; whom it is assigned to is the ticket's affair.
pub(crate) fn change_call(api: &Api, at: &RecordRef, call: &CallActivity, changed: Changed) -> Exchange<RecordRef> {
    let (ticket, comment) = parts(at);
    let request = if changed.subject || changed.body {
        change(api, at, &text_of(call))
    } else {
        api.to(Request::get("comment.show", path(["tickets", ticket, "comments", comment])))
    };
    let (api, ticket, same) = (api.clone(), ticket.to_owned(), at.clone());
    request
        .then(move |reply| match refusal(reply, &api, &ticket)? {
            Some(look) => Ok(Step::Then(look)),
            None => reply.json::<Made>().map(|_| Step::Done(same.clone())),
        })
        .accepting(GONE)
}

/// The comments among which a lost note is looked for.
struct Search {
    api: Api,
    ticket: String,
    /// The comment that the note is on.
    apart_from: String,
    key: CallKey,
}

impl Search {
    fn page(self: Arc<Self>, number: usize) -> Exchange<Option<RecordRef>> {
        list(&self.api, &self.ticket, "-commentedTime", number * PER_PAGE)
            .then(move |reply| {
                if reply.status == StatusCode::NOT_FOUND {
                    return Err(gone());
                }
                let comments: Vec<Listed> = wire::items(reply)?;
                let is_it = |one: &&Listed| one.id.0 != self.apart_from && one.is_private_and_names(&self.key.0);
                if let Some(note) = comments.iter().find(is_it) {
                    return Ok(Step::Done(Some(RecordRef::new(NOTE, format!("{}:{}", self.ticket, note.id.0)))));
                }
                // A page that is not full is the last.
                if comments.len() < PER_PAGE || number + 1 >= PAGES {
                    return Ok(Step::Done(None));
                }
                Ok(Step::Then(Arc::clone(&self).page(number + 1)))
            })
            .accepting(&[StatusCode::NOT_FOUND])
    }
}

impl Notes for ZohoDesk {
    fn find(&self, on: &RecordRef, _: &CallActivity, note: &Note) -> Option<Exchange<Option<RecordRef>>> {
        let (ticket, comment) = parts(on);
        let (ticket, apart_from) = (ticket.to_owned(), comment.to_owned());
        Some(Arc::new(Search { api: self.api.clone(), ticket, apart_from, key: note.key.clone() }).page(0))
    }

    fn create(&self, on: &RecordRef, _: &CallActivity, note: &Note) -> Exchange<RecordRef> {
        let (api, ticket) = (self.api.clone(), parts(on).0.to_owned());
        create(&self.api, &ticket, &note.body)
            .then(move |reply| match refusal(reply, &api, &ticket)? {
                Some(look) => Ok(Step::Then(look)),
                None => {
                    let made: Made = reply.json()?;
                    Ok(Step::Done(RecordRef::new(NOTE, format!("{ticket}:{}", made.id.0))))
                }
            })
            .accepting(GONE)
    }

    fn update(&self, at: &RecordRef, _: &CallActivity, note: &Note) -> Exchange<RecordRef> {
        const NONE: &[StatusCode] = &[StatusCode::NOT_FOUND];
        let same = at.clone();
        let read = move |reply: &Response| {
            if NONE.contains(&reply.status) {
                // Not `About::Record`: the call's own ticket may well be there.
                return Err(Failure::new(Kind::NotFound, Retry::Never)
                    .because("the comment has been deleted in Zoho Desk, or its ticket"));
            }
            reply.json::<Made>().map(|_| same.clone())
        };
        change(&self.api, at, &note.body).done(read).accepting(NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_cannot_mention_an_agent() {
        assert_eq!(unmentioned("Name: zsu[@user:7]zsu <b>"), "Name: zsu&#91;@user:7]zsu <b>");
    }
}
