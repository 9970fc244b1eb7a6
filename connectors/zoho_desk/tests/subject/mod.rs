//! Zoho Desk for the behaviour suite: its sandbox, how to look into it, and the error table.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use patchbay_kit::{About, Bytes, Connector, HeaderMap, Kind, RecordRef, Response, Retry, Settings, StatusCode};
use patchbay_sandbox::{Crm, zoho_desk};
use patchbay_testkit::{
    Credentials, sample,
    suite::{ErrorRow, Stored, Subject, What},
};

/// An organisation in one of the forms that the sources leave open.
pub(crate) struct ZohoDesk {
    form: fn(&mut zoho_desk::Settings),
}

impl ZohoDesk {
    pub(crate) fn like(form: fn(&mut zoho_desk::Settings)) -> Self {
        Self { form }
    }

    /// The sandbox, and a token for it.
    fn fresh(&self) -> (zoho_desk::ZohoDesk, String) {
        let mut sandbox = zoho_desk::ZohoDesk::new("client", "the-secret", "the-refresh-token");
        (self.form)(&mut sandbox.settings);
        let token = sandbox.grants.issue(1, sample::NOW).expect("a token").access_token;
        (sandbox, token)
    }
}

fn id(at: &RecordRef) -> u64 {
    let own = at.id.split_once(':').map_or(at.id.as_str(), |(_, comment)| comment);
    own.parse().unwrap_or(0)
}

impl Subject for ZohoDesk {
    type Sandbox = zoho_desk::ZohoDesk;

    fn build(&self) -> Arc<dyn Connector> {
        let mut settings = Settings::default();
        for (key, id) in
            [("org_id", zoho_desk::ZohoDesk::ORG_ID), ("department_id", zoho_desk::ZohoDesk::DEPARTMENT_ID)]
        {
            settings.text.insert(key.to_owned(), id.to_string());
        }
        assert_eq!(patchbay_zoho_desk::problems(&settings), [""; 0]);
        patchbay_zoho_desk::build(&settings)
    }

    fn sandbox(&self) -> Self::Sandbox {
        self.fresh().0
    }

    fn credentials(&self) -> Credentials {
        Credentials::of([("access_token", &self.fresh().1)])
    }

    fn errors(&self) -> Vec<ErrorRow> {
        errors()
    }

    fn count(&self, sandbox: &Self::Sandbox, what: What) -> usize {
        match what {
            What::Activity => sandbox.tickets().count(),
            What::Note => sandbox.tickets().map(|ticket| sandbox.comments_of(ticket.id).count()).sum(),
            What::Contact => sandbox.all_contacts().count(),
        }
    }

    fn stored(&self, sandbox: &Self::Sandbox, at: &RecordRef) -> Option<Stored> {
        if at.kind != "ticket" {
            let comment = sandbox.comment(id(at))?;
            let private = Some(!comment.public && comment.content_type == "html");
            return Some(Stored { body: Some(comment.content.clone()), private, ..Stored::default() });
        }
        let ticket = sandbox.ticket(id(at))?;
        Some(Stored {
            subject: Some(ticket.subject.clone()),
            body: ticket.description.clone(),
            agent: ticket.assignee_id.map(|id| id.to_string()),
            private: None,
        })
    }

    fn remove(&self, sandbox: &mut Self::Sandbox, at: &RecordRef, now: Timestamp) -> bool {
        match at.kind.as_str() {
            "ticket" => sandbox.change_ticket(id(at), now, |ticket| ticket.trashed = true),
            "contact" => sandbox.trash_contact(id(at), now),
            "agent" => sandbox.deactivate_agent(id(at)),
            _ => return false,
        }
        true
    }

    fn number_fields(&self) -> &'static [&'static str] {
        &["phone", "mobile"]
    }

    fn add_contact(&self, sandbox: &mut Self::Sandbox, field: &str, number: &str) -> RecordRef {
        let number = |of: &str| (field == of).then(|| number.to_owned());
        let id = sandbox.add_contact_with(|contact| {
            "A Caller".clone_into(&mut contact.last_name);
            contact.phone = number("phone");
            contact.mobile = number("mobile");
        });
        RecordRef::new("contact", id)
    }

    fn add_ticket(
        &self,
        sandbox: &mut Self::Sandbox,
        contact: &RecordRef,
        subject: &str,
        is_open: bool,
        now: Timestamp,
    ) -> RecordRef {
        let id = sandbox.add_ticket_with(contact.id.parse().expect("an id"), |ticket| {
            subject.clone_into(&mut ticket.subject);
            if is_open { "On Hold" } else { "Closed" }.clone_into(&mut ticket.status);
            ticket.created_at = now;
        });
        RecordRef::new("ticket", id)
    }

    fn add_agents(&self, sandbox: &mut Self::Sandbox, how_many: usize) -> Vec<RecordRef> {
        let from = sandbox.agents().count();
        (from..from + how_many)
            .map(|at| RecordRef::new("agent", sandbox.add_agent("An Agent", &format!("agent{at}@example.com"))))
            .collect()
    }

    /// A number can be two contacts', unless an administrator says otherwise.
    fn contacts_are_unique(&self) -> bool {
        let mut settings = zoho_desk::Settings::default();
        (self.form)(&mut settings);
        settings.unique_numbers
    }
}

fn reply(status: u16, body: &str) -> Response {
    Response {
        status: StatusCode::from_u16(status).expect("a status"),
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

/// A refusal with a code and no fields.
fn row(status: u16, code: &'static str, kind: Kind, retry: Retry, tells: &'static [&'static str]) -> ErrorRow {
    let body = format!(r#"{{"errorCode":"{code}","message":"It is wrong."}}"#);
    let code = (!code.is_empty()).then_some(code);
    ErrorRow { reply: reply(status, &body), kind, retry, code, about: None, tells }
}

/// A refusal of one field.
fn field(field: &str, error: &str, kind: Kind, tells: &'static [&'static str]) -> ErrorRow {
    let body = format!(
        r#"{{"errorCode":"INVALID_DATA","message":"It is wrong.",
            "errors":[{{"fieldName":"{field}","errorType":"{error}","errorMessage":""}}]}}"#
    );
    ErrorRow { reply: reply(422, &body), ..row(422, "INVALID_DATA", kind, Retry::Never, tells) }
}

/// Codes as in zoho/zohodesk-oas, v1.0, Common.json; bodies composed.
fn errors() -> Vec<ErrorRow> {
    let after = |code: &'static str, value: &'static str, seconds: u64, tells: &'static [&'static str]| {
        let mut row = row(429, code, Kind::RateLimited, Retry::After(Duration::from_secs(seconds)), tells);
        if !value.is_empty() {
            row.reply.headers.insert("retry-after", value.parse().expect("a header value"));
        }
        row
    };
    let bare = |status: u16, body: &str, kind: Kind, retry: Retry, tells: &'static [&'static str]| ErrorRow {
        reply: reply(status, body),
        ..row(status, "", kind, retry, tells)
    };
    let never = Retry::Never;
    vec![
        row(401, "INVALID_OAUTH", Kind::Unauthorized, Retry::AfterRefresh, &["access token", "It is wrong."]),
        row(401, "UNAUTHORIZED", Kind::Unauthorized, Retry::AfterRefresh, &["connect"]),
        row(403, "OAUTH_ORG_MISMATCH", Kind::Unauthorized, never, &["`org_id`"]),
        row(403, "SCOPE_MISMATCH", Kind::Forbidden, never, &["scope", "connect the integration again"]),
        row(403, "LICENSE_ACCESS_LIMITED", Kind::Forbidden, never, &["edition"]),
        row(403, "FORBIDDEN", Kind::Forbidden, never, &["administrator"]),
        row(403, "ONLY_LIVECHAT_USER", Kind::Forbidden, never, &["administrator"]),
        row(404, "URL_NOT_FOUND", Kind::NotFound, never, &[]),
        row(405, "METHOD_NOT_ALLOWED", Kind::Invalid, never, &[]),
        row(413, "RESOURCE_SIZE_EXCEEDED", Kind::Invalid, never, &[]),
        row(415, "UNSUPPORTED_MEDIA_TYPE", Kind::Invalid, never, &[]),
        row(422, "UNPROCESSABLE_ENTITY", Kind::Invalid, never, &["It is wrong."]),
        row(422, "EMPTY_PAYLOAD", Kind::Invalid, never, &[]),
        row(400, "BAD_REQUEST", Kind::Invalid, never, &[]),
        bare(400, "<html>", Kind::Invalid, never, &[]),
        ErrorRow { about: Some(About::Contact), ..field("/contactId", "invalid", Kind::Invalid, &["`contactId`"]) },
        ErrorRow { about: Some(About::Agent), ..field("/assigneeId", "invalid", Kind::Invalid, &["`assigneeId`"]) },
        field("/contactId", "missing", Kind::Invalid, &["`contactId` [missing]"]),
        field("/departmentId", "invalid", Kind::Invalid, &["correct `department_id`"]),
        field("/cf/cf_region", "missing", Kind::Invalid, &["set `defaults.cf.cf_region`", "optional"]),
        field("/cf_region", "missing", Kind::Invalid, &["set `defaults.cf.cf_region`"]),
        field("/customFields/cf_region", "invalid", Kind::Invalid, &["correct `defaults.cf.cf_region`"]),
        field("/priority", "missing", Kind::Invalid, &["set `defaults.priority`"]),
        field("/status", "invalid", Kind::Invalid, &["correct `defaults.status`"]),
        field("/email", "duplicate", Kind::Conflict, &["`email` [duplicate]"]),
        after("THRESHOLD_EXCEEDED", "3600", 3600, &["credits of the day"]),
        after("THRESHOLD_EXCEEDED", "", 900, &[]),
        after("THRESHOLD_EXCEEDED", "999999999", 24 * 3600, &[]),
        after("TOO_MANY_REQUESTS", "", 5, &["at once"]),
        after("TOO_MANY_REQUESTS", "-3", 5, &[]),
        after("TOO_MANY_REQUESTS", "soon", 5, &[]),
        after("", "30", 30, &[]),
        row(500, "INTERNAL_SERVER_ERROR", Kind::Unavailable, Retry::Backoff, &[]),
        bare(502, "<html>Bad Gateway</html>", Kind::Unavailable, Retry::Backoff, &[]),
        bare(503, "", Kind::Unavailable, Retry::Backoff, &[]),
        bare(418, "", Kind::Malformed, Retry::Backoff, &[]),
        bare(302, "", Kind::Unavailable, Retry::Backoff, &["`accounts_url`"]),
    ]
}
