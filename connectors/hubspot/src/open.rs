//! What of a caller's is open: the tickets he is associated with that no stage has closed.

use patchbay_kit::{Exchange, OpenTickets, RecordRef, Request, Safety, Ticket};
use serde::Deserialize;
use serde_json::json;

use crate::{HubSpot, batch::path};

#[derive(Deserialize)]
struct Found {
    results: Vec<Shown>,
}

#[derive(Deserialize)]
struct Shown {
    id: String,
    properties: Properties,
}

#[derive(Deserialize)]
struct Properties {
    subject: Option<String>,
    hs_pipeline: Option<String>,
    hs_pipeline_stage: Option<String>,
}

/// The stages of the support pipeline that every account begins with; a pipeline of its own has others, which only
/// another request would name.
fn status(of: &Properties) -> &'static str {
    match (of.hs_pipeline.as_deref(), of.hs_pipeline_stage.as_deref()) {
        (Some("0"), Some("1")) => "New",
        (Some("0"), Some("2")) => "Waiting on contact",
        (Some("0"), Some("3")) => "Waiting on us",
        _ => "Open",
    }
}

impl OpenTickets for HubSpot {
    /// "CRM search: search through associations" \[V\]. A ticket gets its `closed_date` when it comes to a stage that
    /// closes it, in whatever pipeline, and loses it when it is opened again \[M\].
    fn of(&self, contact: &RecordRef, most: usize) -> Option<Exchange<Vec<Ticket>>> {
        let his = json!({"propertyName": "associations.contact", "operator": "EQ", "value": contact.id});
        let open = json!({"propertyName": "closed_date", "operator": "NOT_HAS_PROPERTY"});
        let request = Request::post("ticket.search", path(["tickets", "search"])).safety(Safety::Read).json(json!({
            "filterGroups": [{"filters": [his, open]}],
            "properties": ["subject", "hs_pipeline", "hs_pipeline_stage"],
            "limit": most,
            "after": "0",
            "sorts": [{"propertyName": "createdate", "direction": "DESCENDING"}],
        }));
        Some(request.done(|reply| {
            let found: Found = reply.json()?;
            let ticket = |one: Shown| Ticket {
                at: RecordRef::new("ticket", one.id),
                number: None,
                status: status(&one.properties).to_owned(),
                subject: one.properties.subject.unwrap_or_default(),
            };
            Ok(found.results.into_iter().map(ticket).collect())
        }))
    }
}
