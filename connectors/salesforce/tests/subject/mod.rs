//! Salesforce for the behaviour suite: its sandbox, how to look into it, and the error table.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use patchbay_kit::{About, Bytes, Connector, HeaderMap, Kind, RecordRef, Response, Retry, Settings, StatusCode};
use patchbay_sandbox::salesforce::{self, DuplicateRule, Field};
use patchbay_testkit::{
    Credentials, sample,
    suite::{ErrorRow, Stored, Subject, What},
};
use serde_json::json;

/// An org, with what is not known for certain as it may be.
#[derive(Clone, Debug)]
pub(crate) struct Salesforce {
    pub(crate) default_object: &'static str,
    /// The custom fields of the set-up page, on tasks.
    pub(crate) has_call_fields: bool,
    /// The external id on callers.
    pub(crate) has_caller_id: bool,
    /// Answers as they may also be.
    pub(crate) other_forms: bool,
}

impl Salesforce {
    pub(crate) const USUAL: Self =
        Self { default_object: "Lead", has_call_fields: true, has_caller_id: true, other_forms: false };
}

/// The settings that name the objects.
pub(crate) fn settings(default_object: &str) -> Settings {
    Settings {
        text: BTreeMap::from([("default_object".to_owned(), default_object.to_owned())]),
        lists: BTreeMap::from([(
            "object_priority".to_owned(),
            ["Contact", "Lead", "Account", "Opportunity", "Case"].map(String::from).to_vec(),
        )]),
        ..Settings::default()
    }
}

/// An org with a session, and the session.
pub(crate) fn org() -> (salesforce::Salesforce, Credentials) {
    let mut org = salesforce::Salesforce::new("app", "the-secret-of-the-app", "the-refresh-token");
    let issued = org.grants.issue(1, sample::NOW).expect("a session");
    (org, Credentials::of([("access_token", &issued.access_token)]))
}

impl Subject for Salesforce {
    type Sandbox = salesforce::Salesforce;

    fn build(&self) -> Arc<dyn Connector> {
        let mut settings = settings(self.default_object);
        if !self.has_caller_id {
            settings.text.insert("caller_id_field".to_owned(), "none".to_owned());
        }
        patchbay_salesforce::build(&settings)
    }

    fn contacts_are_unique(&self) -> bool {
        self.has_caller_id
    }

    fn sandbox(&self) -> Self::Sandbox {
        let (mut org, _) = org();
        if self.has_call_fields {
            org = org.with_set_up();
        }
        if self.has_caller_id {
            org.define_field(self.default_object, "Exotel_Caller_Id__c", Field::external_id());
        }
        org.settings.query_batch = 100;
        if self.other_forms {
            org.settings.upsert_answers_204 = true;
            org.settings.deleted_reference_names_field = false;
            org.settings.subtype_is_updatable = true;
            // A rule that only warns stops nobody.
            org.settings.duplicate_rule = Some(DuplicateRule { only_warns: true, names_matches: None });
        }
        org
    }

    fn credentials(&self) -> Credentials {
        org().1
    }

    fn errors(&self) -> Vec<ErrorRow> {
        errors()
    }

    fn count(&self, sandbox: &Self::Sandbox, what: What) -> usize {
        match what {
            What::Activity => sandbox.records_of("Task").filter(|task| task.text("TaskSubtype") == "Call").count(),
            What::Note => 0,
            What::Contact => {
                ["Contact", "Lead", "Account", "Case"].iter().map(|object| sandbox.records_of(object).count()).sum()
            }
        }
    }

    fn stored(&self, sandbox: &Self::Sandbox, at: &RecordRef) -> Option<Stored> {
        let task = sandbox.record(&at.id)?;
        Some(Stored {
            subject: Some(task.text("Subject").to_owned()),
            body: Some(task.text("Description").to_owned()),
            agent: Some(task.text("OwnerId").to_owned()),
            private: None,
        })
    }

    fn remove(&self, sandbox: &mut Self::Sandbox, at: &RecordRef, now: jiff::Timestamp) -> bool {
        match at.kind.as_str() {
            "agent" => sandbox.deactivate_user(&at.id),
            _ => sandbox.delete(&at.id, now),
        }
        true
    }

    fn number_fields(&self) -> &'static [&'static str] {
        &[
            "Contact.Phone",
            "Contact.MobilePhone",
            "Lead.Phone",
            "Lead.MobilePhone",
            "Account.Phone",
            "Case.SuppliedPhone",
        ]
    }

    fn add_contact(&self, sandbox: &mut Self::Sandbox, field: &str, number: &str) -> RecordRef {
        let (object, field) = field.split_once('.').expect("an object and a field");
        let id = sandbox.add_record(object, json!({"LastName": "A Caller", "Name": "A Caller", field: number}));
        RecordRef::new(&object.to_lowercase(), id)
    }

    /// A lead, which an unknown caller becomes, has none.
    fn ticket_field(&self) -> &'static str {
        "Contact.Phone"
    }

    fn add_ticket(
        &self,
        sandbox: &mut Self::Sandbox,
        contact: &RecordRef,
        subject: &str,
        is_open: bool,
        now: jiff::Timestamp,
    ) -> RecordRef {
        let status = if is_open { "Escalated" } else { "Closed" };
        let case = json!({"ContactId": contact.id, "Subject": subject, "Status": status, "IsClosed": !is_open,
                          "CaseNumber": "00001026", "CreatedDate": now.to_string()});
        RecordRef::new("case", sandbox.add_record("Case", case))
    }

    fn add_agents(&self, sandbox: &mut Self::Sandbox, how_many: usize) -> Vec<RecordRef> {
        let from = sandbox.records_of("User").count();
        (from..from + how_many)
            .map(|at| RecordRef::new("agent", sandbox.add_user("An Agent", &format!("agent{at}@example.com"))))
            .collect()
    }
}

pub(crate) fn reply(status: u16, body: &str) -> Response {
    Response {
        status: StatusCode::from_u16(status).expect("a status"),
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn row(status: u16, code: &'static str, kind: Kind, retry: Retry) -> ErrorRow {
    said(status, code, "It is wrong", &[], kind, retry)
}

fn said(status: u16, code: &'static str, message: &str, fields: &[&str], kind: Kind, retry: Retry) -> ErrorRow {
    let body = json!([{"message": message, "errorCode": code, "fields": fields}]).to_string();
    ErrorRow { reply: reply(status, &body), kind, retry, code: Some(code), about: None, tells: &[] }
}

fn bare(status: u16, body: &str, kind: Kind, retry: Retry) -> ErrorRow {
    ErrorRow { reply: reply(status, body), kind, retry, code: None, about: None, tells: &[] }
}

/// Bodies as in "REST API Developer Guide, Status Codes and Error Responses", composed.
fn errors() -> Vec<ErrorRow> {
    use Kind::{Conflict, Forbidden, Invalid, NotFound, RateLimited, Unauthorized, Unavailable};
    use Retry::{After, AfterRefresh, Backoff, Never};
    let seconds = |seconds| After(Duration::from_secs(seconds));
    let invalid =
        |code, message, fields: &[&str], tells| ErrorRow { tells, ..said(400, code, message, fields, Invalid, Never) };
    let about = |row: ErrorRow, about| ErrorRow { about: Some(about), ..row };
    let mut asked_to_wait = bare(429, "", RateLimited, seconds(7));
    asked_to_wait.reply.headers.insert("retry-after", "7".parse().expect("a header value"));
    vec![
        ErrorRow { tells: &["connect"], ..row(401, "INVALID_SESSION_ID", Unauthorized, AfterRefresh) },
        row(401, "INVALID_AUTH_HEADER", Unauthorized, AfterRefresh),
        row(403, "INVALID_SESSION_ID", Unauthorized, AfterRefresh),
        bare(401, "", Unauthorized, AfterRefresh),
        row(403, "API_DISABLED_FOR_ORG", Unauthorized, Never),
        row(403, "API_CURRENTLY_DISABLED", Unauthorized, Never),
        row(403, "INVALID_OPERATION_WITH_EXPIRED_PASSWORD", Unauthorized, Never),
        row(403, "ORG_LOCKED", Unauthorized, Never),
        said(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", &[], RateLimited, seconds(900)),
        said(
            403,
            "REQUEST_LIMIT_EXCEEDED",
            "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
            &[],
            RateLimited,
            seconds(5),
        ),
        bare(429, "", RateLimited, seconds(60)),
        asked_to_wait,
        ErrorRow { tells: &["permission"], ..row(403, "INSUFFICIENT_ACCESS", Forbidden, Never) },
        row(400, "INSUFFICIENT_ACCESS_OR_READONLY", Forbidden, Never),
        row(403, "FUNCTIONALITY_NOT_ENABLED", Forbidden, Never),
        bare(403, "<html>", Forbidden, Never),
        ErrorRow { tells: &["storage"], ..row(400, "STORAGE_LIMIT_EXCEEDED", Forbidden, Never) },
        row(400, "UNABLE_TO_LOCK_ROW", Conflict, Backoff),
        row(400, "DUPLICATE_VALUE", Conflict, Never),
        ErrorRow { tells: &["duplicate rule"], ..row(400, "DUPLICATES_DETECTED", Conflict, Never) },
        row(503, "SERVER_UNAVAILABLE", Unavailable, Backoff),
        row(400, "QUERY_TIMEOUT", Unavailable, Backoff),
        row(500, "UNKNOWN_EXCEPTION", Unavailable, Backoff),
        bare(502, "<html>Bad Gateway</html>", Unavailable, Backoff),
        ErrorRow { tells: &["trigger"], ..row(400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", Invalid, Never) },
        row(400, "CANNOT_EXECUTE_FLOW_TRIGGER", Invalid, Never),
        row(400, "APEX_ERROR", Invalid, Never),
        said(
            400,
            "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
            "TaskTrigger: caused by UNABLE_TO_LOCK_ROW",
            &[],
            Conflict,
            Backoff,
        ),
        invalid("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Choose a type", &["Type"], &["Choose a type", "`defaults`"]),
        invalid(
            "INVALID_FIELD",
            "No such column 'Colour__c' on sobject of type Task",
            &[],
            &["`Colour__c`", "`defaults`"],
        ),
        invalid("INVALID_FIELD", "No such column 'To__c' on sobject of type Task", &[], &["`To__c`", "make the field"]),
        invalid(
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "Unable to create/update fields: A__c, B__c. Please check the security settings of this field",
            &[],
            &["`A__c`, `B__c`"],
        ),
        invalid("INVALID_TYPE", "sObject type 'Case' is not supported.", &[], &["`Case`", "object_priority"]),
        invalid(
            "REQUIRED_FIELD_MISSING",
            "Required fields are missing: [Region__c]",
            &["Region__c"],
            &["`defaults.Region__c`", "`defaults.contact.Region__c`"],
        ),
        invalid("JSON_PARSER_ERROR", "Cannot deserialize instance of int", &[], &["another type"]),
        invalid("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "bad value", &["Type"], &["`Type`"]),
        invalid("STRING_TOO_LONG", "data value too large", &["Subject"], &["`Subject`"]),
        invalid("FIELD_INTEGRITY_EXCEPTION", "related to a lead", &["WhatId"], &["`WhatId`"]),
        invalid("MALFORMED_QUERY", "unexpected token", &[], &[]),
        invalid("INVALID_QUERY_LOCATOR", "invalid query locator", &[], &[]),
        about(invalid("INACTIVE_OWNER_OR_USER", "operation performed with inactive user", &[], &[]), About::Agent),
        about(invalid("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", &["OwnerId"], &[]), About::Agent),
        about(invalid("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", &["WhoId"], &[]), About::Contact),
        about(invalid("MALFORMED_ID", "id value of incorrect type", &["WhatId"], &[]), About::Contact),
        about(
            invalid("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "insufficient access rights", &["WhatId"], &[]),
            About::Contact,
        ),
        about(
            said(
                403,
                "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
                "insufficient access rights",
                &["WhoId"],
                Invalid,
                Never,
            ),
            About::Contact,
        ),
        about(invalid("ENTITY_IS_DELETED", "entity is deleted", &[], &[]), About::Contact),
        said(404, "ENTITY_IS_DELETED", "entity is deleted", &[], NotFound, Never),
        row(404, "NOT_FOUND", NotFound, Never),
        ErrorRow {
            tells: &["`Exotel_Call_Sid__c`", "`call_sid_field`"],
            ..said(
                404,
                "NOT_FOUND",
                "Provided external ID field does not exist or is not accessible: Exotel_Call_Sid__c",
                &[],
                Invalid,
                Never,
            )
        },
        ErrorRow {
            tells: &["`Exotel_Call_Sid__c`", "unique"],
            ..bare(
                300,
                r#"["/services/data/v62.0/sobjects/Task/00T1","/services/data/v62.0/sobjects/Task/00T2"]"#,
                Conflict,
                Never,
            )
        },
        bare(302, "", Unavailable, Backoff),
        bare(400, "<html>", Invalid, Never),
        row(405, "METHOD_NOT_ALLOWED", Invalid, Never),
        row(415, "UNSUPPORTED_MEDIA_TYPE", Invalid, Never),
        ErrorRow { tells: &["`api_version`"], ..bare(410, "", Kind::Unsupported, Never) },
        bare(418, "", Kind::Malformed, Backoff),
    ]
}
