//! Objects: created, upserted by a unique value, read without any lag, associated (`crm-api.md` §7.d, §7.f).

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    HubSpot,
    model::{Kind, Object},
    refusal::{Answer, Refusal},
    schema::national,
};
use crate::{Reply, Request};

const INPUTS_MAX: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    /// All values are texts; a number or a null is refused as the spec says.
    properties: BTreeMap<String, String>,
    #[serde(default)]
    associations: Vec<Association>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Association {
    to: To,
    types: Vec<AssociationType>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct To {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AssociationType {
    association_category: String,
    association_type_id: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    properties: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Upserts {
    inputs: Vec<Upsert>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Upsert {
    id_property: Option<String>,
    id: String,
    properties: BTreeMap<String, String>,
    object_write_trace_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Reads {
    inputs: Vec<Wanted>,
    properties: Vec<String>,
    properties_with_history: Vec<String>,
    id_property: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    id: String,
}

fn read<T: DeserializeOwned>(request: &Request) -> Result<T, Refusal> {
    if request.body.is_empty() {
        return Err(Refusal::invalid("Invalid JSON input: a request body was expected, but none found"));
    }
    serde_json::from_slice(&request.body).map_err(|error| Refusal::json(&error.to_string()))
}

impl HubSpot {
    /// The object that is meant, by its id or by a unique property, archived or not.
    fn locate(&self, kind: Kind, id: &str, request: &Request) -> Result<&Object, Refusal> {
        match request.param("idProperty") {
            None | Some("hs_object_id") => self.shelf(kind).get(id).ok_or_else(|| Refusal::object(id)),
            Some(property) if self.unique(kind).iter().any(|name| name == property) => {
                self.shelf(kind).holder(property, id).ok_or_else(|| Refusal::object(id))
            }
            Some(property) => Err(Refusal::not_unique(kind.type_id(), property)),
        }
    }

    fn live(&self, kind: Kind, id: &str, request: &Request) -> Result<&Object, Refusal> {
        self.locate(kind, id, request)
            .and_then(|found| if found.archived { Err(Refusal::object(id)) } else { Ok(found) })
    }

    pub(super) fn show(&self, kind: Kind, id: &str, request: &Request) -> Answer {
        let found = self.locate(kind, id, request)?;
        if found.archived != (request.param("archived") == Some("true")) {
            return Err(Refusal::object(id));
        }
        let wanted: Vec<String> =
            request.param("properties").unwrap_or_default().split(',').map(str::to_owned).collect();
        let mut shown = found.shown(&wanted.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>());
        for of in request.param("associations").unwrap_or_default().split(',').filter_map(Kind::of) {
            let ids = found.associated.iter().filter(|(kind, _)| *kind == of);
            let one = format!("{}_to_{}", kind.name().trim_end_matches('s'), of.name().trim_end_matches('s'));
            let results: Vec<Value> = ids.map(|(_, id)| json!({"id": id, "type": one})).collect();
            if !results.is_empty() {
                shown["associations"][of.name()] = json!({"results": results});
            }
        }
        Ok(Reply::json(StatusCode::OK, &shown))
    }

    pub(super) fn create(&mut self, kind: Kind, request: &Request, now: Timestamp) -> Answer {
        let new: New = read(request)?;
        self.check(kind, &new.properties, None, true)?;
        let mut associated = BTreeSet::new();
        for association in &new.associations {
            let to = association.types.iter().find_map(|of| {
                let known = Kind::ALL.into_iter().find(|to| kind.association(*to) == Some(of.association_type_id));
                known.filter(|_| of.association_category == "HUBSPOT_DEFINED")
            });
            let to = to.ok_or_else(|| Refusal::invalid("One or more association types are not valid"))?;
            self.associable(to, &association.to.id)?;
            associated.insert((to, association.to.id.clone()));
        }
        let id = self.insert(kind, new.properties, now, now);
        for (to, other) in associated {
            self.associate(kind, &id, to, &other, now);
        }
        Ok(Reply::json(StatusCode::CREATED, &self.shown(kind, &id)))
    }

    pub(super) fn update(&mut self, kind: Kind, id: &str, request: &Request, now: Timestamp) -> Answer {
        let change: Change = read(request)?;
        let id = self.live(kind, id, request)?.id.clone();
        self.check(kind, &change.properties, Some(&id), false)?;
        self.write(kind, &id, change.properties, now);
        Ok(Reply::json(StatusCode::OK, &self.shown(kind, &id)))
    }

    /// Deleting what is not there is as good as deleting.
    pub(super) fn archive(&mut self, kind: Kind, id: &str, now: Timestamp) -> Answer {
        self.remove(kind, id, now);
        Ok(Reply::empty(StatusCode::NO_CONTENT))
    }

    /// What is there now, without any lag; what is not is named in a 207.
    pub(super) fn read_batch(&self, kind: Kind, request: &Request, now: Timestamp) -> Answer {
        let batch: Reads = read(request)?;
        if batch.inputs.is_empty() || batch.inputs.len() > INPUTS_MAX {
            return Err(Refusal::invalid(format!(
                "The batch has {} inputs, not 1 to {INPUTS_MAX}",
                batch.inputs.len()
            )));
        }
        if !batch.properties_with_history.is_empty() {
            return Err(Refusal::invalid("propertiesWithHistory is not played by this sandbox"));
        }
        if let Some(property) = batch.id_property.as_ref().filter(|name| !self.unique(kind).contains(name)) {
            return Err(Refusal::not_unique(kind.type_id(), property));
        }
        let (mut results, mut missing) = (Vec::new(), Vec::new());
        for Wanted { id } in &batch.inputs {
            let found = match &batch.id_property {
                Some(property) => self.shelf(kind).holder(property, id),
                None => self.shelf(kind).get(id),
            };
            match found.filter(|found| !found.archived) {
                Some(found) => results.push(found.shown(&batch.properties)),
                None => missing.push(json!(id)),
            }
        }
        let name = kind.name().trim_end_matches('s').to_uppercase();
        let message = format!("Could not get some {name} objects, they may be deleted or not exist.");
        let error = Refusal::new(StatusCode::NOT_FOUND, "OBJECT_NOT_FOUND", message);
        let errors = if missing.is_empty() { Vec::new() } else { vec![error.with_context("ids", missing)] };
        Ok(batch_reply(&results, &errors, now))
    }

    pub(super) fn upsert(&mut self, kind: Kind, request: &Request, now: Timestamp) -> Answer {
        let batch: Upserts = read(request)?;
        if batch.inputs.is_empty() || batch.inputs.len() > INPUTS_MAX {
            return Err(Refusal::invalid(format!(
                "The batch has {} inputs, not 1 to {INPUTS_MAX}",
                batch.inputs.len()
            )));
        }
        let ids: BTreeSet<&str> = batch.inputs.iter().map(|input| input.id.as_str()).collect();
        if ids.len() < batch.inputs.len() {
            return Err(Refusal::invalid("Duplicate IDs found in batch input"));
        }
        if self.fail_inside > 0 {
            self.fail_inside -= 1;
            let error = Refusal::of_status(StatusCode::INTERNAL_SERVER_ERROR);
            return Ok(batch_reply(&[], &[error.with_context("ids", ids.iter().map(|id| json!(id)).collect())], now));
        }
        let unique = self.unique(kind);
        let (mut results, mut errors) = (Vec::new(), Vec::new());
        for input in &batch.inputs {
            let property = input.id_property.as_deref().unwrap_or_default();
            if !unique.iter().any(|name| name == property) {
                return Err(Refusal::not_unique(kind.type_id(), property));
            }
            match self.upsert_one(kind, property, input, now) {
                Ok((id, new)) => {
                    let mut shown = self.shown(kind, &id);
                    shown["new"] = json!(new);
                    if let Some(trace) = &input.object_write_trace_id {
                        shown["objectWriteTraceId"] = json!(trace);
                    }
                    results.push(shown);
                }
                Err(refusal) if self.settings.batch_fails_whole => return Err(refusal),
                Err(refusal) => errors.push(refusal.with_context("ids", vec![json!(input.id)])),
            }
        }
        Ok(batch_reply(&results, &errors, now))
    }

    fn upsert_one(
        &mut self,
        kind: Kind,
        property: &str,
        input: &Upsert,
        now: Timestamp,
    ) -> Result<(String, bool), Refusal> {
        if input.id.is_empty() {
            return Err(Refusal::invalid("The id of an input is empty"));
        }
        let mut values = input.properties.clone();
        values.insert(property.to_owned(), input.id.clone());
        let holder = self.shelf(kind).holder(property, &input.id).filter(|holder| !holder.archived);
        let holder = holder.map(|holder| holder.id.clone());
        self.check(kind, &values, holder.as_deref(), holder.is_none())?;
        match holder {
            Some(id) => {
                self.write(kind, &id, values, now);
                Ok((id, false))
            }
            None => Ok((self.insert(kind, values, now, now), true)),
        }
    }

    /// `PUT …/associations/default/{to}/{id}` and the older form that names the type.
    pub(super) fn put_association(
        &mut self,
        (kind, id): (Kind, &str),
        (to, other): (Kind, &str),
        type_id: Option<&str>,
        now: Timestamp,
    ) -> Answer {
        let known = kind.association(to).ok_or_else(|| Refusal::invalid("No association between these kinds"))?;
        if type_id.is_some_and(|given| given != known.to_string()) {
            return Err(Refusal::invalid("One or more association types are not valid"));
        }
        if self.shelf(kind).get(id).is_none_or(|found| found.archived) {
            return Err(Refusal::object(id));
        }
        self.associable(to, other)?;
        self.associate(kind, id, to, other, now);
        if type_id.is_some() {
            return Ok(Reply::json(StatusCode::OK, &self.shown(kind, id)));
        }
        let spec = json!({"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": known});
        let result = json!({"from": {"id": id}, "to": {"id": other}, "associationSpec": spec});
        Ok(batch_reply(&[result], &[], now))
    }

    pub(super) fn associations(&self, kind: Kind, id: &str, of: Kind) -> Answer {
        let found = self.shelf(kind).get(id).filter(|found| !found.archived).ok_or_else(|| Refusal::object(id))?;
        let live = found
            .associated
            .iter()
            .filter(|(to, other)| *to == of && self.shelf(of).get(other).is_some_and(|other| !other.archived));
        let results: Vec<Value> = live
            .map(|(_, other)| {
                let of = json!({"category": "HUBSPOT_DEFINED", "typeId": kind.association(of), "label": null});
                json!({"toObjectId": other.parse::<u64>().ok(), "associationTypes": [of]})
            })
            .collect();
        Ok(Reply::json(StatusCode::OK, &json!({"results": results})))
    }

    /// Only what is there can be associated; how HubSpot says that it is not is uncertain.
    fn associable(&self, to: Kind, id: &str) -> Result<(), Refusal> {
        if self.shelf(to).get(id).is_some_and(|found| !found.archived) {
            return Ok(());
        }
        if self.settings.missing_associate_is_404 {
            return Err(Refusal::object(id));
        }
        let name = to.name().trim_end_matches('s').to_uppercase();
        Err(Refusal::invalid(format!("{name}={id} is not valid")).sub("crm.associations.INVALID_OBJECT_IDS"))
    }

    pub(super) fn associate(&mut self, kind: Kind, id: &str, to: Kind, other: &str, now: Timestamp) {
        for (of, this, that) in [(kind, id, (to, other)), (to, other, (kind, id))] {
            let (unique, lag) = (self.unique(of), self.settings.index_lag);
            let that = (that.0, that.1.to_owned());
            self.shelf_mut(of).change(this, now, lag, &unique, |object| {
                object.associated.insert(that);
            });
        }
    }

    pub(super) fn insert(
        &mut self,
        kind: Kind,
        mut properties: BTreeMap<String, String>,
        now: Timestamp,
        since: Timestamp,
    ) -> String {
        calculate(kind, &mut properties, now);
        let (number, unique) = (self.next_id, self.unique(kind));
        self.next_id += 1;
        let id = number.to_string();
        let object = Object {
            id: id.clone(),
            properties,
            created_at: now,
            updated_at: now,
            archived: false,
            associated: BTreeSet::new(),
        };
        self.shelf_mut(kind).insert(number, object, since, &unique);
        id
    }

    pub(super) fn write(&mut self, kind: Kind, id: &str, values: BTreeMap<String, String>, now: Timestamp) {
        let (unique, lag) = (self.unique(kind), self.settings.index_lag);
        self.shelf_mut(kind).change(id, now, lag, &unique, |object| {
            object.properties.extend(values);
            calculate(kind, &mut object.properties, now);
        });
    }

    fn shown(&self, kind: Kind, id: &str) -> Value {
        let found = self.shelf(kind).get(id);
        found.map_or(Value::Null, |found| {
            let all: Vec<String> = found.properties.keys().cloned().collect();
            found.shown(&all)
        })
    }
}

fn batch_reply(results: &[Value], errors: &[Refusal], now: Timestamp) -> Reply {
    let at = now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let mut body = json!({"status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at});
    if errors.is_empty() {
        return Reply::json(StatusCode::OK, &body);
    }
    body["numErrors"] = json!(errors.len());
    body["errors"] = errors.iter().map(Refusal::body).collect();
    Reply::json(StatusCode::MULTI_STATUS, &body)
}

/// The properties HubSpot works out by itself.
fn calculate(kind: Kind, properties: &mut BTreeMap<String, String>, now: Timestamp) {
    if kind == Kind::Tickets {
        // The last stage of the support pipeline closes a ticket; opened again, it has not been closed [M].
        match properties.get("hs_pipeline_stage").map(String::as_str) {
            Some("4") => {
                properties.entry("closed_date".to_owned()).or_insert_with(|| now.to_string());
            }
            _ => {
                properties.remove("closed_date");
            }
        }
    }
    if kind != Kind::Contacts {
        return;
    }
    let sources = [
        ("phone", "hs_calculated_phone_number", "hs_searchable_calculated_phone_number"),
        ("mobilephone", "hs_calculated_mobile_number", "hs_searchable_calculated_mobile_number"),
    ];
    for (source, whole, searchable) in sources {
        let written = properties.get(source).cloned().unwrap_or_default();
        match national(&written) {
            Some(digits) => {
                properties.insert(whole.to_owned(), format!("+91{digits}"));
                properties.insert(searchable.to_owned(), digits);
            }
            None => {
                properties.remove(whole);
                properties.remove(searchable);
            }
        }
    }
}
