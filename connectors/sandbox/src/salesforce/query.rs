//! `/query`: SOQL over the org's records, page by page, never behind.

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Salesforce,
    refusal::{Answer, Refusal},
    schema::{Kind, Object},
    soql::{self, Query},
    store::Record,
};
use crate::{Reply, Request};

impl Salesforce {
    pub(super) fn query(&mut self, request: &Request) -> Answer {
        let text =
            request.param("q").ok_or_else(|| Refusal::bad("MALFORMED_QUERY", "A query string has to be specified"))?;
        let query = soql::parse(text).map_err(|why| Refusal::bad("MALFORMED_QUERY", why));
        // The real one shows the query around the fault before it says what it is.
        let repeated = |refusal: Refusal| {
            let message = format!("\n{text}\n       ^\nERROR at Row:1:Column:8\n{}", refusal.message);
            Refusal { message, ..refusal }
        };
        let records = query.and_then(|query| self.select(&query, request)).map_err(repeated)?;
        let asked = request.headers.get("sforce-query-options").and_then(|value| value.to_str().ok());
        let batch = asked
            .and_then(|options| options.trim().strip_prefix("batchSize=")?.parse::<usize>().ok())
            .map_or(self.settings.query_batch, |size| size.clamp(200, 2000));
        self.cursors += 1;
        let locator = format!("01g5g{:010}AAW", self.cursors);
        let reply = page(&records, 0, batch, &locator, request);
        if records.len() > batch {
            self.open_queries.insert(locator, (records, batch));
        }
        Ok(reply)
    }

    /// `/query/{locator}-{from}`, as `nextRecordsUrl` names it.
    pub(super) fn query_more(&self, cursor: &str, request: &Request) -> Answer {
        let invalid = || Refusal::bad("INVALID_QUERY_LOCATOR", "invalid query locator");
        let (locator, from) = cursor.rsplit_once('-').ok_or_else(invalid)?;
        let (records, batch) = self.open_queries.get(locator).ok_or_else(invalid)?;
        let from = from.parse().ok().filter(|from| *from < records.len()).ok_or_else(invalid)?;
        Ok(page(records, from, *batch, locator, request))
    }

    fn select(&self, query: &Query, request: &Request) -> Result<Vec<Value>, Refusal> {
        let unknown = || {
            let message = format!(
                "sObject type '{}' is not supported. If you are attempting to use a custom object, be sure to append the '__c' after the entity name.",
                query.from
            );
            Refusal::bad("INVALID_TYPE", message)
        };
        let object = self.object(&query.from).map_err(|_| unknown())?;
        for field in query.select.iter().map(String::as_str).chain(query.order.iter().map(|(field, _)| field.as_str()))
        {
            self.resolve(object, field)?;
        }
        for field in query.filter.iter().flat_map(soql::Filter::fields) {
            if !self.resolve(object, field)? {
                let message = format!("field '{field}' can not be filtered in a query call");
                return Err(Refusal::bad("INVALID_FIELD", message));
            }
        }
        let mut found: Vec<&Record> = self
            .store
            .of(object.name)
            .filter(|record| {
                query.filter.as_ref().is_none_or(|filter| filter.holds(&|field| self.reach(object, record, field)))
            })
            .collect();
        if let Some((field, descends)) = &query.order {
            let text = |record: &&Record| self.reach(object, record, field).as_str().unwrap_or_default().to_owned();
            found.sort_by_key(text);
            if *descends {
                found.reverse();
            }
        }
        found.truncate(query.limit.unwrap_or(usize::MAX));
        Ok(found.into_iter().map(|record| self.shown(object, record, &query.select, request)).collect())
    }

    /// A record with the fields that were asked for, parents one level down.
    pub(super) fn shown(&self, object: &Object, record: &Record, fields: &[String], request: &Request) -> Value {
        let mut shown = json!({"attributes": {"type": object.name, "url": self.url(object.name, &record.id, request)}});
        for path in fields {
            match path.split_once('.') {
                None => {
                    if let Some((name, _)) = object.field(path) {
                        shown[name] = record.value(name);
                    }
                }
                Some((relation, field)) => {
                    let Some(parent) = self.parent(object, record, relation) else {
                        shown[relation] = Value::Null;
                        continue;
                    };
                    if !shown[relation].is_object() {
                        let url = self.url(parent.object, &parent.id, request);
                        shown[relation] = json!({"attributes": {"type": parent.object, "url": url}});
                    }
                    shown[relation][field] = parent.value(field);
                }
            }
        }
        shown
    }

    /// Whether a field, or a parent's field, is there and can be filtered.
    pub(super) fn resolve(&self, object: &Object, path: &str) -> Result<bool, Refusal> {
        let none = || {
            let message = format!(
                "No such column '{path}' on entity '{}'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate names.",
                object.name
            );
            Refusal::bad("INVALID_FIELD", message)
        };
        match path.split_once('.') {
            None => object.field(path).map(|(_, field)| field.filterable()).ok_or_else(none),
            Some((relation, field)) => {
                let (_, reference) = object.field(&format!("{relation}Id")).ok_or_else(none)?;
                let Kind::Id(objects) = &reference.kind else { return Err(none()) };
                let parent = objects.first().ok_or_else(none)?;
                self.object(parent)?.field(field).map(|(_, field)| field.filterable()).ok_or_else(none)
            }
        }
    }

    fn parent(&self, object: &Object, record: &Record, relation: &str) -> Option<&Record> {
        let (reference, _) = object.field(&format!("{relation}Id"))?;
        self.store.get(record.text(reference))
    }

    fn reach(&self, object: &Object, record: &Record, path: &str) -> Value {
        match path.split_once('.') {
            None => object.field(path).map_or(Value::Null, |(name, _)| record.value(name)),
            Some((relation, field)) => {
                self.parent(object, record, relation).map_or(Value::Null, |parent| parent.value(field))
            }
        }
    }
}

fn page(records: &[Value], from: usize, batch: usize, locator: &str, request: &Request) -> Reply {
    let to = (from + batch).min(records.len());
    let mut answer = json!({"totalSize": records.len(), "done": to == records.len(), "records": &records[from..to]});
    if to < records.len() {
        let version = request.path.get(2).map_or("v62.0", String::as_str);
        answer["nextRecordsUrl"] = json!(format!("/services/data/{version}/query/{locator}-{to}"));
    }
    Reply::json(StatusCode::OK, &answer)
}
