//! Single records: created, shown, changed, upserted by an external id ("REST API Developer Guide, sObject Rows" and
//! "sObject Rows by External ID").

use http::{Method, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Salesforce, ids,
    refusal::{Answer, Refusal},
    schema::{Field, Kind, Object},
    store::Values,
};
use crate::{Reply, Request};

/// What a write is: some fields can only be given at creation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    Create,
    Update,
}

impl Salesforce {
    pub(super) fn object(&self, name: &str) -> Result<&Object, Refusal> {
        self.objects.iter().find(|object| object.name.eq_ignore_ascii_case(name)).ok_or_else(Refusal::not_found)
    }

    pub(super) fn describe(&self, name: &str) -> Answer {
        let object = self.object(name)?;
        let fields: Vec<Value> = object
            .fields
            .iter()
            .map(|(name, field)| {
                json!({"name": name, "label": name, "type": field.type_name(), "length": field.length(),
                       "nillable": !field.required, "createable": field.creatable, "updateable": field.updatable,
                       "externalId": field.external_id, "unique": field.unique, "filterable": field.filterable()})
            })
            .collect();
        let shown = json!({"name": object.name, "keyPrefix": object.prefix, "createable": true, "updateable": true,
                           "fields": fields});
        Ok(Reply::json(StatusCode::OK, &shown))
    }

    pub(super) fn create(&mut self, name: &str, request: &Request, now: Timestamp) -> Answer {
        let object = self.object(name)?.clone();
        let values = self.read(&object, &body(request)?, Write::Create)?;
        let id = self.insert(&object, values, request, now)?;
        let location = format!("/{}/{id}", request.path.join("/"));
        Ok(written(StatusCode::CREATED, &id, None).with(header::LOCATION, location))
    }

    /// `/sobjects/{object}/{id}`.
    pub(super) fn row(&mut self, name: &str, id: &str, request: &Request, now: Timestamp) -> Answer {
        let object = self.object(name)?.clone();
        // What is written like no id is taken for the name of an external id field.
        let id =
            ids::read(id).filter(|long| long.starts_with(object.prefix)).ok_or_else(|| Refusal::no_such_field(id))?;
        let record = self.store.get(&id).ok_or_else(Refusal::not_found)?;
        if record.deleted {
            return Err(Refusal::deleted(StatusCode::NOT_FOUND));
        }
        match request.method {
            Method::GET => self.show(&object, &id, request),
            Method::PATCH => {
                let values = self.read(&object, &body(request)?, Write::Update)?;
                self.update(&object, &id, values, now)?;
                Ok(Reply::empty(StatusCode::NO_CONTENT))
            }
            Method::DELETE => {
                self.delete(&id, now);
                Ok(Reply::empty(StatusCode::NO_CONTENT))
            }
            _ => Err(Refusal::method(&request.method)),
        }
    }

    /// `/sobjects/{object}/{field}/{value}`.
    pub(super) fn keyed(&mut self, path: [&str; 3], request: &Request, now: Timestamp) -> Answer {
        let [name, field, value] = path;
        let object = self.object(name)?.clone();
        let known = object.field(field).filter(|(_, field)| field.external_id);
        let (field, _) = known.ok_or_else(|| Refusal::no_such_field(field))?;
        let found = self.store.holders(object.name, field, value);
        if found.len() > 1 {
            let urls: Vec<String> = found.iter().map(|id| self.url(object.name, id, request)).collect();
            return Ok(Reply::json(StatusCode::MULTIPLE_CHOICES, &urls));
        }
        match request.method {
            Method::GET => match found.first() {
                Some(id) => self.show(&object, id, request),
                None => Err(Refusal::not_found()),
            },
            Method::PATCH => {
                let body = body(request)?;
                if body.contains_key(field) {
                    // The URL says it already.
                    let message = format!("The {field} field should not be specified in the sobject data.");
                    return Err(Refusal::bad("INVALID_FIELD", message).on([field]));
                }
                let (id, created) = if let Some(id) = found.first() {
                    let values = self.read(&object, &body, Write::Update)?;
                    self.update(&object, id, values, now)?;
                    (id.clone(), false)
                } else if request.param("updateOnly") == Some("true") {
                    return Err(Refusal::not_found());
                } else {
                    let mut values = self.read(&object, &body, Write::Create)?;
                    if value.chars().count() > object.fields[field].length() {
                        return Err(too_long(field, value, object.fields[field].length()));
                    }
                    values.insert(field.to_owned(), json!(value));
                    (self.insert(&object, values, request, now)?, true)
                };
                if !created && self.settings.upsert_answers_204 {
                    return Ok(Reply::empty(StatusCode::NO_CONTENT));
                }
                let status = if created { StatusCode::CREATED } else { StatusCode::OK };
                Ok(written(status, &id, Some(created)))
            }
            _ => Err(Refusal::method(&request.method)),
        }
    }

    fn show(&self, object: &Object, id: &str, request: &Request) -> Answer {
        let record = self.store.get(id).ok_or_else(Refusal::not_found)?;
        let names: Vec<String> = match request.param("fields") {
            None => object.fields.keys().cloned().collect(),
            Some(list) => list
                .split(',')
                .map(|name| object.field(name).map(|(name, _)| name.to_owned()).ok_or_else(|| no_column(object, name)))
                .collect::<Result<_, _>>()?,
        };
        let mut shown = json!({"attributes": {"type": object.name, "url": self.url(object.name, id, request)}});
        for name in names {
            shown[&name] = record.value(&name);
        }
        Ok(Reply::json(StatusCode::OK, &shown))
    }

    pub(super) fn url(&self, object: &str, id: &str, request: &Request) -> String {
        let version = request.path.get(2).map_or("v62.0", String::as_str);
        format!("/services/data/{version}/sobjects/{object}/{id}")
    }

    /// The values of a body, checked field by field.
    fn read(&self, object: &Object, body: &Values, write: Write) -> Result<Values, Refusal> {
        let mut values = Values::new();
        let mut closed = Vec::new();
        for (name, value) in body {
            if name == "attributes" {
                continue;
            }
            let Some((name, field)) = object.field(name) else { return Err(no_column(object, name)) };
            let open = if write == Write::Create { field.creatable } else { field.updatable };
            if !(open || name == "TaskSubtype" && self.settings.subtype_is_updatable) {
                closed.push(name.to_owned());
                continue;
            }
            values.insert(name.to_owned(), self.value(name, field, value)?);
        }
        if !closed.is_empty() {
            let message = format!(
                "Unable to create/update fields: {}. Please check the security settings of this field and verify that \
                 it is read/write for your profile or permission set.",
                closed.join(", ")
            );
            return Err(Refusal::bad("INVALID_FIELD_FOR_INSERT_UPDATE", message).on(closed));
        }
        Ok(values)
    }

    fn value(&self, name: &str, field: &Field, value: &Value) -> Result<Value, Refusal> {
        let unreadable = |kind: &str| {
            let given = match value {
                Value::String(_) => "VALUE_STRING",
                Value::Number(_) => "VALUE_NUMBER_INT",
                Value::Bool(_) => "VALUE_TRUE",
                _ => "START_OBJECT",
            };
            Refusal::unreadable(format!(
                "Cannot deserialize instance of {kind} from {given} value or request may be missing a required field at [line:1, column:1]"
            ))
        };
        if value.is_null() {
            return Ok(Value::Null);
        }
        let kind = field.type_name();
        let text = || value.as_str().ok_or_else(|| unreadable(kind));
        match &field.kind {
            Kind::Whole => return value.as_i64().map(|_| value.clone()).ok_or_else(|| unreadable(kind)),
            Kind::Yes => return value.as_bool().map(|_| value.clone()).ok_or_else(|| unreadable(kind)),
            Kind::Day => {
                text()?.parse::<jiff::civil::Date>().map_err(|_| unreadable(kind))?;
            }
            Kind::Moment => {
                text()?.parse::<Timestamp>().map_err(|_| unreadable(kind))?;
            }
            Kind::OneOf(known) => {
                if !known.contains(&text()?) {
                    let message = format!("{name}: bad value for restricted picklist field: {}", text()?);
                    return Err(Refusal::bad("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message).on([name]));
                }
            }
            Kind::Id(objects) => return self.reference(name, objects, text()?).map(Value::from),
            Kind::Text(_) | Kind::Long(_) | Kind::Phone | Kind::Url => {
                if text()?.chars().count() > field.length() {
                    return Err(too_long(name, text()?, field.length()));
                }
            }
        }
        // Salesforce keeps no empty text.
        let text = text()?;
        Ok(if text.is_empty() { Value::Null } else { json!(text) })
    }

    fn reference(&self, name: &str, objects: &[&str], given: &str) -> Result<String, Refusal> {
        let wrong = |code, message: String| Refusal::bad(code, message).on([name]);
        let Some(id) = ids::read(given) else {
            return Err(wrong("MALFORMED_ID", format!("{name}: id value of incorrect type: {given}")));
        };
        let prefix = |object: &&str| self.objects.iter().any(|one| one.name == *object && id.starts_with(one.prefix));
        if !objects.iter().any(prefix) {
            return Err(wrong("FIELD_INTEGRITY_EXCEPTION", format!("{name}: id value of incorrect type: {given}")));
        }
        let Some(record) = self.store.get(&id) else {
            return Err(wrong("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id".to_owned()));
        };
        if record.deleted {
            return Err(match self.settings.deleted_reference_names_field {
                true => wrong("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id".to_owned()),
                false => Refusal::deleted(StatusCode::BAD_REQUEST),
            });
        }
        if record.object == "User" && record.values.get("IsActive") == Some(&json!(false)) {
            let message = format!("operation performed with inactive user [{}] as owner of task", &id[..15]);
            return Err(Refusal::bad("INACTIVE_OWNER_OR_USER", message).on([] as [&str; 0]));
        }
        Ok(id)
    }

    fn insert(
        &mut self,
        object: &Object,
        mut values: Values,
        request: &Request,
        now: Timestamp,
    ) -> Result<String, Refusal> {
        let missing: Vec<&String> = object
            .fields
            .iter()
            .filter(|(name, field)| field.required && values.get(*name).is_none_or(Value::is_null))
            .map(|(name, _)| name)
            .collect();
        if !missing.is_empty() {
            let names = missing.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            let message = format!("Required fields are missing: [{names}]");
            return Err(Refusal::bad("REQUIRED_FIELD_MISSING", message).on(missing.into_iter().cloned()));
        }
        self.holds_together(object, &values)?;
        self.unique(object, &values, None)?;
        self.no_duplicate(object, &values, request)?;
        values.retain(|_, value| !value.is_null());
        let stamp = json!(moment(now));
        for name in ["CreatedDate", "LastModifiedDate"] {
            values.insert(name.to_owned(), stamp.clone());
        }
        if object.field("OwnerId").is_some() {
            values.entry("OwnerId").or_insert_with(|| json!(self.integration_user));
        }
        if object.field("Status").is_some() && !values.contains_key("Status") {
            let first = match object.name {
                "Task" => "Not Started",
                "Lead" => "Open - Not Contacted",
                _ => "New",
            };
            values.insert("Status".to_owned(), json!(first));
        }
        if object.name == "Lead" {
            values.insert("IsConverted".to_owned(), json!(false));
        }
        if object.name == "Case" {
            let number = self.store.of("Case").count() + 1001;
            values.insert("CaseNumber".to_owned(), json!(format!("{number:08}")));
        }
        closes(object, &mut values);
        Ok(self.add(object.name, values, now))
    }

    fn update(&mut self, object: &Object, id: &str, values: Values, now: Timestamp) -> Result<(), Refusal> {
        let mut after = self.store.get(id).map(|record| record.values.clone()).unwrap_or_default();
        let missing: Vec<String> = values
            .iter()
            .filter(|(name, value)| value.is_null() && object.fields.get(*name).is_some_and(|field| field.required))
            .map(|(name, _)| name.clone())
            .collect();
        if !missing.is_empty() {
            let message = format!("Required fields are missing: [{}]", missing.join(", "));
            return Err(Refusal::bad("REQUIRED_FIELD_MISSING", message).on(missing));
        }
        after.extend(values);
        after.retain(|_, value| !value.is_null());
        self.holds_together(object, &after)?;
        self.unique(object, &after, Some(id))?;
        after.insert("LastModifiedDate".to_owned(), json!(moment(now)));
        closes(object, &mut after);
        if object.field("OwnerId").is_some() {
            after.entry("OwnerId").or_insert_with(|| json!(self.integration_user));
        }
        self.alter(id, now, |record| record.values = after);
        Ok(())
    }

    /// "Object Reference, Task": who has a lead for a name has nothing it relates to.
    fn holds_together(&self, object: &Object, values: &Values) -> Result<(), Refusal> {
        let given = |name: &str| values.get(name).and_then(Value::as_str);
        if object.name == "Task"
            && given("WhoId").is_some_and(|who| who.starts_with("00Q"))
            && given("WhatId").is_some()
        {
            let message = "If your task/event is related to a lead, you cannot relate it to another object";
            return Err(Refusal::bad("FIELD_INTEGRITY_EXCEPTION", message).on(["WhatId"]));
        }
        for (field, message) in &self.validations {
            if object.field(field).is_some() && given(field).is_none() {
                return Err(Refusal::bad("FIELD_CUSTOM_VALIDATION_EXCEPTION", message.clone()).on([field]));
            }
        }
        Ok(())
    }

    fn unique(&self, object: &Object, values: &Values, own: Option<&str>) -> Result<(), Refusal> {
        for (name, _) in object.fields.iter().filter(|(_, field)| field.unique) {
            let Some(value) = values.get(name).and_then(Value::as_str) else { continue };
            if let Some(other) = self.store.holders(object.name, name, value).iter().find(|id| Some(id.as_str()) != own)
            {
                let message =
                    format!("duplicate value found: {name} duplicates value on record with id: {}", &other[..15]);
                return Err(Refusal::bad("DUPLICATE_VALUE", message).on([] as [&str; 0]));
            }
        }
        Ok(())
    }

    /// The org's duplicate rule, where it has one: two people with one number. What only warns lets itself be told off
    /// by a header ("REST API Developer Guide, Duplicate Rule Header").
    fn no_duplicate(&self, object: &Object, values: &Values, request: &Request) -> Result<(), Refusal> {
        let allowed = request
            .headers
            .get("sforce-duplicate-rule-header")
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.replace(' ', "").contains("allowSave=true"));
        let Some(rule) = &self.settings.duplicate_rule else { return Ok(()) };
        if rule.only_warns && allowed || !["Contact", "Lead", "Account"].contains(&object.name) {
            return Ok(());
        }
        let Some(number) = values.get("Phone") else { return Ok(()) };
        let Some(match_) = self.store.of(object.name).find(|record| record.values.get("Phone") == Some(number)) else {
            return Ok(());
        };
        let refusal = Refusal::bad("DUPLICATES_DETECTED", "Use one of these records?").on([] as [&str; 0]);
        let Some(key) = rule.names_matches else { return Err(refusal) };
        let record = json!({"attributes": {"type": object.name, "url": self.url(object.name, &match_.id, request)},
                            "Id": match_.id});
        Err(refusal.with(
            key,
            json!({"allowSave": rule.only_warns, "duplicateRule": "Standard_Rule",
                   "duplicateRuleEntityType": object.name, "errorMessage": "Use one of these records?",
                   "matchResults": [{"entityType": object.name, "errors": [], "matchEngine": "FuzzyMatchEngine",
                       "matchRecords": [{"additionalInformation": [], "fieldDiffs": [], "matchConfidence": 100.0,
                                         "record": record}],
                       "rule": "Standard_Match_Rule", "size": 1, "success": true}]}),
        ))
    }
}

/// Whether a case is closed follows from its status ("Object Reference, Case: IsClosed").
fn closes(object: &Object, values: &mut Values) {
    if object.name == "Case" {
        let is_closed = values.get("Status").and_then(Value::as_str) == Some("Closed");
        values.insert("IsClosed".to_owned(), json!(is_closed));
    }
}

pub(super) fn no_column(object: &Object, name: &str) -> Refusal {
    Refusal::bad("INVALID_FIELD", format!("No such column '{name}' on sobject of type {}", object.name))
}

fn too_long(name: &str, value: &str, most: usize) -> Refusal {
    let shown: String = value.chars().take(40).collect();
    Refusal::bad("STRING_TOO_LONG", format!("{name}: data value too large: {shown} (max length={most})")).on([name])
}

fn written(status: StatusCode, id: &str, created: Option<bool>) -> Reply {
    let mut shown = json!({"id": id, "success": true, "errors": []});
    if let Some(created) = created {
        shown["created"] = json!(created);
    }
    Reply::json(status, &shown)
}

/// The object that a body is.
pub(super) fn body(request: &Request) -> Result<Values, Refusal> {
    let kind = request.header(header::CONTENT_TYPE).unwrap_or_default();
    if !kind.starts_with("application/json") {
        return Err(Refusal::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    match serde_json::from_slice(&request.body) {
        Ok(Value::Object(values)) => Ok(values),
        Ok(_) => Err(Refusal::unreadable("Cannot deserialize instance of SObject")),
        Err(error) => Err(Refusal::unreadable(format!("Unexpected character at {error}"))),
    }
}

/// A time as Salesforce shows it.
pub(super) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.000+0000").to_string()
}
