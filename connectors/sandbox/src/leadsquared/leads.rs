//! Leads: found by number without any lag, made from pairs of attribute and value (`crm-api.md` §4.c, d).

use std::collections::BTreeMap;

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    LeadSquared, body,
    model::Lead,
    phone,
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request, shelf::indexed};

/// Fields that every organisation has.
const STANDARD: &[&str] = &[
    "FirstName",
    "LastName",
    "EmailAddress",
    "Phone",
    "Mobile",
    "Company",
    "Source",
    "SourceMedium",
    "SourceCampaign",
    "SourceContent",
    "Notes",
    "JobTitle",
    "Website",
    "ProspectStage",
    "OwnerId",
];
/// One of these must be there (documentation, "Create a Lead").
const IDENTIFYING: &[&str] = &["FirstName", "LastName", "EmailAddress", "Phone"];
const PAGE_MAX: u32 = 5000;
const TEXT_CHARS: usize = 200;

pub(super) fn standard_fields() -> BTreeMap<String, bool> {
    STANDARD.iter().map(|field| ((*field).to_owned(), false)).collect()
}

impl LeadSquared {
    /// "Phone" and "Mobile" only; of several, the one with the most recent activity.
    pub(super) fn lead_by_phone(&self, request: &Request) -> Answer {
        let query = request
            .param("phone")
            .filter(|query| !query.is_empty())
            .ok_or_else(|| Refusal::missing("phone", "retrieving lead"))?;
        let found = self.lead_of_number(query);
        Ok(Reply::json(StatusCode::OK, &found.map(|lead| self.shown(lead)).into_iter().collect::<Vec<_>>()))
    }

    fn lead_of_number(&self, query: &str) -> Option<&Lead> {
        self.leads
            .iter()
            .filter(|lead| {
                [lead.get("Phone"), lead.get("Mobile")].iter().any(|stored| phone::finds(&self.settings, query, stored))
            })
            .max_by_key(|lead| lead.last_activity)
    }

    /// The lead that has a number in whatever writing: how a call log looks for it.
    pub(super) fn lead_of_caller(&self, number: &str) -> Option<&Lead> {
        let code = &self.settings.country_code;
        self.leads
            .iter()
            .filter(|lead| {
                phone::same(number, lead.get("Phone"), code) || phone::same(number, lead.get("Mobile"), code)
            })
            .max_by_key(|lead| lead.last_activity)
    }

    fn shown(&self, lead: &Lead) -> Map<String, Value> {
        lead.shown(self.user(&lead.owner))
    }

    pub(super) fn leads_by_field(&self, request: &Request, now: Timestamp) -> Answer {
        let asked = body::object(request, &["Parameter", "Columns", "Paging", "Sorting"])?;
        let Some(Value::Object(parameter)) = asked.get("Parameter") else {
            return Err(Refusal::missing("Parameter", "retrieving leads"));
        };
        let field = body::required(parameter, "LookupName", "retrieving leads")?;
        let value = body::required(parameter, "LookupValue", "retrieving leads")?;
        if body::text(parameter, "SqlOperator")?.as_deref() != Some("=") {
            return Err(Refusal::invalid("SqlOperator"));
        }
        if !self.fields.contains_key(&field) {
            return Err(unknown(&field));
        }
        let (page, size) = match asked.get("Paging") {
            Some(Value::Object(paging)) => {
                (body::number(paging, "PageIndex")?.unwrap_or(1), body::number(paging, "PageSize")?.unwrap_or(25))
            }
            _ => (1, 25),
        };
        if page == 0 || size == 0 || size > PAGE_MAX {
            return Err(Refusal::invalid("Paging"));
        }
        let columns = match asked.get("Columns") {
            Some(Value::Object(columns)) => body::text(columns, "Include_CSV")?,
            _ => None,
        };
        let found: Vec<Map<String, Value>> = self
            .leads
            .iter()
            .filter(|lead| indexed(lead.created_on, self.settings.list_lag, now))
            .filter(|lead| lead.get(&field).eq_ignore_ascii_case(&value))
            .map(|lead| {
                let mut shown = self.shown(lead);
                if let Some(columns) = &columns {
                    let wanted: Vec<&str> = columns.split(',').map(str::trim).collect();
                    shown.retain(|key, _| key == "ProspectID" || wanted.contains(&key.as_str()));
                }
                shown
            })
            .collect();
        let skip = usize::try_from((page - 1).saturating_mul(size)).unwrap_or(usize::MAX);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        Ok(Reply::json(StatusCode::OK, &found.into_iter().skip(skip).take(size).collect::<Vec<_>>()))
    }

    /// Pairs of attribute and value, each attribute known and once.
    fn attributes(&self, request: &Request) -> Result<(BTreeMap<String, String>, Option<String>), Refusal> {
        let Value::Array(pairs) = body::json(request)? else {
            return Err(Refusal::Body("The body is not a list of attributes".to_owned()));
        };
        let mut attributes = BTreeMap::new();
        let mut search_by = None;
        for pair in &pairs {
            let Value::Object(pair) = pair else { return Err(Refusal::invalid("lead")) };
            let name = body::required(pair, "Attribute", "lead")?;
            let value = match pair.get("Value") {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(value)) => value.clone(),
                Some(Value::Number(value)) => value.to_string(),
                Some(_) => return Err(Refusal::invalid(&name)),
            };
            if name == "SearchBy" {
                search_by = Some(value);
                continue;
            }
            if !self.fields.contains_key(&name) {
                return Err(unknown(&name));
            }
            let numeric = matches!(name.as_str(), "Phone" | "Mobile");
            if value.chars().count() > TEXT_CHARS || numeric && !value.is_empty() && !is_number(&value) {
                return Err(Refusal::invalid(&name));
            }
            if attributes.insert(name.clone(), value).is_some() {
                return Err(Refusal::invalid(&name));
            }
        }
        Ok((attributes, search_by))
    }

    pub(super) fn create_lead(&mut self, request: &Request, now: Timestamp) -> Answer {
        let (attributes, search_by) = self.attributes(request)?;
        if search_by.is_some() {
            return Err(unknown("SearchBy"));
        }
        let id = self.insert_lead(attributes, now)?;
        Ok(Reply::json(StatusCode::OK, &json!({ "Status": "Success", "Message": { "Id": id } })))
    }

    pub(super) fn create_or_update_lead(&mut self, request: &Request, now: Timestamp) -> Answer {
        let (attributes, search_by) = self.attributes(request)?;
        let by: Vec<&str> = match search_by.as_deref() {
            Some(field) if !self.fields.contains_key(field) => {
                return Err(Refusal::new("MXInvalidInputException", "Invalid SearchBy value provided"));
            }
            Some(field) => vec![field],
            None => vec!["EmailAddress", "Phone"],
        };
        let wanted = |field: &str| attributes.get(field).filter(|value| !value.is_empty());
        if !by.iter().any(|field| wanted(field).is_some()) {
            return Err(Refusal::missing(by[0], "creating or updating lead"));
        }
        let there = self.leads.iter().position(|lead| {
            by.iter().any(|field| {
                wanted(field).is_some_and(|value| match *field {
                    "Phone" | "Mobile" => phone::same(value, lead.get(field), &self.settings.country_code),
                    field => lead.get(field).eq_ignore_ascii_case(value),
                })
            })
        });
        let id = match there {
            Some(at) => {
                self.check_owner(&attributes)?;
                fill(&mut self.leads[at], attributes);
                self.leads[at].modified_on = now;
                self.leads[at].id.clone()
            }
            None => self.insert_lead(attributes, now)?,
        };
        let message = json!({ "Id": id, "AffectedRows": 1 });
        Ok(Reply::json(StatusCode::OK, &json!({ "Status": "Success", "Message": message })))
    }

    fn check_owner(&self, attributes: &BTreeMap<String, String>) -> Result<(), Refusal> {
        attributes.get("OwnerId").map_or(Ok(()), |owner| self.active_user(owner).map(|_| ()))
    }

    /// Makes a lead of attributes, if nothing speaks against it.
    pub(super) fn insert_lead(
        &mut self,
        attributes: BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<String, Refusal> {
        let has = |field: &str| attributes.get(field).is_some_and(|value| !value.is_empty());
        if !IDENTIFYING.iter().any(|field| has(field)) {
            return Err(Refusal::missing("FirstName", "creating lead"));
        }
        if let Some((field, _)) = self.fields.iter().find(|(field, mandatory)| **mandatory && !has(field)) {
            return Err(Refusal::missing(field, "creating lead"));
        }
        self.check_owner(&attributes)?;
        let code = &self.settings.country_code;
        if let Some(number) = attributes.get("Phone").filter(|_| self.settings.unique_phone)
            && self.leads.iter().any(|lead| phone::same(number, lead.get("Phone"), code))
        {
            return Err(duplicate("Phone Number"));
        }
        if let Some(email) = attributes.get("EmailAddress").filter(|email| !email.is_empty())
            && self.leads.iter().any(|lead| lead.get("EmailAddress").eq_ignore_ascii_case(email))
        {
            return Err(duplicate("Email"));
        }
        let id = self.next_id(0xb);
        let mut lead = Lead::new(&id, &self.owner, now);
        fill(&mut lead, attributes);
        self.leads.push(lead);
        Ok(id)
    }
}

fn fill(lead: &mut Lead, attributes: BTreeMap<String, String>) {
    for (name, value) in attributes {
        match name.as_str() {
            "OwnerId" => lead.owner = value,
            _ if value.is_empty() => drop(lead.fields.remove(&name)),
            _ => lead.set(&name, &value),
        }
    }
}

/// Digits, at most one plus before them and hyphens between them.
fn is_number(value: &str) -> bool {
    let digits = value.chars().filter(char::is_ascii_digit).count();
    let rest = value.strip_prefix('+').unwrap_or(value);
    (5..=18).contains(&digits) && rest.chars().all(|c| c == '-' || c.is_ascii_digit())
}

fn unknown(field: &str) -> Refusal {
    Refusal::new("MXUnknownAttributeException", format!("Unknown attribute '{field}'"))
}

fn duplicate(what: &str) -> Refusal {
    Refusal::new("MXDuplicateEntryException", format!("A Lead with same {what} already exists."))
}
