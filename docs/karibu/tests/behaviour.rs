//! Karibu CRM owes what every connector owes: the behaviour suite against the strict sandbox.

mod sandbox;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use patchbay_kit::{About, Bytes, Connector, HeaderMap, Kind, RecordRef, Response, Retry, Settings, StatusCode};
use patchbay_sandbox::Crm;
use patchbay_testkit::{
    Credentials, sample,
    suite::{self, ErrorRow, Stored, Subject, What},
};
use serde_json::json;

struct Karibu;

impl Subject for Karibu {
    type Sandbox = sandbox::Karibu;

    fn build(&self) -> Arc<dyn Connector> {
        patchbay_karibu::build(&Settings::default())
    }

    fn sandbox(&self) -> Self::Sandbox {
        sandbox::Karibu::new("the-key-of-the-organisation")
    }

    fn credentials(&self) -> Credentials {
        Credentials::of([("api_key", "the-key-of-the-organisation")])
    }

    /// Bodies as in "Karibu API v1, Errors".
    fn errors(&self) -> Vec<ErrorRow> {
        let never = Retry::Never;
        let mut busy = row(429, "too_many", Kind::RateLimited, Retry::After(Duration::from_secs(7)));
        busy.reply.headers.insert("retry-after", "7".parse().expect("a header value"));
        vec![
            ErrorRow { tells: &["api_key"], ..row(401, "bad_key", Kind::Unauthorized, never) },
            row(403, "read_only_key", Kind::Forbidden, never),
            ErrorRow { about: Some(About::Record), ..row(404, "no_such_call", Kind::NotFound, never) },
            row(404, "no_such_path", Kind::NotFound, never),
            ErrorRow { about: Some(About::Contact), ..row(422, "no_such_contact", Kind::NotFound, never) },
            ErrorRow { tells: &["defaults.team"], ..row(422, "missing_field", Kind::Invalid, never) },
            ErrorRow { tells: &["`team`", "It is wrong"], ..row(422, "too_long", Kind::Invalid, never) },
            row(409, "ref_taken", Kind::Conflict, never),
            busy,
            row(429, "too_many", Kind::RateLimited, Retry::After(Duration::from_secs(60))),
            row(503, "maintenance", Kind::Unavailable, Retry::Backoff),
            row(418, "teapot", Kind::Malformed, Retry::Backoff),
        ]
    }

    fn count(&self, sandbox: &Self::Sandbox, what: What) -> usize {
        match what {
            What::Activity => sandbox.records().len(),
            What::Note => 0,
            What::Contact => sandbox.contacts().len(),
        }
    }

    fn stored(&self, sandbox: &Self::Sandbox, at: &RecordRef) -> Option<Stored> {
        let call = sandbox.call(&at.id)?;
        let text = |key: &str| call[key].as_str().map(str::to_owned);
        Some(Stored { subject: text("title"), body: text("text"), ..Stored::default() })
    }

    fn remove(&self, sandbox: &mut Self::Sandbox, at: &RecordRef, _: Timestamp) -> bool {
        sandbox.delete(&at.id)
    }

    fn number_fields(&self) -> &'static [&'static str] {
        &["phone"]
    }

    fn add_contact(&self, sandbox: &mut Self::Sandbox, _: &str, number: &str) -> RecordRef {
        RecordRef::new("contact", sandbox.add_contact("A Caller", number, sample::NOW))
    }

    fn add_agents(&self, _: &mut Self::Sandbox, _: usize) -> Vec<RecordRef> {
        Vec::new()
    }
}

fn row(status: u16, code: &'static str, kind: Kind, retry: Retry) -> ErrorRow {
    let body = json!({"error": {"code": code, "message": "It is wrong", "field": "team"}});
    let reply = Response {
        status: StatusCode::from_u16(status).expect("a status"),
        headers: HeaderMap::new(),
        body: Bytes::from(body.to_string()),
    };
    ErrorRow { reply, kind, retry, code: Some(code), about: None, tells: &[] }
}

#[test]
fn it_behaves() {
    suite::run(&Karibu);
}

/// What no other CRM has is tried beside the suite.
#[test]
fn what_the_call_fills_is_not_taken_from_the_defaults() {
    let defaults = json!({"team": "north", "title": "mine"}).as_object().cloned().unwrap_or_default();
    let settings = Settings { defaults, ..Settings::default() };
    assert_eq!(patchbay_karibu::problems(&settings), ["defaults.title: comes from the call and cannot be set"]);

    let connector = patchbay_karibu::build(&settings);
    let mut line = patchbay_testkit::Line::new(connector, Karibu.sandbox(), Karibu.credentials(), sample::NOW);
    let connector = Arc::clone(&line.connector);
    let caller = line.run(connector.contacts().expect("contacts").create(&sample::caller())).expect("a contact");
    let call = sample::call(sample::CALL_SID, Some(caller.at));
    let at = line.run(connector.activities().create(&call)).expect("a call");
    let stored = line.sandbox.call(&at.id).expect("a call");
    assert_eq!((&stored["team"], &stored["title"]), (&json!("north"), &json!(call.subject)));
}
