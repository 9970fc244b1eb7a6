//! What of a caller's is open: his tickets that are not closed.

use patchbay_kit::{Exchange, OpenTickets, RecordRef, Ticket};

use crate::{ZohoDesk, hunt};

impl OpenTickets for ZohoDesk {
    /// Whatever department they are in: it is the same caller.
    fn of(&self, contact: &RecordRef, most: usize) -> Option<Exchange<Vec<Ticket>>> {
        let request = hunt::tickets_of("ticket.open", &self.api, &contact.id, 0);
        let read = move |reply: &patchbay_kit::Response| {
            let open = hunt::listed(reply)?.into_iter().filter(hunt::Listed::is_open);
            Ok(open.take(most).map(Ticket::from).collect())
        };
        Some(request.done(read).accepting(hunt::NOBODY))
    }
}

impl From<hunt::Listed> for Ticket {
    fn from(listed: hunt::Listed) -> Self {
        Self {
            at: RecordRef::new("ticket", listed.id.0),
            number: listed.ticket_number.map(|number| number.0),
            subject: listed.subject.unwrap_or_default(),
            status: listed.status.unwrap_or_else(|| "Open".to_owned()),
        }
    }
}
