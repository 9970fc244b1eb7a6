//! What of a caller's is open: his cases, or those of his account where he is one.

use patchbay_kit::{Exchange, OpenTickets, RecordRef, Ticket};
use serde::Deserialize;

use crate::{
    Salesforce,
    query::{Records, literal},
};

/// "Object Reference, Case" \[V\]
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    id: String,
    case_number: Option<String>,
    subject: Option<String>,
    status: Option<String>,
}

impl OpenTickets for Salesforce {
    /// A lead has no cases; who was found by a case of his is that case.
    fn of(&self, contact: &RecordRef, most: usize) -> Option<Exchange<Vec<Ticket>>> {
        let whose = match contact.kind.as_str() {
            "contact" => "ContactId",
            "account" => "AccountId",
            _ => return None,
        };
        let soql = format!(
            "SELECT Id, CaseNumber, Subject, Status FROM Case WHERE {whose} = {} AND IsClosed = false \
             ORDER BY CreatedDate DESC LIMIT {most}",
            literal(&contact.id)
        );
        Some(self.org.query("case.open", &soql).done(|reply| {
            let found: Records<Shown> = reply.json()?;
            let ticket = |one: Shown| Ticket {
                at: RecordRef::new("case", one.id),
                number: one.case_number.filter(|number| !number.is_empty()),
                subject: one.subject.unwrap_or_default(),
                status: one.status.unwrap_or_else(|| "Open".to_owned()),
            };
            Ok(found.records.into_iter().map(ticket).collect())
        }))
    }
}
