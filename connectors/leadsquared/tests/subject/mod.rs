//! LeadSquared for the behaviour suite: its sandbox, how to look into it, and the error table.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use patchbay_kit::{About, Bytes, Connector, HeaderMap, Kind, RecordRef, Response, Retry, StatusCode};
use patchbay_sandbox::leadsquared;
use patchbay_testkit::{
    Credentials,
    suite::{ErrorRow, Stored, Subject, What},
};

use crate::org;

/// An integration with or without API keys, and what the organisation differs in.
pub(crate) struct LeadSquared {
    pub(crate) keys: bool,
    pub(crate) differs: fn(&mut leadsquared::Settings),
}

impl Subject for LeadSquared {
    type Sandbox = leadsquared::LeadSquared;

    fn build(&self) -> Arc<dyn Connector> {
        patchbay_leadsquared::build(&org::settings(self.keys))
    }

    fn sandbox(&self) -> Self::Sandbox {
        let mut sandbox = org::sandbox();
        (self.differs)(&mut sandbox.settings);
        sandbox
    }

    fn credentials(&self) -> Credentials {
        org::credentials(&self.sandbox(), self.keys)
    }

    fn errors(&self) -> Vec<ErrorRow> {
        errors()
    }

    fn count(&self, sandbox: &Self::Sandbox, what: What) -> usize {
        match what {
            What::Activity => sandbox.activities().len(),
            What::Note => 0,
            What::Contact => sandbox.leads().len(),
        }
    }

    /// Neither subject nor body: both become notes that no update can change, and `account.rs` looks at those.
    fn stored(&self, sandbox: &Self::Sandbox, at: &RecordRef) -> Option<Stored> {
        let of_session = || sandbox.activities().iter().find(|one| at.kind == "session" && one.session == at.id);
        let activity = sandbox.activity(&at.id).or_else(of_session)?;
        Some(Stored { agent: activity.user.clone(), ..Stored::default() })
    }

    fn remove(&self, sandbox: &mut Self::Sandbox, at: &RecordRef, _now: Timestamp) -> bool {
        match at.kind.as_str() {
            "activity" => sandbox.delete_activity(&at.id),
            "lead" => sandbox.delete_lead(&at.id),
            "agent" => sandbox.deactivate_user(&at.id),
            _ => return false,
        }
        true
    }

    fn number_fields(&self) -> &'static [&'static str] {
        &["Phone", "Mobile"]
    }

    fn add_contact(&self, sandbox: &mut Self::Sandbox, field: &str, number: &str) -> RecordRef {
        let fill = |lead: &mut leadsquared::Lead| {
            lead.set("FirstName", "A Caller");
            lead.set(field, number);
        };
        RecordRef::new("lead", sandbox.add_lead_with(fill))
    }

    fn add_agents(&self, sandbox: &mut Self::Sandbox, how_many: usize) -> Vec<RecordRef> {
        let from = sandbox.users().len();
        (from..from + how_many)
            .map(|n| RecordRef::new("agent", sandbox.add_user("An Agent", &format!("agent{n}@example.com"))))
            .collect()
    }

    fn contacts_are_unique(&self) -> bool {
        self.sandbox().settings.unique_phone
    }

    /// Without keys, what the API's quota counts.
    fn unsent(&self) -> &'static [&'static str] {
        if self.keys { &[] } else { patchbay_leadsquared::MANIFEST.quotas[0].labels }
    }

    fn agents_in_one_answer(&self) -> bool {
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

/// An exception in the envelope of "Error Handling".
fn exception(status: u16, code: &'static str, message: &str, kind: Kind, retry: Retry) -> ErrorRow {
    let body = format!(r#"{{"Status":"Error","ExceptionType":"{code}","ExceptionMessage":"{message}"}}"#);
    row(status, &body, kind, retry, Some(code))
}

fn errors() -> Vec<ErrorRow> {
    let never = Retry::Never;
    let after = |seconds| Retry::After(Duration::from_secs(seconds));
    let limit = "MXAPIRateLimitExceededException";
    let limited = |status, message: &str, wait| exception(status, limit, message, Kind::RateLimited, after(wait));
    let invalid = |code, message: &str| exception(500, code, message, Kind::Invalid, never);
    vec![
        limited(429, "API calls exceeded the limit of 25 in 5 second(s)", 5),
        limited(200, "API calls exceeded the limit of 20 in 1 minute(s)", 60),
        limited(429, "API calls exceeded the limit of 10000 in 1 day(s)", 3600),
        limited(429, "Slow down in a while", 5),
        row(429, "API calls exceeded", Kind::RateLimited, after(5), None),
        ErrorRow {
            tells: &["access_key", "secret_key", "api_url", "api-us11"],
            ..exception(401, "MXUnAuthorizedAccessException", "Use api-us11", Kind::Unauthorized, never)
        },
        row(401, "", Kind::Unauthorized, never, None),
        ErrorRow {
            tells: &["administrator"],
            ..exception(500, "MXUnAuthorizedAccessException", "Not permitted", Kind::Forbidden, never)
        },
        exception(200, "MXUnauthorizedRequestException", "Restricted", Kind::Forbidden, never),
        row(403, "", Kind::Forbidden, never, None),
        ErrorRow {
            tells: &["Universal Telephony Connector", "api_url"],
            ..row(404, "<p>Endpoint not found.</p>", Kind::Unauthorized, never, None)
        },
        exception(500, "MXDuplicateEntryException", "A Lead with same Phone", Kind::Conflict, never),
        exception(200, "MXDuplicateEntryException", "A Lead with same Phone", Kind::Conflict, never),
        ErrorRow {
            about: Some(About::Record),
            ..exception(500, "MXUnknownProspectActivityException", "Unknown", Kind::NotFound, never)
        },
        ErrorRow { about: Some(About::Contact), ..invalid("MXUnknownProspectException", "Lead does not exist") },
        ErrorRow { about: Some(About::Contact), ..invalid("MXLeadNotFoundException", "Lead not found") },
        ErrorRow { about: Some(About::Agent), ..invalid("MXUnknownUserException", "inactive") },
        ErrorRow {
            about: Some(About::Agent),
            ..invalid("MXInvalidInputException", "Invalid Input! Parameter Name: UserId")
        },
        ErrorRow {
            about: Some(About::Agent),
            ..invalid("MXInvalidInputException", "Invalid Input! Parameter Name: OwnerId")
        },
        ErrorRow {
            tells: &["`mx_City`", "set `defaults.lead.mx_City`"],
            ..invalid("MXMandatoryAttributeMissingException", "'mx_City' is mandatory for creating lead")
        },
        ErrorRow {
            tells: &["the field", "mandatory"],
            ..invalid("MXMandatoryAttributeMissingException", "Something is mandatory")
        },
        ErrorRow {
            tells: &["defaults.lead", "mx_Gone"],
            ..invalid("MXUnknownAttributeException", "Unknown attribute mx_Gone")
        },
        ErrorRow { tells: &["Status"], ..invalid("MXInvalidInputException", "Invalid Input! Parameter Name: Status") },
        exception(400, "MXInvalidRequestBodyException", "x", Kind::Invalid, never),
        exception(503, "MXSomethingElseException", "x", Kind::Invalid, never),
        row(400, "<html>", Kind::Invalid, never, None),
        row(405, "", Kind::Invalid, never, None),
        exception(500, "Exception", "Please contact administrator.", Kind::Unavailable, Retry::Backoff),
        exception(200, "Exception", "Please contact administrator.", Kind::Unavailable, Retry::Backoff),
        row(500, "", Kind::Unavailable, Retry::Backoff, None),
        row(502, "<html>Bad Gateway</html>", Kind::Unavailable, Retry::Backoff, None),
        row(408, "", Kind::Unavailable, Retry::Backoff, None),
        ErrorRow { tells: &["api_url"], ..row(302, "", Kind::Unavailable, Retry::Backoff, None) },
        row(418, "", Kind::Malformed, Retry::Backoff, None),
    ]
}
