//! The objects a caller can be, in the integration's order, with the fields that hold his name and numbers.

use crate::query::is_path;

/// An object among whose records callers are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// As Salesforce names it.
    pub(crate) name: &'static str,
    /// The kind of its references: `lead`.
    pub(crate) kind: &'static str,
    pub(crate) name_field: String,
    /// `Phone`, or a parent's: `Account.Phone`.
    pub(crate) phones: Vec<String>,
}

struct Known {
    name: &'static str,
    kind: &'static str,
    /// What its ids begin with ("Object Key Prefixes" \[3P\]).
    prefix: &'static str,
    name_field: &'static str,
    phones: &'static [&'static str],
    /// Who is left out.
    only: Option<&'static str>,
}

/// "Object Reference", one page each \[V\]. Opportunities have no number of their own, cases one that only forms fill.
const KNOWN: [Known; 5] = [
    Known { name: "Account", kind: "account", prefix: "001", name_field: "Name", phones: &["Phone"], only: None },
    Known {
        name: "Contact",
        kind: "contact",
        prefix: "003",
        name_field: "Name",
        phones: &["Phone", "MobilePhone"],
        only: None,
    },
    Known {
        name: "Lead",
        kind: "lead",
        prefix: "00Q",
        name_field: "Name",
        phones: &["Phone", "MobilePhone"],
        // A converted lead is a contact now, and takes no tasks.
        only: Some("IsConverted = false"),
    },
    Known {
        name: "Opportunity",
        kind: "opportunity",
        prefix: "006",
        name_field: "Name",
        phones: &["Account.Phone"],
        only: Some("IsClosed = false"),
    },
    Known {
        name: "Case",
        kind: "case",
        prefix: "500",
        name_field: "CaseNumber",
        phones: &["SuppliedPhone", "Contact.Phone", "Contact.MobilePhone"],
        only: Some("IsClosed = false"),
    },
];

impl Object {
    /// Reads an entry of `object_priority`: `Contact`, `Contact(Phone, HomePhone)`, `Case.Subject(SuppliedPhone)`.
    pub(crate) fn parse(entry: &str) -> Option<Self> {
        let (head, phones) = match entry.trim().split_once('(') {
            None => (entry.trim(), None),
            Some((head, list)) => {
                let list = list.strip_suffix(')')?;
                (head.trim(), Some(list.split(',').map(|field| field.trim().to_owned()).collect::<Vec<_>>()))
            }
        };
        let (name, name_field) = head.split_once('.').map_or((head, None), |(name, field)| (name, Some(field)));
        let known = KNOWN.iter().find(|known| known.name.eq_ignore_ascii_case(name))?;
        let object = Self {
            name: known.name,
            kind: known.kind,
            name_field: name_field.unwrap_or(known.name_field).to_owned(),
            phones: phones.unwrap_or_else(|| known.phones.iter().map(|field| (*field).to_owned()).collect()),
        };
        let sane =
            !object.phones.is_empty() && object.phones.iter().chain([&object.name_field]).all(|path| is_path(path));
        sane.then_some(object)
    }

    /// The object of a name, with its own fields.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::parse(name).filter(|object| object.name.eq_ignore_ascii_case(name.trim()))
    }

    /// Who is left out of queries.
    pub(crate) fn only(&self) -> Option<&'static str> {
        KNOWN.iter().find(|known| known.name == self.name)?.only
    }

    /// Fields of its own for numbers, which alone are in the index of numbers.
    pub(crate) fn own_phones(&self) -> impl Iterator<Item = &str> {
        self.phones.iter().map(String::as_str).filter(|field| !field.contains('.'))
    }
}

/// On which side of a task a caller stands ("Object Reference, Task: WhoId, WhatId" \[V\]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// A person.
    Who,
    /// Anything else. Cannot stand beside a lead.
    What,
}

/// The side of a reference; what is of no known kind goes by its id.
pub(crate) fn side(kind: &str, id: &str) -> Side {
    let known = KNOWN
        .iter()
        .find(|known| known.kind == kind)
        .or_else(|| KNOWN.iter().find(|known| id.starts_with(known.prefix)));
    match known.map(|known| known.kind) {
        Some("account" | "opportunity" | "case") => Side::What,
        _ => Side::Who,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_can_name_its_fields() {
        let plain = Object::parse("lead").unwrap();
        assert_eq!((plain.name, plain.phones.len(), plain.name_field.as_str()), ("Lead", 2, "Name"));
        let full = Object::parse(" Case.Subject( SuppliedPhone ,Contact.HomePhone,Phone__c) ").unwrap();
        assert_eq!((full.name, full.name_field.as_str()), ("Case", "Subject"));
        assert_eq!(full.phones, ["SuppliedPhone", "Contact.HomePhone", "Phone__c"]);
        assert_eq!(full.own_phones().collect::<Vec<_>>(), ["SuppliedPhone", "Phone__c"]);
        for bad in [
            "",
            "Thing__c",
            "Lead(",
            "Lead()",
            "Lead(Phone",
            "Lead(Phone;)",
            "Lead(Phone) x",
            "Lead(a.b.c)",
            "Lead.(Phone)",
        ] {
            assert_eq!(Object::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn people_are_who_and_the_rest_is_what() {
        assert_eq!(side("lead", "00Q5g000000000001A"), Side::Who);
        assert_eq!(side("case", "500"), Side::What);
        assert_eq!(side("record", "0065g"), Side::What);
        assert_eq!(side("contact", "7"), Side::Who);
    }
}
