//! Freshsales for the behaviour suite: its sandbox, how to look into it, and the error table.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use patchbay_kit::{About, Bytes, Connector, HeaderMap, Kind, RecordRef, Response, Retry, Settings, StatusCode};
use patchbay_sandbox::freshsales::{self, Gone};
use patchbay_testkit::{
    Credentials,
    suite::{ErrorRow, Stored, Subject, What},
};

pub(crate) const KEY: &str = "the-key-of-the-admin";

/// The forms an account may have.
pub(crate) struct Freshsales {
    pub(crate) classic: bool,
    pub(crate) calls_as_json: bool,
    pub(crate) pages_told: bool,
    pub(crate) paged: bool,
    pub(crate) gone: Gone,
}

impl Freshsales {
    pub(crate) fn usual() -> Self {
        Self { classic: false, calls_as_json: false, pages_told: true, paged: true, gone: Gone::NotFound }
    }

    pub(crate) fn settings(&self) -> Settings {
        let domain = if self.classic { "acme.freshsales.io" } else { "acme.myfreshworks.com" };
        Settings {
            text: [("domain".to_owned(), domain.to_owned())].into(),
            flags: [("calls_as_json".to_owned(), self.calls_as_json)].into(),
            ..Settings::default()
        }
    }
}

fn id(at: &RecordRef) -> u64 {
    at.id.parse().unwrap_or(0)
}

fn unescaped(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, is)| text.replace(entity, is))
}

impl Subject for Freshsales {
    type Sandbox = freshsales::Freshsales;

    fn build(&self) -> Arc<dyn Connector> {
        patchbay_freshsales::build(&self.settings())
    }

    fn sandbox(&self) -> Self::Sandbox {
        let mut sandbox = freshsales::Freshsales::new(KEY);
        sandbox.settings.classic = self.classic;
        sandbox.settings.pages_told = self.pages_told;
        sandbox.settings.paged = self.paged;
        sandbox.settings.gone = self.gone;
        sandbox
    }

    fn credentials(&self) -> Credentials {
        Credentials::of([("api_key", KEY)])
    }

    fn errors(&self) -> Vec<ErrorRow> {
        errors()
    }

    fn count(&self, sandbox: &Self::Sandbox, what: What) -> usize {
        match what {
            What::Activity => sandbox.calls().count(),
            What::Note => sandbox.notes().filter(|note| note.call.is_none()).count(),
            What::Contact => sandbox.people().count(),
        }
    }

    fn stored(&self, sandbox: &Self::Sandbox, at: &RecordRef) -> Option<Stored> {
        let note = sandbox.note(id(at))?;
        let (first, body) = note.description.strip_prefix("<div><b>")?.split_once("</b></div>")?;
        Some(Stored {
            subject: note.call.map(|_| unescaped(first)),
            body: Some(body.to_owned()),
            agent: None,
            // Notes are seen by the account's users only.
            private: note.call.is_none().then_some(true),
        })
    }

    /// A call log that is gone is only missed where it is to be written: the recording's note hangs on the contact.
    fn remove(&self, sandbox: &mut Self::Sandbox, at: &RecordRef, _: Timestamp) -> bool {
        match at.kind.as_str() {
            "contact" => sandbox.delete_contact(id(at)),
            "agent" => sandbox.change_user(id(at), |user| user.is_active = false),
            _ => return false,
        }
        true
    }

    fn number_fields(&self) -> &'static [&'static str] {
        &["mobile_number", "work_number"]
    }

    fn add_contact(&self, sandbox: &mut Self::Sandbox, field: &str, number: &str) -> RecordRef {
        let id = sandbox.add_contact_with(|contact| {
            contact.last_name = Some("A Caller".to_owned());
            let number = Some(number.to_owned());
            if field == "mobile_number" { contact.mobile_number = number } else { contact.work_number = number }
        });
        RecordRef::new("contact", id)
    }

    fn add_agents(&self, sandbox: &mut Self::Sandbox, how_many: usize) -> Vec<RecordRef> {
        let from = sandbox.users().count();
        (from..from + how_many)
            .map(|at| RecordRef::new("agent", sandbox.add_user("An Agent", &format!("agent{at}@example.com"))))
            .collect()
    }

    fn agents_in_one_answer(&self) -> bool {
        true
    }
}

fn row(status: u16, body: &str, kind: Kind, retry: Retry) -> ErrorRow {
    let reply = Response {
        status: StatusCode::from_u16(status).expect("a status"),
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    };
    ErrorRow { reply, kind, retry, code: None, about: None, tells: &[] }
}

/// A refusal in Freshsales' form.
fn refusal(message: &str, kind: Kind, retry: Retry, tells: &'static [&'static str]) -> ErrorRow {
    let body = format!(r#"{{"errors":{{"code":400,"message":["{message}"]}}}}"#);
    ErrorRow { code: Some("400"), tells, ..row(400, &body, kind, retry) }
}

/// Bodies in the form people report, composed.
fn errors() -> Vec<ErrorRow> {
    let never = |message, kind, tells| refusal(message, kind, Retry::Never, tells);
    let after = |value: &'static str, seconds: f64| {
        let body = r#"{"errors":{"code":429,"message":["Too many requests"]}}"#;
        let mut row = row(429, body, Kind::RateLimited, Retry::After(Duration::from_secs_f64(seconds)));
        if !value.is_empty() {
            row.reply.headers.insert("retry-after", value.parse().expect("a header value"));
        }
        ErrorRow { code: Some("429"), ..row }
    };
    vec![
        ErrorRow {
            tells: &["API key", "`api_key`", "Incorrect"],
            ..row(401, r#"{"login":"failed","message":"Incorrect API key"}"#, Kind::Unauthorized, Retry::Never)
        },
        ErrorRow {
            tells: &["administrator"],
            ..row(403, r#"{"message":"Access denied"}"#, Kind::Forbidden, Retry::Never)
        },
        row(402, "", Kind::Forbidden, Retry::Never),
        row(404, "", Kind::NotFound, Retry::Never),
        never("MobileNumber is not unique", Kind::Conflict, &["MobileNumber", "recycle bin"]),
        never("Email is not unique", Kind::Conflict, &["Email"]),
        never("Contact is not unique", Kind::Conflict, &["Contact"]),
        row(409, "", Kind::Conflict, Retry::Never),
        refusal(
            "UCR contact fetch failure :: response_code :: 429 :: response :: Too many requests",
            Kind::RateLimited,
            Retry::After(Duration::from_secs(60)),
            &["busy"],
        ),
        refusal("UCR contact fetch failure :: response_code :: 503", Kind::Unavailable, Retry::Backoff, &["trouble"]),
        never("Email can't be blank", Kind::Invalid, &["Email", "`defaults.contact`", "custom_field"]),
        never("mobile_number is not a unique field", Kind::Invalid, &["make it unique", "Admin Settings"]),
        ErrorRow { about: Some(About::Contact), ..never("Targetable can't be blank", Kind::Invalid, &["whose call"]) },
        never("Outcome is invalid", Kind::Invalid, &["Outcome is invalid", "`defaults`"]),
        ErrorRow {
            code: Some("400"),
            tells: &["cf_x"],
            ..row(400, r#"{"errors":{"code":400,"message":"cf_x is wrong"}}"#, Kind::Invalid, Retry::Never)
        },
        ErrorRow { tells: &["wrong"], ..row(422, r#"{"errors":["wrong"]}"#, Kind::Invalid, Retry::Never) },
        ErrorRow { tells: &["Bad"], ..row(400, r#"{"error":"Bad"}"#, Kind::Invalid, Retry::Never) },
        row(400, "<html>", Kind::Invalid, Retry::Never),
        row(405, "", Kind::Invalid, Retry::Never),
        row(415, "", Kind::Invalid, Retry::Never),
        after("30", 30.0),
        after("", 300.0),
        after("soon", 300.0),
        after("-3", 300.0),
        after("999999999", 3600.0),
        row(408, "", Kind::Unavailable, Retry::Backoff),
        row(500, r#"{"errors":{"message":["Something went wrong"]}}"#, Kind::Unavailable, Retry::Backoff),
        row(502, "<html>Bad Gateway</html>", Kind::Unavailable, Retry::Backoff),
        row(503, "", Kind::Unavailable, Retry::Backoff),
        row(418, "", Kind::Malformed, Retry::Backoff),
        ErrorRow { tells: &["`domain`"], ..row(302, "", Kind::Unavailable, Retry::Backoff) },
    ]
}
