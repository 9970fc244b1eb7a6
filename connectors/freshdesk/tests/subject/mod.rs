//! Freshdesk for the behaviour suite: its sandbox, how to look into it, and the error table.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use patchbay_kit::{About, Bytes, Connector, HeaderMap, Kind, RecordRef, Response, Retry, Settings, StatusCode};
use patchbay_sandbox::freshdesk;
use patchbay_testkit::{
    Credentials,
    suite::{ErrorRow, Stored, Subject, What},
};

pub(crate) struct Freshdesk {
    /// A 409 names the contact that is there already; no public sample shows it, so both must do.
    pub(crate) conflict_names_holder: bool,
}

fn id(at: &RecordRef) -> u64 {
    at.id.parse().unwrap_or(0)
}

impl Subject for Freshdesk {
    type Sandbox = freshdesk::Freshdesk;

    fn build(&self) -> Arc<dyn Connector> {
        patchbay_freshdesk::build(&Settings::default())
    }

    fn sandbox(&self) -> Self::Sandbox {
        let mut sandbox = freshdesk::Freshdesk::new("the-key-of-the-admin");
        sandbox.settings.conflict_names_holder = self.conflict_names_holder;
        sandbox
    }

    fn credentials(&self) -> Credentials {
        Credentials::of([("api_key", "the-key-of-the-admin")])
    }

    fn errors(&self) -> Vec<ErrorRow> {
        errors()
    }

    fn count(&self, sandbox: &Self::Sandbox, what: What) -> usize {
        match what {
            What::Activity => sandbox.tickets().count(),
            What::Note => sandbox.tickets().map(|ticket| sandbox.conversations(ticket.id).len()).sum(),
            What::Contact => sandbox.contacts().count(),
        }
    }

    fn stored(&self, sandbox: &Self::Sandbox, at: &RecordRef) -> Option<Stored> {
        if at.kind == "note" {
            let note =
                sandbox.tickets().flat_map(|ticket| sandbox.conversations(ticket.id)).find(|note| note.id == id(at))?;
            return Some(Stored {
                body: Some(note.body.clone()),
                private: Some(note.private && !note.incoming),
                ..Stored::default()
            });
        }
        let ticket = sandbox.ticket(id(at))?;
        Some(Stored {
            subject: Some(ticket.subject.clone()),
            body: Some(ticket.description.clone()),
            agent: ticket.responder_id.map(|id| id.to_string()),
            private: None,
        })
    }

    fn remove(&self, sandbox: &mut Self::Sandbox, at: &RecordRef, now: Timestamp) -> bool {
        match at.kind.as_str() {
            "ticket" => sandbox.change_ticket(id(at), now, |ticket| ticket.deleted = true),
            "contact" => sandbox.soft_delete_contact(id(at), now),
            "agent" => sandbox.deactivate_agent(id(at)),
            _ => return false,
        }
        true
    }

    fn number_fields(&self) -> &'static [&'static str] {
        &["mobile", "phone"]
    }

    fn add_contact(&self, sandbox: &mut Self::Sandbox, field: &str, number: &str) -> RecordRef {
        let number = |of: &str| (field == of).then_some(number);
        RecordRef::new("contact", sandbox.add_contact("A Caller", number("mobile"), number("phone")))
    }

    fn add_ticket(
        &self,
        sandbox: &mut Self::Sandbox,
        contact: &RecordRef,
        subject: &str,
        is_open: bool,
        now: Timestamp,
    ) -> RecordRef {
        let ticket = sandbox.add_ticket_with(id(contact), |ticket| {
            subject.clone_into(&mut ticket.subject);
            ticket.status = if is_open { 3 } else { 4 };
            (ticket.created_at, ticket.updated_at) = (now, now);
        });
        RecordRef::new("ticket", ticket)
    }

    fn add_agents(&self, sandbox: &mut Self::Sandbox, how_many: usize) -> Vec<RecordRef> {
        let from = 81_000_000_000 + sandbox.agents().count() as u64;
        (from..)
            .take(how_many)
            .map(|id| RecordRef::new("agent", sandbox.add_agent("An Agent", &format!("agent{id}@example.com"), id)))
            .collect()
    }
}

fn reply(status: u16, body: &str) -> Response {
    Response {
        status: StatusCode::from_u16(status).expect("a status"),
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn row(status: u16, body: &str, kind: Kind, retry: Retry, code: Option<&'static str>) -> ErrorRow {
    ErrorRow { reply: reply(status, body), kind, retry, code, about: None, tells: &[] }
}

fn field(status: u16, field: &str, code: &'static str, kind: Kind, tells: &'static [&'static str]) -> ErrorRow {
    let body = format!(
        r#"{{"description":"Validation failed","errors":[{{"field":"{field}","message":"It is wrong","code":"{code}"}}]}}"#
    );
    ErrorRow { tells, ..row(status, &body, kind, Retry::Never, Some(code)) }
}

/// Bodies as in "Freshdesk API v2, Errors", composed.
fn errors() -> Vec<ErrorRow> {
    let after = |value: &'static str, seconds: f64| {
        let mut row = row(
            429,
            r#"{"message":"You have exceeded the limit of requests per minute"}"#,
            Kind::RateLimited,
            Retry::After(Duration::from_secs_f64(seconds)),
            None,
        );
        if !value.is_empty() {
            row.reply.headers.insert("retry-after", value.parse().expect("a header value"));
        }
        row
    };
    vec![
        ErrorRow {
            tells: &["API key", "api_key"],
            ..row(
                401,
                r#"{"code":"invalid_credentials","message":"You have to be logged in to perform this action."}"#,
                Kind::Unauthorized,
                Retry::Never,
                Some("invalid_credentials"),
            )
        },
        ErrorRow {
            tells: &["administrator"],
            ..row(
                403,
                r#"{"code":"access_denied","message":"You are not authorized to perform this action."}"#,
                Kind::Forbidden,
                Retry::Never,
                Some("access_denied"),
            )
        },
        row(403, r#"{"code":"require_feature"}"#, Kind::Forbidden, Retry::Never, Some("require_feature")),
        row(403, r#"{"code":"account_suspended"}"#, Kind::Unauthorized, Retry::Never, Some("account_suspended")),
        row(404, "", Kind::NotFound, Retry::Never, None),
        field(
            400,
            "cf_region",
            "missing_field",
            Kind::Invalid,
            &["`cf_region`", "defaults.custom_fields.cf_region", "set"],
        ),
        field(400, "custom_fields.cf_x", "missing_field", Kind::Invalid, &["`defaults.custom_fields.cf_x`"]),
        field(400, "group_id", "missing_field", Kind::Invalid, &["`defaults.group_id`", "missing_field"]),
        field(400, "cf_gone", "invalid_field", Kind::Invalid, &["remove `defaults.custom_fields.cf_gone`"]),
        field(400, "status", "invalid_value", Kind::Invalid, &["correct `defaults.status`", "It is wrong"]),
        field(400, "priority", "datatype_mismatch", Kind::Invalid, &["correct `defaults.priority`"]),
        ErrorRow {
            about: Some(About::Contact),
            ..field(400, "requester_id", "invalid_value", Kind::Invalid, &["requester_id"])
        },
        ErrorRow {
            about: Some(About::Agent),
            ..field(400, "responder_id", "invalid_value", Kind::Invalid, &["responder_id"])
        },
        field(400, "requester_id", "missing_field", Kind::Invalid, &["requester_id"]),
        field(409, "unique_external_id", "duplicate_value", Kind::Conflict, &["unique_external_id"]),
        field(400, "unique_external_id", "duplicate_value", Kind::Conflict, &["unique_external_id"]),
        row(400, r#"{"code":"invalid_json","message":"x"}"#, Kind::Invalid, Retry::Never, Some("invalid_json")),
        row(400, "<html>", Kind::Invalid, Retry::Never, None),
        row(405, r#"{"message":"PUT method is not allowed."}"#, Kind::Invalid, Retry::Never, None),
        row(415, r#"{"code":"invalid_content_type"}"#, Kind::Invalid, Retry::Never, Some("invalid_content_type")),
        after("30", 30.0),
        after("2.5", 2.5),
        after("", 60.0),
        after("soon", 60.0),
        after("-3", 60.0),
        after("999999999", 3600.0),
        row(500, "", Kind::Unavailable, Retry::Backoff, None),
        row(502, "<html>Bad Gateway</html>", Kind::Unavailable, Retry::Backoff, None),
        row(503, "", Kind::Unavailable, Retry::Backoff, None),
        row(418, "", Kind::Malformed, Retry::Backoff, None),
        ErrorRow { tells: &["`domain`"], ..row(302, "", Kind::Unavailable, Retry::Backoff, None) },
    ]
}
