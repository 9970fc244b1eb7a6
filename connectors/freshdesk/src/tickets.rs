//! A call's record: a ticket of the caller's, looked for in his own list, which does not lag, before it is made again.

use std::{sync::Arc, time::Duration};

use patchbay_kit::{
    About, Activities, CallActivity, Changed, Exchange, Failure, Kind, RecordRef, Request, Response, Retry, StatusCode,
    Step, Text, Updates, words,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Freshdesk, Id, PER_PAGE, defaults, id_value, path};

/// Pages of a caller's tickets that are looked through, newest first. Who has made 500 tickets since the day before
/// this call is no caller.
const PAGES: usize = 5;
/// How far Exotel's clock and Freshdesk's may disagree, time zones in the settings included.
const CLOCKS: Duration = Duration::from_secs(24 * 3600);

/// A deleted ticket cannot be written: 404, or by the rule for deleted records 405 \[M\].
const GONE: &[StatusCode] = &[StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];

#[derive(Deserialize)]
struct Listed {
    id: u64,
    description: Option<String>,
    description_text: Option<String>,
}

/// The list in which a lost ticket is looked for.
struct Search {
    requester: String,
    since: Option<String>,
    key: String,
}

impl Search {
    /// "Freshdesk API v2, Tickets: List All Tickets" \[V\]. A filter of the list sees a ticket at once; the search
    /// (`/search/tickets`) is minutes behind.
    fn page(self: Arc<Self>, number: usize) -> Exchange<Option<RecordRef>> {
        let mut request = Request::get("ticket.find", path(["tickets"]))
            .query("requester_id", &self.requester)
            .query("order_by", "created_at")
            .query("order_type", "desc")
            // Descriptions are listed on request only, at the price of two more requests of the budget.
            .query("include", "description")
            .query("per_page", PER_PAGE)
            .query("page", number);
        if let Some(since) = &self.since {
            request = request.query("updated_since", since);
        }
        request.then(move |reply| {
            let tickets: Vec<Listed> = reply.json()?;
            let holds = |text: &Option<String>| text.as_ref().is_some_and(|text| words::mentions(text, &self.key));
            if let Some(ticket) = tickets.iter().find(|one| holds(&one.description) || holds(&one.description_text)) {
                return Ok(Step::Done(Some(RecordRef::new("ticket", ticket.id))));
            }
            // A page that is not full is the last; the `link` header would say the same.
            if tickets.len() < PER_PAGE || number >= PAGES {
                return Ok(Step::Done(None));
            }
            Ok(Step::Then(Arc::clone(&self).page(number + 1)))
        })
    }
}

impl Activities for Freshdesk {
    /// Looks among the caller's tickets. Without `updated_since` Freshdesk lists the last 30 days only, which a
    /// delivery that was held for long can exceed.
    fn find(&self, call: &CallActivity) -> Option<Exchange<Option<RecordRef>>> {
        let requester = call.contact.as_ref()?.id.clone();
        let since = call.started_at.and_then(|at| at.checked_sub(CLOCKS).ok());
        let since = since.map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        Some(Arc::new(Search { requester, since, key: call.key.0.clone() }).page(1))
    }

    /// "Freshdesk API v2, Tickets: Create a Ticket" \[V\]. By `requester_id` only: by `phone`, Freshdesk would make a
    /// contact of its own for every writing of a number it does not know.
    fn create(&self, call: &CallActivity) -> Exchange<RecordRef> {
        let mut fields = Map::from_iter([
            ("subject".to_owned(), Value::from(call.subject.as_str())),
            ("description".to_owned(), Value::from(call.body.as_str())),
        ]);
        if let Some(contact) = &call.contact {
            fields.insert("requester_id".to_owned(), id_value(&contact.id));
        }
        if let Some(agent) = &call.agent {
            fields.insert("responder_id".to_owned(), id_value(&agent.id));
        }
        Request::post("ticket.create", path(["tickets"])).json(defaults::ticket(&self.defaults, fields)).done(made)
    }
}

impl Updates for Freshdesk {
    /// "Freshdesk API v2, Tickets: Update a Ticket" \[V\]; fields that are not sent stay.
    fn update(&self, at: &RecordRef, call: &CallActivity, changed: Changed) -> Exchange<RecordRef> {
        let mut fields = Map::new();
        if changed.subject {
            fields.insert("subject".to_owned(), Value::from(call.subject.as_str()));
        }
        if changed.body {
            fields.insert("description".to_owned(), Value::from(call.body.as_str()));
        }
        if let Some(agent) = call.agent.as_ref().filter(|_| changed.agent) {
            fields.insert("responder_id".to_owned(), id_value(&agent.id));
        }
        if let Some(contact) = call.contact.as_ref().filter(|_| changed.contact) {
            fields.insert("requester_id".to_owned(), id_value(&contact.id));
        }
        let path = path(["tickets", &at.id]);
        // Facts have no fields of their own here. An empty PUT would be refused, so the ticket is only looked at.
        let request = if fields.is_empty() {
            Request::get("ticket.show", path)
        } else {
            Request::put("ticket.update", path).json(Value::Object(fields))
        };
        let id = at.id.clone();
        request
            .done(move |reply| if GONE.contains(&reply.status) { Err(gone(&id)) } else { made(reply) })
            .accepting(GONE)
    }

    /// What agents have to say stands in notes.
    fn text(&self, _: &RecordRef) -> Option<Exchange<Text>> {
        None
    }
}

fn made(reply: &Response) -> Result<RecordRef, Failure> {
    let ticket: Id = reply.json()?;
    Ok(RecordRef::new("ticket", ticket.id))
}

/// The ticket is not there any more.
pub(crate) fn gone(id: &str) -> Failure {
    Failure::new(Kind::NotFound, Retry::Never)
        .about(About::Record)
        .because(format!("ticket {id} has been deleted in Freshdesk"))
}
