//! Zoho Desk with one fault at a time, and the cases that must see it.

mod subject;

use patchbay_kit::{Body, Contact, Contacts, Exchange, RecordRef, Request, Response, Step};
use patchbay_testkit::{broken, sample};
use serde_json::Value;
use subject::ZohoDesk;

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Writes comments that the caller can read.
    PublicComments,
    /// Leaves out whose tickets they are.
    ForgetsTheOrganisation,
    /// Takes the search's word that nobody is there.
    TrustsTheSearch,
    /// Takes the first of the caller's tickets for the call's.
    FindsAnything,
    /// Writes ids into the path as they come.
    LetsIdsSteer,
}

impl broken::Fault for Fault {
    fn everywhere(self) -> bool {
        matches!(self, Self::ForgetsTheOrganisation)
    }

    fn request(self, request: &mut Request) {
        match (self, &mut request.body) {
            (Self::ForgetsTheOrganisation, _) => request.headers.clear(),
            (Self::PublicComments, Body::Json(fields)) => {
                if let Some(public) = fields.get_mut("isPublic") {
                    *public = true.into();
                }
            }
            (Self::LetsIdsSteer, _) => {
                // What a server makes of an id that was not encoded: the part before what it knows as a separator.
                for segment in &mut request.path {
                    let end = segment.find(['/', '?', '#', '&']).unwrap_or(segment.len());
                    segment.truncate(end);
                }
            }
            _ => {}
        }
    }

    fn found(self, honest: Exchange<Option<RecordRef>>) -> Exchange<Option<RecordRef>> {
        if !matches!((self, honest.request.label), (Self::FindsAnything, "ticket.find")) {
            return honest;
        }
        let first = move |reply: &Response| {
            let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            let id = body.pointer("/data/0/id").and_then(Value::as_str);
            Ok(Step::Done(id.map(|id| RecordRef::new("ticket", id))))
        };
        honest.request.then(first).accepting(honest.accepts)
    }

    fn find_contacts(self, honest: &dyn Contacts, writings: &[String]) -> Exchange<Vec<Contact>> {
        match honest.search(&sample::number()) {
            Some(search) if matches!(self, Self::TrustsTheSearch) => search,
            _ => honest.find(writings),
        }
    }
}

#[test]
fn every_fault_is_seen() {
    broken::assert_seen(
        &ZohoDesk::like(|_| ()),
        &[
            (Fault::PublicComments, &["notes are private"]),
            (Fault::ForgetsTheOrganisation, &["right credentials are recognised"]),
            (Fault::TrustsTheSearch, &["a contact is found at once after it was made"]),
            (Fault::FindsAnything, &["another call's record is not found"]),
            (Fault::LetsIdsSteer, &["an id cannot reach another path"]),
        ],
    );
}
