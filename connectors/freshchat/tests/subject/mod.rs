//! Freshchat for the behaviour suite: its sandbox, how to look into it, and the error table.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use patchbay_kit::{About, Bytes, Connector, HeaderMap, Kind, RecordRef, Response, Retry, Settings, StatusCode};
use patchbay_sandbox::{Crm as _, freshchat};
use patchbay_testkit::{
    Credentials,
    suite::{ErrorRow, Stored, Subject, What},
};

const TOKEN: &str = "the-token-of-the-admin";

/// An account in one of the forms that are not known.
pub(crate) struct Freshchat(pub(crate) freshchat::Settings);

impl Subject for Freshchat {
    type Sandbox = freshchat::Freshchat;

    fn build(&self) -> Arc<dyn Connector> {
        let text = [("channel_id".to_owned(), freshchat::CHANNEL.to_owned())].into();
        patchbay_freshchat::build(&Settings { text, ..Settings::default() })
    }

    fn sandbox(&self) -> Self::Sandbox {
        let mut sandbox = freshchat::Freshchat::new(TOKEN);
        sandbox.settings = self.0.clone();
        sandbox
    }

    fn credentials(&self) -> Credentials {
        Credentials::of([("api_key", TOKEN)])
    }

    fn errors(&self) -> Vec<ErrorRow> {
        errors()
    }

    fn count(&self, sandbox: &Self::Sandbox, what: What) -> usize {
        assert!(sandbox.told_customers().is_empty(), "a customer was told of a call");
        // Both are messages; only a note speaks of a recording.
        let speaks = |recording: bool| {
            sandbox.messages().filter(|(_, one)| one.text().contains("Call Recording") == recording).count()
        };
        match what {
            What::Activity => speaks(false),
            What::Note => speaks(true),
            What::Contact => sandbox.users().count(),
        }
    }

    fn stored(&self, sandbox: &Self::Sandbox, at: &RecordRef) -> Option<Stored> {
        let (conversation, id) = at.id.split_once(':')?;
        let (conversation, message) =
            sandbox.messages().find(|(one, message)| one.id == conversation && message.id == id)?;
        let (text, private) = (message.text(), Some(message.is_private()));
        if at.kind == "note" {
            return Some(Stored { body: Some(text), private, ..Stored::default() });
        }
        let (subject, body) = text.split_once('\n')?;
        Some(Stored {
            subject: Some(subject.to_owned()),
            body: Some(body.to_owned()),
            agent: conversation.assigned_agent_id.clone(),
            private,
        })
    }

    fn remove(&self, sandbox: &mut Self::Sandbox, at: &RecordRef, _: Timestamp) -> bool {
        match at.kind.as_str() {
            "message" => sandbox.delete_conversation(at.id.split(':').next().unwrap_or_default()),
            "user" => sandbox.delete_user(&at.id),
            "agent" => sandbox.deactivate_agent(&at.id),
            _ => return false,
        }
        true
    }

    fn number_fields(&self) -> &'static [&'static str] {
        &["phone"]
    }

    fn add_contact(&self, sandbox: &mut Self::Sandbox, _: &str, number: &str) -> RecordRef {
        let id = sandbox.add_user(|user| {
            "A Caller".clone_into(&mut user.first_name);
            user.phone = Some(number.to_owned());
        });
        RecordRef::new("user", id)
    }

    fn add_agents(&self, sandbox: &mut Self::Sandbox, how_many: usize) -> Vec<RecordRef> {
        (0..how_many)
            .map(|at| RecordRef::new("agent", sandbox.add_agent("An Agent", &format!("agent{at}@example.com"))))
            .collect()
    }

    fn appends(&self) -> bool {
        true
    }
}

fn row(status: u16, body: &str, kind: Kind, retry: Retry, code: Option<&'static str>) -> ErrorRow {
    let reply = Response {
        status: StatusCode::from_u16(status).expect("a status"),
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    };
    ErrorRow { reply, kind, retry, code, about: None, tells: &[] }
}

/// A body in the documented form.
fn said(status: u16, word: &'static str, message: &str, kind: Kind, tells: &'static [&'static str]) -> ErrorRow {
    let body = format!(r#"{{"code":{status},"status":"{word}","message":"{message}"}}"#);
    ErrorRow { tells, ..row(status, &body, kind, Retry::Never, Some(word)) }
}

/// Bodies as in "Freshchat API, Response message", composed; the older form as others' code reads it.
fn errors() -> Vec<ErrorRow> {
    let after = |value: &'static str, seconds: f64| {
        let body = r#"{"code":429,"status":"TOO_MANY_REQUESTS","message":"Too Many Requests"}"#;
        let wait = Retry::After(Duration::from_secs_f64(seconds));
        let mut row = row(429, body, Kind::RateLimited, wait, Some("TOO_MANY_REQUESTS"));
        if !value.is_empty() {
            row.reply.headers.insert("retry-after", value.parse().expect("a header value"));
        }
        row
    };
    let about = |about, row| ErrorRow { about: Some(about), ..row };
    let older = r#"{"error":"USER_NOT_FOUND","detail":"user not found","code":404,"more_info":"https://x"}"#;
    vec![
        said(401, "UNAUTHENTICATED", "expired", Kind::Unauthorized, &["API token", "`api_key`", "ended"]),
        row(401, "", Kind::Unauthorized, Retry::Never, None),
        said(403, "FORBIDDEN", "Forbidden", Kind::Forbidden, &["administrator"]),
        about(
            About::Agent,
            said(404, "AGENT_NOT_FOUND", "agent not found", Kind::Invalid, &["`defaults.actor_id`", "user mapping"]),
        ),
        about(About::Agent, said(400, "INVALID_VALUE", "Agent does not exist", Kind::Invalid, &[])),
        about(About::Contact, said(404, "USER_NOT_FOUND", "user not found", Kind::NotFound, &[])),
        about(About::Contact, row(404, older, Kind::NotFound, Retry::Never, Some("USER_NOT_FOUND"))),
        about(About::Record, said(404, "CONVERSATION_NOT_FOUND", "conversation not found", Kind::NotFound, &[])),
        said(404, "CHANNEL_NOT_FOUND", "channel not found", Kind::Invalid, &["`channel_id`"]),
        said(400, "INVALID_VALUE", "Channel not found", Kind::Invalid, &["`channel_id`"]),
        said(404, "NOT_FOUND", "Not Found", Kind::NotFound, &["`domain`"]),
        row(404, "<html>", Kind::NotFound, Retry::Never, None),
        said(409, "CONFLICT", "reference_id exists", Kind::Conflict, &["reference_id"]),
        said(400, "INVALID_VALUE", "first_name is too long", Kind::Invalid, &["first_name is too long"]),
        row(400, "<html>", Kind::Invalid, Retry::Never, None),
        row(422, "", Kind::Invalid, Retry::Never, None),
        row(405, "", Kind::Invalid, Retry::Never, None),
        row(413, "", Kind::Invalid, Retry::Never, None),
        row(415, "", Kind::Invalid, Retry::Never, None),
        after("30", 30.0),
        after("2.5", 2.5),
        after("", 60.0),
        after("soon", 60.0),
        after("-3", 60.0),
        after("999999999", 3600.0),
        row(408, "", Kind::Unavailable, Retry::Backoff, None),
        row(500, "", Kind::Unavailable, Retry::Backoff, None),
        row(502, "<html>Bad Gateway</html>", Kind::Unavailable, Retry::Backoff, None),
        row(503, "", Kind::Unavailable, Retry::Backoff, None),
        row(418, "", Kind::Malformed, Retry::Backoff, None),
        ErrorRow { tells: &["`domain`"], ..row(302, "", Kind::Unavailable, Retry::Backoff, None) },
    ]
}
