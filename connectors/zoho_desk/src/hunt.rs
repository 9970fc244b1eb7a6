//! The hunt for a call whose record may or may not have been made: no search, which may be hours behind.
//!
//! Lists show a ticket at once but not its description, which alone names the call. So the caller's tickets are
//! listed, and those made nearest to the call are opened one by one; then the comments on his open tickets are read,
//! for a missed call may be one of those.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use jiff::Timestamp;
use patchbay_kit::{CallActivity, Exchange, Failure, RecordRef, Request, Response, StatusCode, Step, words};
use serde::Deserialize;

use crate::{
    Api, PER_PAGE, comments, path,
    wire::{self, Id},
};

/// Pages of the caller's tickets, newest first.
const PAGES: usize = 3;
/// Pages of the department's.
const DEPARTMENT_PAGES: usize = 2;
/// Tickets that are opened. Of those made nearest to the call, more than a few are an accident.
const OPENED: usize = 10;
/// Open tickets whose comments are read.
const COMMENTED: usize = 3;
/// How far Exotel's clock and Zoho's may disagree, time zones in the settings included.
const CLOCKS: Duration = Duration::from_secs(24 * 3600);

/// What the list of a contact's tickets answers for one who is gone. Not 403: without the right to look, nobody can say
/// that there is nothing.
pub(crate) const NOBODY: &[StatusCode] = &[StatusCode::NOT_FOUND, StatusCode::UNPROCESSABLE_ENTITY];
/// What the department's list may answer too, and a ticket that went into the recycle bin or another department.
const NOT_TO_BE_SEEN: &[StatusCode] = &[StatusCode::FORBIDDEN, StatusCode::NOT_FOUND, StatusCode::UNPROCESSABLE_ENTITY];

/// A ticket as a list shows it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listed {
    pub(crate) id: Id,
    #[serde(default, deserialize_with = "wire::maybe_id")]
    contact_id: Option<Id>,
    #[serde(default, deserialize_with = "wire::maybe_time")]
    created_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "wire::maybe_id")]
    pub(crate) ticket_number: Option<Id>,
    pub(crate) subject: Option<String>,
    pub(crate) status: Option<String>,
    /// `Open`, `On Hold`, `Closed`: whatever the organisation calls its statuses.
    status_type: Option<String>,
    #[serde(default, deserialize_with = "wire::count")]
    comment_count: u64,
}

impl Listed {
    /// Whether somebody is still at it; one on hold is.
    pub(crate) fn is_open(&self) -> bool {
        let status = self.status_type.as_deref().or(self.status.as_deref()).unwrap_or_default();
        !status.eq_ignore_ascii_case("closed")
    }
}

/// "Contacts: List tickets by contact" \[V\]: newest first, whatever department they are in now.
pub(crate) fn of_contact(api: &Api, contact: &str, from: usize) -> Request {
    tickets_of("ticket.find", api, contact, from)
}

/// The same, for another purpose.
pub(crate) fn tickets_of(label: &'static str, api: &Api, contact: &str, from: usize) -> Request {
    api.to(Request::get(label, path(["contacts", contact, "tickets"])))
        .query("sortBy", "-createdTime")
        .query("limit", PER_PAGE)
        .query("from", from)
}

/// Tickets, or none where there is no list.
pub(crate) fn listed(reply: &Response) -> Result<Vec<Listed>, Failure> {
    if NOT_TO_BE_SEEN.contains(&reply.status) { Ok(Vec::new()) } else { wire::items(reply) }
}

/// A ticket opened.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Opened {
    description: Option<String>,
    #[serde(default, deserialize_with = "wire::maybe_true")]
    is_trashed: Option<bool>,
}

/// Which call is hunted for, and where.
pub(crate) struct Hunt {
    api: Api,
    contact: String,
    key: String,
    started_at: Option<Timestamp>,
}

impl Hunt {
    pub(crate) fn of(api: &Api, call: &CallActivity) -> Option<Arc<Self>> {
        let contact = call.contact.as_ref()?.id.clone();
        Some(Arc::new(Self { api: api.clone(), contact, key: call.key.0.clone(), started_at: call.started_at }))
    }

    pub(crate) fn begin(self: Arc<Self>) -> Exchange<Option<RecordRef>> {
        self.caller(0, Vec::new())
    }

    /// Whether a ticket cannot be older than the call.
    fn may_be(&self, ticket: &Listed) -> bool {
        let since = self.started_at.and_then(|at| at.checked_sub(CLOCKS).ok());
        since.zip(ticket.created_time).is_none_or(|(since, made)| made >= since)
    }

    /// Whether the next page may hold it: this one is full, and its last ticket not too old.
    fn goes_on(&self, page: &[Listed]) -> bool {
        page.len() >= PER_PAGE && page.last().is_some_and(|last| self.may_be(last))
    }

    /// The caller's own list, page by page.
    fn caller(self: Arc<Self>, page: usize, seen: Vec<Listed>) -> Exchange<Option<RecordRef>> {
        of_contact(&self.api, &self.contact, page * PER_PAGE)
            .then(move |reply| {
                let tickets = listed(reply)?;
                let more = self.goes_on(&tickets);
                let mut seen = seen.clone();
                add(&mut seen, tickets);
                let next = page + 1;
                Ok(Step::Then(if more && next < PAGES {
                    Arc::clone(&self).caller(next, seen)
                } else {
                    Arc::clone(&self).department(0, seen)
                }))
            })
            .accepting(NOBODY)
    }

    /// The newest of the department, among which a ticket made a moment ago is: "Tickets: List all tickets" \[V\]. The
    /// caller's own list may come from the search, whose scope it names \[S\]; this one has been seen to know at once \[C\].
    fn department(self: Arc<Self>, page: usize, seen: Vec<Listed>) -> Exchange<Option<RecordRef>> {
        self.api
            .to(Request::get("ticket.list", path(["tickets"])))
            .query("departmentId", &self.api.department)
            .query("sortBy", "-createdTime")
            .query("limit", PER_PAGE)
            .query("from", page * PER_PAGE)
            .then(move |reply| {
                let tickets = listed(reply)?;
                let more = self.goes_on(&tickets);
                let mut seen = seen.clone();
                let his = |ticket: &Listed| ticket.contact_id.as_ref().is_some_and(|id| id.0 == self.contact);
                add(&mut seen, tickets.into_iter().filter(his).collect());
                let next = page + 1;
                if more && next < DEPARTMENT_PAGES {
                    return Ok(Step::Then(Arc::clone(&self).department(next, seen)));
                }
                Ok(Arc::clone(&self).next(self.likely(&seen), self.commented(&seen)))
            })
            .accepting(NOT_TO_BE_SEEN)
    }

    /// Those to open, the likeliest first: made nearest to the call; of the same second, the earlier.
    fn likely(&self, seen: &[Listed]) -> Vec<String> {
        let mut likely: Vec<&Listed> = seen.iter().filter(|ticket| self.may_be(ticket)).collect();
        let distance = |ticket: &Listed| {
            self.started_at.zip(ticket.created_time).map(|(call, made)| made.duration_since(call).abs())
        };
        likely.sort_by_key(|ticket| (distance(ticket), ticket.id.0.len(), ticket.id.0.clone()));
        likely.into_iter().take(OPENED).map(|ticket| ticket.id.0.clone()).collect()
    }

    /// Open tickets with comments, the newest first.
    fn commented(&self, seen: &[Listed]) -> Vec<String> {
        let mut open: Vec<&Listed> =
            seen.iter().filter(|ticket| ticket.is_open() && ticket.comment_count > 0).collect();
        open.sort_by_key(|ticket| Reverse(ticket.created_time));
        open.into_iter().take(COMMENTED).map(|ticket| ticket.id.0.clone()).collect()
    }

    /// Opens the first of `tickets`; when there is none left, reads the comments on the first of `commented`.
    fn next(self: Arc<Self>, mut tickets: Vec<String>, mut commented: Vec<String>) -> Step<Option<RecordRef>> {
        if !tickets.is_empty() {
            let id = tickets.remove(0);
            return Step::Then(self.open(id, tickets, commented));
        }
        if commented.is_empty() {
            return Step::Done(None);
        }
        let id = commented.remove(0);
        Step::Then(self.read(id, commented))
    }

    fn open(self: Arc<Self>, id: String, tickets: Vec<String>, commented: Vec<String>) -> Exchange<Option<RecordRef>> {
        self.api
            .to(Request::get("ticket.show", path(["tickets", &id])))
            .then(move |reply| {
                if !NOT_TO_BE_SEEN.contains(&reply.status) {
                    let ticket: Opened = reply.json()?;
                    let names = ticket.description.is_some_and(|text| words::mentions(&text, &self.key));
                    if names && ticket.is_trashed != Some(true) {
                        return Ok(Step::Done(Some(RecordRef::new("ticket", &id))));
                    }
                }
                Ok(Arc::clone(&self).next(tickets.clone(), commented.clone()))
            })
            .accepting(NOT_TO_BE_SEEN)
    }

    /// One page, oldest first: what follows a call's comment are the notes on it.
    fn read(self: Arc<Self>, id: String, commented: Vec<String>) -> Exchange<Option<RecordRef>> {
        comments::list(&self.api, &id, "-commentedTime", 0)
            .then(move |reply| {
                if !NOT_TO_BE_SEEN.contains(&reply.status) {
                    let mut found = wire::items::<comments::Listed>(reply)?;
                    found.retain(|comment| comment.is_private_and_names(&self.key));
                    if let Some(first) = found.last() {
                        return Ok(Step::Done(Some(comments::call(&id, &first.id.0))));
                    }
                }
                Ok(Arc::clone(&self).next(Vec::new(), commented.clone()))
            })
            .accepting(NOT_TO_BE_SEEN)
    }
}

fn add(seen: &mut Vec<Listed>, tickets: Vec<Listed>) {
    for ticket in tickets {
        if seen.iter().all(|other| other.id != ticket.id) {
            seen.push(ticket);
        }
    }
}
