//! What the API is, told by itself: OpenAPI 3.1, made from the tables of endpoints and the types that they read and answer.

use std::{collections::BTreeSet, sync::OnceLock};

use actix_web::{HttpResponse, http::header::ContentType};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    auth::{COOKIE, CSRF, Endpoint, Wants, open},
    endpoints,
};
use crate::{
    codes::{Code, Row, TABLE},
    config::Problem,
};

/// OpenAPI's place for schemas that are referred to.
const SCHEMAS: &str = "/components/schemas";

pub(super) const ENDPOINTS: &[Endpoint] = &[open("GET", "/api/openapi.json", |route| route.to(serve))
    .says("get_openapi", "This description")
    .gives::<Map<String, Value>>(200)];

/// What is to be known of an endpoint beside its place and its role.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) query: Option<Describe>,
    pub(super) header: Option<(&'static str, &'static str)>,
    pub(super) body: Content,
    pub(super) status: u16,
    pub(super) more: &'static [u16],
    pub(super) answer: Content,
}

impl About {
    pub(super) const NOTHING: Self = Self {
        id: "",
        summary: "",
        query: None,
        header: None,
        body: Content::None,
        status: 0,
        more: &[],
        answer: Content::None,
    };
}

type Describe = fn(&mut Schemas) -> Schema;

/// What stands in a body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    None,
    Json(Describe),
    /// Of this media type.
    Other(&'static str),
}

/// The types as they are read, and as they are written: one that has a default may be left out of a request, and is in every
/// answer. Both go to one place; what is read stands where it is used, so that no name means two things.
pub(super) struct Schemas {
    asked: SchemaGenerator,
    answered: SchemaGenerator,
}

pub(super) fn asked<T: JsonSchema>(schemas: &mut Schemas) -> Schema {
    schemas.asked.subschema_for::<T>()
}

pub(super) fn answered<T: JsonSchema>(schemas: &mut Schemas) -> Schema {
    schemas.answered.subschema_for::<T>()
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.meta_schema = None;
                settings.definitions_path = SCHEMAS.into();
            })
        };
        Self {
            asked: settings().with(|settings| settings.inline_subschemas = true).into_generator(),
            answered: settings().for_serialize().into_generator(),
        }
    }
}

/// How everything that is not well is answered.
#[derive(Serialize, JsonSchema)]
pub(super) struct Failed {
    pub(super) error: Wrong,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Wrong {
    /// One word, for programs: those of `x-codes`. Of a call that Exotel refuses to place it is Exotel's own number.
    pub(super) code: String,
    /// What is wrong, and what would be right.
    pub(super) message: String,
    /// The same, setting by setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problems: Option<Vec<ProblemShown>>,
}

impl Wrong {
    pub(super) fn new(code: Code, message: String) -> Self {
        Self { code: code.as_str().to_owned(), message, problems: None }
    }

    /// By Exotel's own number.
    pub(super) fn of_exotel(code: &str, message: String) -> Self {
        Self { code: code.to_owned(), message, problems: None }
    }
}

/// One setting that cannot be as it was given.
#[derive(Serialize, JsonSchema)]
pub(super) struct ProblemShown {
    key: String,
    message: String,
}

impl ProblemShown {
    pub(super) fn of(problem: &Problem) -> Self {
        Self { key: problem.key.clone(), message: problem.message.clone() }
    }
}

/// The description, the same for every process of this version.
pub(super) fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let mut schemas = Schemas::new();
        let error = answered::<Failed>(&mut schemas);
        let mut paths = Map::new();
        for endpoint in endpoints() {
            let path = paths.entry(endpoint.path).or_insert_with(|| json!({ "parameters": in_path(endpoint.path) }));
            path[endpoint.method.to_lowercase()] = operation(endpoint, &mut schemas);
        }
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Patchbay",
                "version": env!("CARGO_PKG_VERSION"),
                "summary": "The switchboard between Exotel and the CRMs",
                "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            },
            "paths": paths,
            "components": {
                "schemas": schemas.answered.take_definitions(true),
                "responses": {
                    "Error": {
                        "description": "What is wrong, and what would be right.",
                        "x-codes": codes(),
                        "content": { "application/json": { "schema": error } },
                    },
                },
                "securitySchemes": {
                    "token": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "`server.admin_token`, or an API token from `POST /api/v1/tokens`.",
                    },
                    "session": {
                        "type": "apiKey",
                        "in": "cookie",
                        "name": COOKIE,
                        "description": format!("From `POST /api/v1/session`. Changes also send its `csrf` as `{CSRF}`."),
                    },
                },
            },
        })
    })
}

/// Every code of an answer, with the statuses it comes with and what is to be done about it.
fn codes() -> Map<String, Value> {
    let answered = TABLE.iter().filter(|row| !row.statuses.is_empty());
    let shown = |row: &Row| json!({ "statuses": row.statuses, "happened": row.happened, "advice": row.advice });
    answered.map(|row| (row.word.to_owned(), shown(row))).collect()
}

fn in_path(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.split('}').next());
    let what = |name: &str| match name {
        "sid" => "The account's SID at Exotel.",
        "call_sid" => "The call's SID at Exotel.",
        "name" => "The integration's name.",
        _ => "Its id, as the list shows it.",
    };
    let parameter = |name: &str| json!({ "name": name, "in": "path", "required": true, "description": what(name), "schema": { "type": "string" } });
    names.map(parameter).collect()
}

fn operation(endpoint: &Endpoint, schemas: &mut Schemas) -> Value {
    let about = &endpoint.about;
    let mut operation = json!({
        "operationId": about.id,
        "summary": about.summary,
        "tags": [tag(endpoint.path)],
        "responses": responses(endpoint, schemas),
        "security": match endpoint.wants {
            Wants::Nobody => json!([]),
            Wants::Role(_) => json!([{ "token": [] }, { "session": [] }]),
        },
    });
    if let Wants::Role(role) = endpoint.wants {
        operation["description"] = format!("Wants the role `{}`.", role.as_str()).into();
        operation["x-role"] = role.as_str().into();
    }
    let mut parameters = about.query.map(|describe| in_query(&describe(schemas))).unwrap_or_default();
    if let Some((name, what)) = about.header {
        parameters.push(json!({
            "name": name, "in": "header", "required": true, "description": what, "schema": { "type": "string" },
        }));
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(content) = content(about.body, schemas) {
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    operation
}

/// What an endpoint is about: the first word of its path after the account.
fn tag(path: &str) -> &str {
    let path = path.trim_start_matches("/api/").trim_start_matches("v1/");
    let rest = path.strip_prefix("accounts/{sid}/").unwrap_or(path);
    rest.split(['/', '.']).next().unwrap_or(rest)
}

fn responses(endpoint: &Endpoint, schemas: &mut Schemas) -> Value {
    let about = &endpoint.about;
    let mut responses = Map::new();
    for status in std::iter::once(&about.status).chain(about.more) {
        let mut response = json!({ "description": meaning(*status) });
        if let Some(content) = content(about.answer, schemas) {
            response["content"] = content;
        }
        responses.insert(status.to_string(), response);
    }
    responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Error" }));
    responses.into()
}

fn meaning(status: u16) -> &'static str {
    match status {
        201 => "It is made.",
        202 => "It is taken, and will be done.",
        204 => "It is done; there is nothing to say.",
        422 => "It is refused.",
        _ => "As asked.",
    }
}

fn content(content: Content, schemas: &mut Schemas) -> Option<Value> {
    Some(match content {
        Content::None => return None,
        Content::Json(describe) => json!({ "application/json": { "schema": describe(schemas) } }),
        Content::Other(media) => json!({ media: { "schema": { "type": "string" } } }),
    })
}

/// The fields of a query's type, as parameters.
fn in_query(schema: &Schema) -> Vec<Value> {
    let required: BTreeSet<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let parameter = |(name, schema): (&String, &Value)| {
        let mut schema = schema.clone();
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let mut parameter =
            json!({ "name": name, "in": "query", "required": required.contains(name.as_str()), "schema": schema });
        if let Some(description) = description {
            parameter["description"] = description;
        }
        parameter
    };
    properties.map(parameter).collect()
}

async fn serve() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(document().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_says_what_it_is_and_what_it_answers() {
        let mut ids = BTreeSet::new();
        for endpoint in endpoints() {
            let about = &endpoint.about;
            let at = format!("{} {}", endpoint.method, endpoint.path);
            assert!(!about.id.is_empty() && !about.summary.is_empty() && about.status != 0, "{at} says nothing");
            assert!(ids.insert(about.id), "{at}: {} stands twice", about.id);
            assert!(!about.summary.ends_with('.'), "{at}: a summary is no sentence");
        }
    }

    #[test]
    fn everything_that_is_referred_to_is_there() {
        fn walk(value: &Value, document: &Value, seen: &mut usize) {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(to)) = map.get("$ref") {
                        *seen += 1;
                        let to = to.strip_prefix('#').expect("within the document");
                        assert!(document.pointer(to).is_some(), "{to} is not there");
                    }
                    map.values().for_each(|value| walk(value, document, seen));
                }
                Value::Array(items) => items.iter().for_each(|value| walk(value, document, seen)),
                _ => {}
            }
        }
        let mut seen = 0;
        walk(document(), document(), &mut seen);
        assert!(seen > 0);
    }
}
