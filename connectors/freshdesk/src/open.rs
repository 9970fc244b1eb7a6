//! What of a caller's is open: his tickets that nobody has resolved.

use patchbay_kit::{Exchange, OpenTickets, RecordRef, Request, Ticket};
use serde::Deserialize;

use crate::{Freshdesk, path};

/// Of his newest tickets so many are looked at for open ones: one request, and a small answer while he waits.
const LOOKED_AT: usize = 30;
/// Without `updated_since` only what was made within the last 30 days is listed ("Freshdesk API v2, Tickets: List All
/// Tickets" \[V\]); before this day there was no API to make one by.
const EVER: &str = "2015-01-01T00:00:00Z";

#[derive(Deserialize)]
struct Listed {
    id: u64,
    subject: Option<String>,
    status: u64,
}

/// "Freshdesk API v2, Tickets, ticket properties" \[V\]; other numbers are statuses of the account's own, whose names are
/// not listed with the tickets.
fn status(number: u64) -> Option<&'static str> {
    match number {
        3 => Some("Pending"),
        // Resolved and closed.
        4 | 5 => None,
        _ => Some("Open"),
    }
}

impl OpenTickets for Freshdesk {
    fn of(&self, contact: &RecordRef, most: usize) -> Option<Exchange<Vec<Ticket>>> {
        let request = Request::get("ticket.open", path(["tickets"]))
            .query("requester_id", &contact.id)
            .query("updated_since", EVER)
            .query("order_by", "created_at")
            .query("order_type", "desc")
            .query("per_page", LOOKED_AT)
            .query("page", 1);
        Some(request.done(move |reply| {
            let tickets: Vec<Listed> = reply.json()?;
            let open = tickets.into_iter().filter_map(|one| {
                Some(Ticket {
                    at: RecordRef::new("ticket", one.id),
                    number: None,
                    status: status(one.status)?.to_owned(),
                    subject: one.subject.unwrap_or_default(),
                })
            });
            Ok(open.take(most).collect())
        }))
    }
}
