//! HubSpot for the behaviour suite: its sandbox, how to look into it, and the error table.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use patchbay_kit::{About, Bytes, Connector, HeaderMap, Kind, RecordRef, Response, Retry, Settings, StatusCode};
use patchbay_sandbox::{
    Crm,
    hubspot::{self, Kind as Objects},
};
use patchbay_testkit::{
    Credentials, sample,
    suite::{ErrorRow, Stored, Subject, What},
};

/// A private app, or an app with OAuth; and the form of what the facts leave open.
#[derive(Clone, Copy)]
pub(crate) struct HubSpot {
    pub(crate) app: bool,
    pub(crate) batch_fails_whole: bool,
    pub(crate) missing_associate_is_404: bool,
}

pub(crate) fn settings(app: bool) -> Settings {
    let secrets: &[&str] = if app { &["client_secret", "refresh_token"] } else { &["access_token"] };
    let mut settings = Settings {
        secrets: secrets.iter().map(|key| (*key).to_owned()).collect(),
        account: "exotel535".to_owned(),
        ..Settings::default()
    };
    if app {
        settings.text.insert("client_id".to_owned(), "the-app".to_owned());
    }
    settings
}

fn objects(at: &RecordRef) -> Option<Objects> {
    Some(match at.kind.as_str() {
        "call" => Objects::Calls,
        "contact" => Objects::Contacts,
        "task" => Objects::Tasks,
        "ticket" => Objects::Tickets,
        _ => return None,
    })
}

impl Subject for HubSpot {
    type Sandbox = hubspot::HubSpot;

    fn build(&self) -> Arc<dyn Connector> {
        patchbay_hubspot::build(&settings(self.app))
    }

    fn sandbox(&self) -> Self::Sandbox {
        let mut sandbox = hubspot::HubSpot::prepared("pat-na1-of-the-app").with_oauth("the-app", "secret", "refresh");
        sandbox.define(Objects::Tickets, "exotel_call_sid", true);
        if self.app {
            sandbox.set_token(None);
            sandbox.grants().expect("OAuth").issue(1, sample::NOW).expect("a token");
        }
        sandbox.settings.batch_fails_whole = self.batch_fails_whole;
        sandbox.settings.missing_associate_is_404 = self.missing_associate_is_404;
        sandbox
    }

    /// The sandbox counts what it gives out: the refresh token is its first, this its second.
    fn credentials(&self) -> Credentials {
        Credentials::of([("access_token", if self.app { "access-2" } else { "pat-na1-of-the-app" })])
    }

    fn errors(&self) -> Vec<ErrorRow> {
        errors(self.app)
    }

    fn count(&self, sandbox: &Self::Sandbox, what: What) -> usize {
        match what {
            What::Activity => sandbox.objects(Objects::Calls).count(),
            What::Note => 0,
            What::Contact => sandbox.objects(Objects::Contacts).count(),
        }
    }

    fn stored(&self, sandbox: &Self::Sandbox, at: &RecordRef) -> Option<Stored> {
        let call = sandbox.object(objects(at)?, &at.id)?;
        let text = |name: &str| call.get(name).map(str::to_owned);
        Some(Stored {
            subject: text("hs_call_title"),
            body: text("hs_call_body"),
            agent: text("hubspot_owner_id"),
            private: None,
        })
    }

    fn remove(&self, sandbox: &mut Self::Sandbox, at: &RecordRef, now: Timestamp) -> bool {
        match objects(at) {
            Some(kind) => sandbox.remove(kind, &at.id, now),
            None => sandbox.archive_owner(&at.id),
        }
    }

    fn number_fields(&self) -> &'static [&'static str] {
        &["phone", "mobilephone"]
    }

    fn add_contact(&self, sandbox: &mut Self::Sandbox, field: &str, number: &str) -> RecordRef {
        RecordRef::new("contact", sandbox.add(Objects::Contacts, &[("firstname", "A Caller"), (field, number)]))
    }

    fn add_ticket(
        &self,
        sandbox: &mut Self::Sandbox,
        contact: &RecordRef,
        subject: &str,
        is_open: bool,
        now: Timestamp,
    ) -> RecordRef {
        let stage = if is_open { "3" } else { "4" };
        RecordRef::new("ticket", sandbox.add_ticket(&contact.id, subject, stage, now))
    }

    fn add_agents(&self, sandbox: &mut Self::Sandbox, how_many: usize) -> Vec<RecordRef> {
        let from = sandbox.owners().len();
        (from..from + how_many)
            .map(|at| RecordRef::new("agent", sandbox.add_agent("An Agent", &format!("agent{at}@example.com"))))
            .collect()
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

/// One refused property, in the form of the API description.
fn property(name: &str, code: &'static str, kind: Kind, tells: &'static [&'static str]) -> ErrorRow {
    let body = format!(
        r#"{{"status":"error","message":"Property values were not valid: []","correlationId":"x","category":"VALIDATION_ERROR",
            "errors":[{{"message":"It is wrong","code":"{code}","in":"{name}","context":{{"propertyName":["{name}"]}}}}]}}"#
    );
    ErrorRow { tells, ..row(400, &body, kind, Retry::Never, Some(code)) }
}

/// The same, in the form in which it stands inside the message.
fn in_message(name: &str, code: &'static str, kind: Kind, tells: &'static [&'static str]) -> ErrorRow {
    let body = format!(
        r#"{{"status":"error","message":"Property values were not valid: [{{\"isValid\":false,\"message\":\"It is wrong\",\"error\":\"{code}\",\"name\":\"{name}\"}}]","category":"VALIDATION_ERROR"}}"#
    );
    ErrorRow { tells, ..row(400, &body, kind, Retry::Never, Some(code)) }
}

fn limited(policy: &'static str, seconds: u64) -> ErrorRow {
    let body = format!(
        r#"{{"status":"error","message":"You have reached your limit.","errorType":"RATE_LIMIT","policyName":"{policy}"}}"#
    );
    row(429, &body, Kind::RateLimited, Retry::After(Duration::from_secs(seconds)), Some(policy))
}

fn with_retry_after(mut row: ErrorRow, value: &'static str) -> ErrorRow {
    row.reply.headers.insert("retry-after", value.parse().expect("a header value"));
    row
}

/// Bodies as in "Error handling" and "API usage guidelines", composed.
fn errors(app: bool) -> Vec<ErrorRow> {
    let refused = if app { Retry::AfterRefresh } else { Retry::Never };
    let token: &[&str] = if app { &["refresh_token"] } else { &["access_token"] };
    let owner = |row: ErrorRow| ErrorRow { about: Some(About::Agent), ..row };
    let unauthorized = |category: &'static str| {
        let body = format!(r#"{{"status":"error","message":"Authentication","category":"{category}"}}"#);
        ErrorRow { tells: token, ..row(401, &body, Kind::Unauthorized, refused, Some(category)) }
    };
    let after = |seconds| Retry::After(Duration::from_secs(seconds));
    vec![
        unauthorized("INVALID_AUTHENTICATION"),
        unauthorized("EXPIRED_AUTHENTICATION"),
        ErrorRow {
            tells: &["crm.objects.owners.read"],
            ..row(
                403,
                r#"{"status":"error","message":"This app hasn't been granted all required scopes","category":"MISSING_SCOPES",
                    "errors":[{"message":"x","context":{"requiredGranularScopes":["crm.objects.owners.read"]}}]}"#,
                Kind::Forbidden,
                Retry::Never,
                Some("MISSING_SCOPES"),
            )
        },
        row(403, "<html>", Kind::Forbidden, Retry::Never, None),
        row(
            404,
            r#"{"status":"error","message":"Object not found.","category":"OBJECT_NOT_FOUND"}"#,
            Kind::NotFound,
            Retry::Never,
            Some("OBJECT_NOT_FOUND"),
        ),
        property("branch", "PROPERTY_DOESNT_EXIST", Kind::Invalid, &["`branch`", "remove `defaults.branch`"]),
        property("exotel_call_sid", "PROPERTY_DOESNT_EXIST", Kind::Invalid, &["`exotel_call_sid`", "unique"]),
        in_message("branch", "INVALID_OPTION", Kind::Invalid, &["correct `defaults.branch`", "It is wrong"]),
        in_message("exotel_caller_id", "CONFLICTING_UNIQUE_VALUE", Kind::Conflict, &["another record"]),
        owner(property("hubspot_owner_id", "INVALID_OWNER_ID", Kind::Invalid, &["hubspot_owner_id"])),
        owner(in_message("hubspot_owner_id", "OWNER_UNHEARD_OF", Kind::Invalid, &["hubspot_owner_id"])),
        ErrorRow {
            tells: &["`defaults.branch`", "set"],
            ..row(
                400,
                r#"{"status":"error","message":"Error creating CALL. Some required properties were not set.",
                    "context":{"properties":["branch"]},"category":"VALIDATION_ERROR"}"#,
                Kind::Invalid,
                Retry::Never,
                Some("VALIDATION_ERROR"),
            )
        },
        ErrorRow {
            tells: &["unique"],
            ..row(
                400,
                r#"{"status":"error","category":"VALIDATION_ERROR",
                    "message":"Unable to perform update/upsert by non-unique 0-48 property exotel_call_sid in portal ID 1"}"#,
                Kind::Invalid,
                Retry::Never,
                Some("VALIDATION_ERROR"),
            )
        },
        row(400, "<html>", Kind::Invalid, Retry::Never, None),
        row(
            409,
            r#"{"status":"error","message":"Contact already exists. Existing ID: 6001","category":"CONFLICT"}"#,
            Kind::Conflict,
            Retry::Never,
            Some("CONFLICT"),
        ),
        row(409, r#"{"category":"CONFLICT"}"#, Kind::Conflict, Retry::Backoff, Some("CONFLICT")),
        row(405, "", Kind::Invalid, Retry::Never, None),
        row(414, "", Kind::Invalid, Retry::Never, None),
        row(415, "", Kind::Invalid, Retry::Never, None),
        row(423, r#"{"status":"error"}"#, Kind::RateLimited, after(2), None),
        limited("TEN_SECONDLY_ROLLING", 10),
        limited("SECONDLY", 1),
        ErrorRow { tells: &["of the day"], ..limited("DAILY", 3600) },
        row(429, "", Kind::RateLimited, after(10), None),
        ErrorRow { retry: after(30), ..with_retry_after(limited("SECONDLY", 1), "30") },
        ErrorRow { retry: after(24 * 3600), ..with_retry_after(limited("SECONDLY", 1), "999999999") },
        with_retry_after(limited("SECONDLY", 1), "-3"),
        row(477, "", Kind::Unavailable, after(3600), None),
        with_retry_after(row(477, "", Kind::Unavailable, after(60), None), "60"),
        row(408, "", Kind::Unavailable, Retry::Backoff, None),
        row(500, r#"{"category":"INTERNAL_ERROR"}"#, Kind::Unavailable, Retry::Backoff, Some("INTERNAL_ERROR")),
        row(502, "<html>Bad Gateway</html>", Kind::Unavailable, Retry::Backoff, None),
        row(503, "", Kind::Unavailable, Retry::Backoff, None),
        row(521, "", Kind::Unavailable, Retry::Backoff, None),
        row(418, "", Kind::Malformed, Retry::Backoff, None),
        ErrorRow { tells: &["`base_url`"], ..row(302, "", Kind::Unavailable, Retry::Backoff, None) },
    ]
}
