//! The integration's `defaults`: fields that a customer's CRM wants in new records beyond what Patchbay knows of a call. The
//! contract is the same everywhere: they fill in, and never replace what the call says.

use std::fmt;

use serde_json::{Map, Value};

use crate::Settings;

/// The fields of a record.
pub type Fields = Map<String, Value>;

/// What may be set for one kind of record.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its key in `defaults`. Empty: `defaults` itself, but for the other tables.
    pub key: &'static str,
    /// What it holds, as in "must be a table of the fields of new contacts".
    pub holds: &'static str,
    /// Fields that cannot be set, such as those that the call itself fills.
    pub reserved: &'static [&'static str],
    /// Why not, as in "comes from the call and cannot be set".
    pub because: &'static str,
    /// Whether values are texts, numbers and flags only; else the CRM takes lists and tables, too.
    pub scalar: bool,
}

impl Table {
    /// `defaults` itself: the extra fields of a call's record.
    pub const fn of_calls(reserved: &'static [&'static str]) -> Self {
        Self { key: "", holds: "fields of calls", reserved, because: "comes from the call", scalar: false }
    }

    /// The extra fields of new contacts: those by which people are told apart would make all callers one.
    pub const fn of_contacts(reserved: &'static [&'static str]) -> Self {
        Self {
            key: "contact",
            holds: "the fields of new contacts",
            reserved,
            because: "would make all callers one contact",
            scalar: false,
        }
    }

    /// The same, with scalar values only.
    pub const fn scalar(self) -> Self {
        Self { scalar: true, ..self }
    }

    fn given<'a>(&self, settings: &'a Settings) -> Option<&'a Value> {
        settings.defaults.get(self.key)
    }

    /// Where it stands, as problems name it.
    fn path(&self) -> String {
        if self.key.is_empty() { "defaults".to_owned() } else { format!("defaults.{}", self.key) }
    }

    fn is_reserved(&self, field: &str) -> bool {
        self.reserved.contains(&field)
    }

    fn fits(&self, value: &Value) -> bool {
        !self.scalar || matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_))
    }
}

/// The `defaults` of one integration, without what cannot be set.
#[derive(Clone, Default)]
pub struct Defaults(Vec<(&'static str, Fields)>);

/// Only which fields there are: their values may be anything.
impl fmt::Debug for Defaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(key, fields)| (key, fields.keys().collect::<Vec<_>>()))).finish()
    }
}

impl Defaults {
    pub fn of(settings: &Settings, tables: &[Table]) -> Self {
        let fields = |table: &Table| {
            let all = match (table.key, table.given(settings)) {
                ("", _) => settings.defaults.clone(),
                (_, Some(Value::Object(fields))) => fields.clone(),
                _ => Fields::new(),
            };
            let of_another = |field: &str| table.key.is_empty() && is_table(field, tables);
            let fields = all
                .into_iter()
                .filter(|(field, value)| !of_another(field) && !table.is_reserved(field) && table.fits(value));
            (table.key, fields.collect())
        };
        Self(tables.iter().map(fields).collect())
    }

    /// Without a field that a setting names, and that is filled with something else.
    #[must_use]
    pub fn without(mut self, table: &str, field: &str) -> Self {
        for (key, fields) in &mut self.0 {
            if *key == table {
                fields.remove(field);
            }
        }
        self
    }

    /// The extra fields of one table, by name.
    pub fn fields(&self, table: &str) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter().filter(move |(key, _)| *key == table).flat_map(|(_, fields)| fields)
    }

    /// The value of one extra field.
    pub fn get(&self, table: &str, field: &str) -> Option<&Value> {
        self.fields(table).find(|(name, _)| *name == field).map(|(_, value)| value)
    }

    /// A new record's fields: the extra ones of its table under those of the call.
    pub fn under(&self, table: &str, call: Fields) -> Fields {
        let mut fields: Fields = self.fields(table).map(|(name, value)| (name.clone(), value.clone())).collect();
        fields.extend(call);
        fields
    }
}

fn is_table(field: &str, tables: &[Table]) -> bool {
    tables.iter().any(|table| !table.key.is_empty() && table.key == field)
}

/// What of the `defaults` cannot be set, one line for each: the key and why.
pub fn problems(settings: &Settings, tables: &[Table]) -> Vec<String> {
    let mut problems = Vec::new();
    for table in tables {
        let path = table.path();
        let fields = match (table.key, table.given(settings)) {
            ("", _) => &settings.defaults,
            (_, Some(Value::Object(fields))) => fields,
            (_, Some(_)) => {
                problems.push(format!("{path}: must be a table of {}", table.holds));
                continue;
            }
            (_, None) => continue,
        };
        for (field, value) in fields {
            if table.key.is_empty() && is_table(field, tables) {
                continue;
            }
            if table.is_reserved(field) {
                problems.push(format!("{path}.{field}: {} and cannot be set", table.because));
            } else if !table.fits(value) {
                problems.push(format!("{path}.{field}: must be a text, a number or true or false"));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TABLES: &[Table] = &[Table::of_calls(&["title"]), Table::of_contacts(&["phone"]).scalar()];

    fn settings(defaults: Value) -> Settings {
        let Value::Object(defaults) = defaults else { panic!("not a table") };
        Settings { defaults, ..Settings::default() }
    }

    #[test]
    fn they_fill_in_and_never_replace_what_the_call_says() {
        let given = json!({"title": "x", "tags": ["a"], "line": "all",
            "contact": {"phone": "1", "city": "Pune", "more": {}}});
        let defaults = Defaults::of(&settings(given), TABLES);
        let call = Fields::from_iter([("line".to_owned(), json!("south"))]);
        assert_eq!(Value::Object(defaults.under("", call)), json!({"tags": ["a"], "line": "south"}));
        assert_eq!(Value::Object(defaults.under("contact", Fields::new())), json!({"city": "Pune"}));
        assert_eq!(defaults.get("contact", "city"), Some(&json!("Pune")));
        assert!(defaults.under("task", Fields::new()).is_empty());
        assert!(defaults.without("contact", "city").get("contact", "city").is_none());
    }

    #[test]
    fn what_cannot_be_set_is_told_with_its_key() {
        let told = problems(&settings(json!({"title": "x", "contact": {"phone": "1", "more": {}}})), TABLES);
        assert_eq!(
            told,
            [
                "defaults.title: comes from the call and cannot be set",
                "defaults.contact.more: must be a text, a number or true or false",
                "defaults.contact.phone: would make all callers one contact and cannot be set",
            ]
        );
        let told = problems(&settings(json!({"contact": 1})), TABLES);
        assert_eq!(told, ["defaults.contact: must be a table of the fields of new contacts"]);
        assert_eq!(problems(&settings(json!({"tags": ["a"], "contact": {}})), TABLES), [""; 0]);
    }

    #[test]
    fn debug_shows_no_values() {
        let defaults = Defaults::of(&settings(json!({"pin": "0000"})), TABLES);
        let shown = format!("{defaults:?}");
        assert!(shown.contains("pin") && !shown.contains("0000"), "{shown}");
    }
}
