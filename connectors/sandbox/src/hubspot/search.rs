//! Search: filters over an index that is behind, and a body whose parts are all wanted (`crm-api.md` §7.c).

use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    HubSpot,
    model::{Kind, Object},
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request};

// The developer changelog of August 2024: five groups, ten filters in each, twenty-five in all.
const GROUPS_MAX: usize = 5;
const FILTERS_MAX: usize = 10;
const FILTERS_IN_ALL_MAX: usize = 25;
const LIMIT_MAX: u64 = 200;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Asked {
    filter_groups: Option<Vec<Group>>,
    properties: Option<Vec<String>>,
    limit: Option<u64>,
    after: Option<String>,
    sorts: Option<Vec<Sort>>,
    query: Option<String>,
}

/// "CRM search: Sort search results": one, by a property.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sort {
    property_name: String,
    direction: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    filters: Vec<Filter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Filter {
    property_name: String,
    operator: String,
    value: Option<String>,
    values: Option<Vec<String>>,
}

impl HubSpot {
    pub(super) fn search(&self, kind: Kind, request: &Request, now: Timestamp) -> Answer {
        let asked: Asked = serde_json::from_slice(&request.body).map_err(|error| Refusal::json(&error.to_string()))?;
        let parts = [
            ("filterGroups", asked.filter_groups.is_some()),
            ("properties", asked.properties.is_some()),
            ("limit", asked.limit.is_some()),
            ("after", asked.after.is_some()),
            ("sorts", asked.sorts.is_some()),
        ];
        if let Some((name, _)) = parts.iter().find(|(_, given)| self.settings.search_wants_all && !given) {
            return Err(Refusal::json(&format!("Cannot build the search request, required field {name} is not set")));
        }
        let latest_first = match asked.sorts.as_deref().unwrap_or_default() {
            [] => false,
            [Sort { property_name, direction }] if property_name == "createdate" && direction == "DESCENDING" => true,
            _ => return Err(Refusal::invalid("this sandbox sorts by createdate, DESCENDING, and in no other way")),
        };
        if asked.query.is_some() {
            return Err(Refusal::invalid("query is not played by this sandbox"));
        }
        let groups = asked.filter_groups.unwrap_or_default();
        let in_all: usize = groups.iter().map(|group| group.filters.len()).sum();
        if groups.len() > GROUPS_MAX || in_all > FILTERS_IN_ALL_MAX {
            return Err(Refusal::invalid(format!("Too many filter groups: {} > {GROUPS_MAX}", groups.len())));
        }
        for group in &groups {
            self.check_group(kind, group)?;
        }
        let limit = asked.limit.unwrap_or(10);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Refusal::invalid(format!("limit must be between 1 and {LIMIT_MAX}")));
        }
        let after = asked.after.as_deref().unwrap_or("0");
        let Ok(after) = after.parse::<usize>() else {
            return Err(Refusal::invalid(format!("after {after:?} is no offset")));
        };

        let holds = |object: &&Object| {
            groups.is_empty() || groups.iter().any(|group| group.filters.iter().all(|one| one.holds(object)))
        };
        let indexed = self.shelf(kind).as_indexed(now, self.settings.index_lag);
        let mut found: Vec<&Object> = indexed.filter(|object| !object.archived).filter(holds).collect();
        if latest_first {
            found.sort_by_key(|object| std::cmp::Reverse(object.created_at));
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let wanted = asked.properties.unwrap_or_default();
        let shown: Vec<Value> = found.iter().skip(after).take(limit).map(|object| object.shown(&wanted)).collect();
        let mut body = json!({"total": found.len(), "results": shown});
        let next = after.saturating_add(limit);
        if next < found.len() {
            body["paging"] = json!({"next": {"after": next.to_string(), "link": "?after"}});
        }
        Ok(Reply::json(StatusCode::OK, &body))
    }

    fn check_group(&self, kind: Kind, group: &Group) -> Result<(), Refusal> {
        if group.filters.is_empty() || group.filters.len() > FILTERS_MAX {
            return Err(Refusal::invalid("A filter group has one to ten filters"));
        }
        for filter in &group.filters {
            let known = self.schema.get(&kind).is_some_and(|schema| schema.contains_key(&filter.property_name));
            // "CRM search: Search through associations".
            let association = filter.association().is_some() && filter.operator == "EQ";
            if !known && !association {
                let message =
                    format!("There was a problem with the request: Unknown property {}", filter.property_name);
                return Err(Refusal::invalid(message));
            }
            let fits = match filter.operator.as_str() {
                "EQ" | "CONTAINS_TOKEN" => filter.value.as_ref().is_some_and(|value| !value.trim().is_empty()),
                // The values of IN must be in lower case.
                "IN" => filter.values.as_ref().is_some_and(|values| {
                    !values.is_empty() && values.iter().all(|value| *value == value.to_lowercase())
                }),
                "HAS_PROPERTY" | "NOT_HAS_PROPERTY" => true,
                _ => false,
            };
            if !fits {
                let message = format!("operator {} does not go with what is given to it", filter.operator);
                return Err(Refusal::invalid(message));
            }
        }
        Ok(())
    }
}

impl Filter {
    /// The kind that is to be associated.
    fn association(&self) -> Option<Kind> {
        Kind::of(self.property_name.strip_prefix("associations.")?)
    }

    fn holds(&self, object: &Object) -> bool {
        if let Some(of) = self.association() {
            return self.value.as_ref().is_some_and(|id| object.associated.contains(&(of, id.clone())));
        }
        let held = object.get(&self.property_name).map(str::to_lowercase);
        match (self.operator.as_str(), held) {
            ("EQ", Some(held)) => self.value.as_ref().is_some_and(|value| value.to_lowercase() == held),
            ("IN", Some(held)) => self.values.iter().flatten().any(|value| *value == held),
            ("CONTAINS_TOKEN", Some(held)) => self.value.as_ref().is_some_and(|value| token(&held, value)),
            ("HAS_PROPERTY", held) => held.is_some(),
            ("NOT_HAS_PROPERTY", held) => held.is_none(),
            _ => false,
        }
    }
}

/// A token of the text, whole, or by its beginning or end where a `*` stands for the rest.
fn token(held: &str, wanted: &str) -> bool {
    let wanted = wanted.to_lowercase();
    let core = wanted.trim_matches('*');
    held.split(|c: char| !c.is_alphanumeric()).any(|token| match (wanted.starts_with('*'), wanted.ends_with('*')) {
        (true, true) => token.contains(core),
        (true, false) => token.ends_with(core),
        (false, true) => token.starts_with(core),
        (false, false) => token == core,
    })
}
