//! HubSpot's ways of saying no, so that every error body in the sandbox has the one form (`crm-api.md` §7.b).

use http::{HeaderName, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::Reply;

/// What an operation comes to.
pub(super) type Answer = Result<Reply, Refusal>;

/// One item of `errors`.
#[derive(Clone, Debug)]
pub(super) struct Detail {
    pub(super) message: String,
    pub(super) code: &'static str,
    pub(super) property: Option<String>,
}

/// A no.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    category: &'static str,
    sub_category: Option<&'static str>,
    message: String,
    errors: Vec<Detail>,
    context: Map<String, Value>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, category: &'static str, message: impl Into<String>) -> Self {
        let (sub_category, errors, context) = (None, Vec::new(), Map::new());
        Self { status, category, sub_category, message: message.into(), errors, context }
    }

    /// 400, `VALIDATION_ERROR`.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", message)
    }

    /// The body is no JSON, or not of the form the operation wants.
    pub(super) fn json(message: &str) -> Self {
        Self::invalid(format!("Invalid input JSON on line 1, column 1: {message}"))
    }

    /// Values that their properties do not take: they stand in `errors`, and once more as JSON inside the message.
    pub(super) fn properties(errors: Vec<Detail>) -> Self {
        let inner: Vec<Value> = errors
            .iter()
            .map(|error| {
                json!({"isValid": false, "message": error.message, "error": error.code, "name": error.property,
                    "localizedErrorMessage": error.message, "portalId": super::PORTAL})
            })
            .collect();
        let mut refusal = Self::invalid(format!("Property values were not valid: {}", Value::from(inner)));
        refusal.errors = errors;
        refusal
    }

    /// Required properties that are not there (PipedreamHQ/pipedream issue 12366 shows the body).
    pub(super) fn required(kind: &str, missing: &[&str]) -> Self {
        let kind = kind.trim_end_matches('s').to_uppercase();
        Self::invalid(format!("Error creating {kind}. Some required properties were not set."))
            .with_context("properties", missing.iter().map(|name| json!(name)).collect())
    }

    /// A value that another record has and that must be unique.
    pub(super) fn conflict(property: &str, holder: &str) -> Self {
        let message = format!("Cannot set property {property}. {holder} already has that value.");
        let code = "CONFLICTING_UNIQUE_VALUE";
        Self::properties(vec![Detail { message, code, property: Some(property.to_owned()) }])
    }

    /// A contact's email is the one value that answers 409 and names the holder (§7.b).
    pub(super) fn contact_exists(id: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "CONFLICT", format!("Contact already exists. Existing ID: {id}"))
    }

    /// `idProperty` names a property whose values are not unique, or none (segmentio/action-destinations pull 3957).
    pub(super) fn not_unique(type_id: &str, property: &str) -> Self {
        let portal = super::PORTAL;
        Self::invalid(format!(
            "Unable to perform update/upsert by non-unique {type_id} property {property} in portal ID {portal}"
        ))
    }

    pub(super) fn object(id: &str) -> Self {
        let message = format!("Object not found.  objectId are usually numeric. {id}");
        Self::new(StatusCode::NOT_FOUND, "OBJECT_NOT_FOUND", message).with_context("id", vec![json!(id)])
    }

    pub(super) fn scopes(wanted: &str) -> Self {
        let message = "This app hasn't been granted all required scopes to make this call.";
        let mut refusal = Self::new(StatusCode::FORBIDDEN, "MISSING_SCOPES", message);
        let message = "One or more of the following scopes are required.".to_owned();
        refusal.errors.push(Detail { message, code: "MISSING_SCOPES", property: None });
        refusal.with_context("requiredGranularScopes", vec![json!(wanted)])
    }

    #[must_use]
    pub(super) fn with_context(mut self, key: &str, values: Vec<Value>) -> Self {
        self.context.insert(key.to_owned(), Value::from(values));
        self
    }

    #[must_use]
    pub(super) fn sub(mut self, category: &'static str) -> Self {
        self.sub_category = Some(category);
        self
    }

    /// What HubSpot says with this status and nothing more particular.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            400 => Self::invalid("Invalid input"),
            401 => Self::new(status, "INVALID_AUTHENTICATION", "Authentication credentials not found."),
            403 => Self::scopes("crm.objects.contacts.read"),
            404 => Self::new(status, "OBJECT_NOT_FOUND", "resource not found"),
            409 => Self::new(status, "CONFLICT", "The record was changed at the same time"),
            423 => Self::new(status, "LOCKED", "Locked: too many requests to one record at once"),
            code if code >= 500 => Self::new(status, "INTERNAL_ERROR", "internal error"),
            _ => Self::new(status, "UNKNOWN", status.canonical_reason().unwrap_or("Error")),
        }
    }

    /// The body: also what an item of a batch's `errors` looks like.
    pub(super) fn body(&self) -> Value {
        let mut body = json!({"status": "error", "message": self.message, "category": self.category,
            "correlationId": "00000000-0000-4000-8000-000000000000"});
        if let Some(sub) = self.sub_category {
            body["subCategory"] = json!(sub);
        }
        if !self.errors.is_empty() {
            let one = |error: &Detail| {
                let mut shown = json!({"message": error.message, "code": error.code});
                if let Some(property) = &error.property {
                    shown["in"] = json!(property);
                    shown["context"] = json!({"propertyName": [property]});
                }
                shown
            };
            body["errors"] = self.errors.iter().map(one).collect();
        }
        if !self.context.is_empty() {
            body["context"] = Value::Object(self.context.clone());
        }
        body
    }

    pub(super) fn into_reply(self) -> Reply {
        Reply::json(self.status, &self.body())
    }
}

/// 429 in HubSpot's form, which is not that of its other errors.
pub(super) fn too_many(policy: &str) -> Reply {
    let message = format!("You have reached your {} limit.", policy.to_lowercase());
    let body = json!({"status": "error", "message": message, "errorType": "RATE_LIMIT", "policyName": policy,
        "correlationId": "00000000-0000-4000-8000-000000000000", "requestId": "0"});
    Reply::json(StatusCode::TOO_MANY_REQUESTS, &body)
}

/// 477, a portal on its way to another data centre: says itself when to come again.
pub(super) fn migrating(seconds: u64) -> Reply {
    let status = StatusCode::from_u16(477).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    Refusal::new(status, "MIGRATION_IN_PROGRESS", "This hub is currently being migrated")
        .into_reply()
        .with(header::RETRY_AFTER, seconds.to_string())
}

/// A rate header by its short name.
pub(super) fn rate_header(name: &str) -> HeaderName {
    let full = format!("x-hubspot-ratelimit-{name}");
    HeaderName::from_bytes(full.as_bytes()).unwrap_or(header::RETRY_AFTER)
}
