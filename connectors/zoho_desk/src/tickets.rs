//! A call's record: a ticket of the caller's, or, for a missed call of somebody who has an open ticket, a comment on
//! that.

use patchbay_kit::{
    About, Activities, CallActivity, Changed, Exchange, Failure, Kind, Outcome, RecordRef, Request, Response, Retry,
    StatusCode, Step, Text, Updates,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    Api, ZohoDesk, comments, defaults,
    errors::{self, On},
    hunt::{self, Hunt},
    path,
    wire::{self, Id},
};

/// Characters of a ticket's `phone` (\[S\] Ticket.json).
const PHONE_CHARS: usize = 120;

/// What a ticket in the recycle bin may answer to who writes it: no source says it \[M\].
pub(crate) const GONE: &[StatusCode] = &[StatusCode::NOT_FOUND, StatusCode::UNPROCESSABLE_ENTITY];

/// A ticket as it is shown after it was written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    id: Id,
    #[serde(default, deserialize_with = "wire::maybe_true")]
    is_trashed: Option<bool>,
    #[serde(default, deserialize_with = "wire::maybe_true")]
    is_deleted: Option<bool>,
}

impl ZohoDesk {
    /// "Tickets: Create a ticket" \[V\].
    fn new_ticket(&self, call: &CallActivity) -> Exchange<RecordRef> {
        let text = |text: &str| Value::from(text);
        let mut fields = Map::from_iter([
            ("subject".to_owned(), text(&call.subject)),
            ("description".to_owned(), text(&call.body)),
            ("departmentId".to_owned(), text(&self.api.department)),
        ]);
        if let Some(contact) = &call.contact {
            fields.insert("contactId".to_owned(), text(&contact.id));
        }
        if let Some(agent) = &call.agent {
            fields.insert("assigneeId".to_owned(), text(&agent.id));
        }
        if is_dialable(&call.customer.written) {
            fields.insert("phone".to_owned(), text(&call.customer.written));
        }
        let request = Request::post("ticket.create", path(["tickets"])).json(defaults::ticket(&self.defaults, fields));
        self.api.to(request).done(|reply| Ok(RecordRef::new("ticket", reply.json::<Shown>()?.id.0)))
    }
}

impl Activities for ZohoDesk {
    fn find(&self, call: &CallActivity) -> Option<Exchange<Option<RecordRef>>> {
        Some(Hunt::of(&self.api, call)?.begin())
    }

    /// A missed call goes to the caller's newest ticket that is not closed, where there is one: who is at it learns
    /// that he has called again.
    fn create(&self, call: &CallActivity) -> Exchange<RecordRef> {
        let new = self.new_ticket(call);
        let Some(contact) = call.contact.as_ref().filter(|_| call.outcome == Outcome::Missed) else { return new };
        let (api, call) = (self.api.clone(), call.clone());
        hunt::of_contact(&self.api, &contact.id, 0)
            .query("departmentId", &self.api.department)
            .then(move |reply| {
                let open = hunt::listed(reply)?.into_iter().find(hunt::Listed::is_open);
                Ok(Step::Then(match open {
                    Some(ticket) => comments::add_call(&api, &ticket.id.0, &call, new.clone()),
                    None => new.clone(),
                }))
            })
            .accepting(hunt::NOBODY)
    }
}

impl Updates for ZohoDesk {
    /// "Tickets: Update a ticket" \[V\]; fields that are not sent stay.
    fn update(&self, at: &RecordRef, call: &CallActivity, changed: Changed) -> Exchange<RecordRef> {
        if at.kind == comments::CALL {
            return comments::change_call(&self.api, at, call, changed);
        }
        let mut fields = Map::new();
        if changed.subject {
            fields.insert("subject".to_owned(), Value::from(call.subject.as_str()));
        }
        if changed.body {
            fields.insert("description".to_owned(), Value::from(call.body.as_str()));
        }
        if let Some(agent) = call.agent.as_ref().filter(|_| changed.agent) {
            fields.insert("assigneeId".to_owned(), Value::from(agent.id.as_str()));
        }
        if let Some(contact) = call.contact.as_ref().filter(|_| changed.contact) {
            fields.insert("contactId".to_owned(), Value::from(contact.id.as_str()));
        }
        // Facts have no fields of their own here. An empty PATCH would be refused, so the ticket is only looked at.
        if fields.is_empty() {
            return look(&self.api, &at.id, Ok);
        }
        let (api, id) = (self.api.clone(), at.id.clone());
        let request = Request::patch("ticket.update", path(["tickets", &at.id])).json(Value::Object(fields));
        self.api
            .to(request)
            .then(move |reply| match refusal(reply, &api, &id)? {
                Some(look) => Ok(Step::Then(look)),
                None => there(reply).map(Step::Done),
            })
            .accepting(GONE)
    }

    /// What agents have to say stands in comments.
    fn text(&self, _: &RecordRef) -> Option<Exchange<Text>> {
        None
    }
}

/// What to make of a refusal to write to a ticket; `None` where it is none. A refusal that names no field may be because
/// the ticket is in the recycle bin: it is looked at.
pub(crate) fn refusal<T: 'static>(reply: &Response, api: &Api, ticket: &str) -> Result<Option<Exchange<T>>, Failure> {
    match reply.status {
        StatusCode::NOT_FOUND => Err(gone()),
        StatusCode::UNPROCESSABLE_ENTITY => {
            let failure = errors::classify(reply, On::Ticket);
            if !errors::field_errors(reply).is_empty() {
                return Err(failure);
            }
            Ok(Some(look(api, ticket, move |_| Err(failure.clone()))))
        }
        _ => Ok(None),
    }
}

/// Looks at a ticket: gone, or there, and then what `then` says.
fn look<T>(api: &Api, id: &str, then: impl Fn(RecordRef) -> Result<T, Failure> + Send + Sync + 'static) -> Exchange<T> {
    api.to(Request::get("ticket.show", path(["tickets", id])))
        .done(move |reply| match reply.status {
            StatusCode::NOT_FOUND => Err(gone()),
            StatusCode::UNPROCESSABLE_ENTITY => Err(errors::classify(reply, On::Ticket)),
            _ => there(reply).and_then(&then),
        })
        .accepting(GONE)
}

/// The ticket that a reply shows, unless it shows it in the recycle bin.
fn there(reply: &Response) -> Result<RecordRef, Failure> {
    let ticket: Shown = reply.json()?;
    if ticket.is_trashed == Some(true) || ticket.is_deleted == Some(true) {
        return Err(gone());
    }
    Ok(RecordRef::new("ticket", ticket.id.0))
}

/// The ticket is not there any more. Its id is of many digits and would be masked like a number, so it is not named.
pub(crate) fn gone() -> Failure {
    Failure::new(Kind::NotFound, Retry::Never)
        .about(About::Record)
        .because("the call's ticket has been deleted in Zoho Desk")
}

/// Whether the caller's side can stand in a ticket's `phone` (\[S\] Ticket.json, pattern of `phone`); a withheld number or
/// an odd SIP address would have the whole ticket refused.
fn is_dialable(customer: &str) -> bool {
    let fits = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "_+-.$@?,;:'/! ".contains(c);
    !customer.is_empty() && customer.chars().count() <= PHONE_CHARS && customer.chars().all(fits)
}
