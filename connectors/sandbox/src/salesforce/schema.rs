//! What the org's objects are made of: which fields there are, of what type, and what may be written and filtered.

use std::collections::BTreeMap;

/// A field's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One line of so many characters at most.
    Text(usize),
    /// Many lines; cannot be filtered.
    Long(usize),
    Phone,
    Url,
    Whole,
    Yes,
    Day,
    Moment,
    /// One of these, nothing else.
    OneOf(&'static [&'static str]),
    /// A record of one of these objects.
    Id(&'static [&'static str]),
}

/// A field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub kind: Kind,
    /// Creating without it is refused.
    pub required: bool,
    pub creatable: bool,
    pub updatable: bool,
    /// Records can be named by it; with `unique`, one record holds a value.
    pub external_id: bool,
    pub unique: bool,
}

impl Field {
    /// A field that anybody may write.
    pub fn of(kind: Kind) -> Self {
        Self { kind, required: false, creatable: true, updatable: true, external_id: false, unique: false }
    }

    /// A unique external id.
    pub fn external_id() -> Self {
        Self { external_id: true, unique: true, ..Self::of(Kind::Text(255)) }
    }

    pub(super) fn filterable(&self) -> bool {
        !matches!(self.kind, Kind::Long(_))
    }

    /// As `describe` names the type.
    pub(super) fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Text(_) => "string",
            Kind::Long(_) => "textarea",
            Kind::Phone => "phone",
            Kind::Url => "url",
            Kind::Whole => "int",
            Kind::Yes => "boolean",
            Kind::Day => "date",
            Kind::Moment => "datetime",
            Kind::OneOf(_) => "picklist",
            Kind::Id(_) => "reference",
        }
    }

    pub(super) fn length(&self) -> usize {
        match self.kind {
            Kind::Text(length) | Kind::Long(length) => length,
            Kind::Phone => 40,
            Kind::Url | Kind::OneOf(_) => 255,
            Kind::Id(_) => 18,
            _ => 0,
        }
    }
}

/// An object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) name: &'static str,
    /// What its records' ids begin with.
    pub(super) prefix: &'static str,
    pub(super) fields: BTreeMap<String, Field>,
}

impl Object {
    /// A field by its name, which is read without regard to case, and the name as it is.
    pub(super) fn field(&self, name: &str) -> Option<(&str, &Field)> {
        let named = self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        Some((named.0, named.1))
    }
}

const OWNERS: &[&str] = &["User", "Group"];
const SUBTYPES: &[&str] = &["Task", "Email", "Call", "ListEmail", "Cadence", "LinkedIn"];
const CALL_TYPES: &[&str] = &["Internal", "Inbound", "Outbound"];

/// The objects of an org as it comes, with the fields that matter to calls ("Object Reference", one page each).
pub(super) fn standard() -> Vec<Object> {
    use Kind::{Day, Id, Long, Moment, OneOf, Phone, Text, Url, Yes};
    let required = |kind| Field { required: true, ..Field::of(kind) };
    let shown = |kind| Field { creatable: false, updatable: false, ..Field::of(kind) };
    let object = |name: &'static str, prefix: &'static str, own: Vec<(&str, Field)>| {
        let common = [
            ("Id", shown(Id(&[]))),
            ("CreatedDate", shown(Moment)),
            ("LastModifiedDate", shown(Moment)),
            ("IsDeleted", shown(Yes)),
        ];
        let fields = own.into_iter().chain(common).map(|(name, field)| (name.to_owned(), field)).collect();
        Object { name, prefix, fields }
    };
    let owner = || ("OwnerId", Field::of(Id(OWNERS)));
    let text = |length| Field::of(Text(length));
    let phone = || Field::of(Phone);
    vec![
        object(
            "Account",
            "001",
            vec![
                ("Name", required(Text(255))),
                ("Phone", phone()),
                ("Fax", phone()),
                ("Website", Field::of(Url)),
                ("Type", text(255)),
                ("Description", Field::of(Long(32_000))),
                owner(),
            ],
        ),
        object(
            "Contact",
            "003",
            vec![
                ("LastName", required(Text(80))),
                ("FirstName", text(40)),
                ("Name", shown(Text(121))),
                ("Phone", phone()),
                ("MobilePhone", phone()),
                ("HomePhone", phone()),
                ("OtherPhone", phone()),
                ("AssistantPhone", phone()),
                ("Email", text(80)),
                ("AccountId", Field::of(Id(&["Account"]))),
                ("LeadSource", text(255)),
                ("Description", Field::of(Long(32_000))),
                owner(),
            ],
        ),
        object(
            "Lead",
            "00Q",
            vec![
                ("LastName", required(Text(80))),
                ("FirstName", text(40)),
                ("Name", shown(Text(121))),
                ("Company", required(Text(255))),
                ("Phone", phone()),
                ("MobilePhone", phone()),
                ("Email", text(80)),
                ("Status", text(255)),
                ("LeadSource", text(255)),
                ("IsConverted", shown(Yes)),
                ("Description", Field::of(Long(32_000))),
                owner(),
            ],
        ),
        object(
            "Opportunity",
            "006",
            vec![
                ("Name", required(Text(120))),
                ("StageName", required(Text(255))),
                ("CloseDate", required(Day)),
                ("AccountId", Field::of(Id(&["Account"]))),
                ("IsClosed", shown(Yes)),
                ("Description", Field::of(Long(32_000))),
                owner(),
            ],
        ),
        object(
            "Case",
            "500",
            vec![
                ("CaseNumber", shown(Text(30))),
                ("Subject", text(255)),
                ("Status", text(255)),
                ("Origin", text(255)),
                ("Priority", text(255)),
                ("SuppliedName", text(80)),
                ("SuppliedPhone", text(40)),
                ("AccountId", Field::of(Id(&["Account"]))),
                ("ContactId", Field::of(Id(&["Contact"]))),
                ("IsClosed", shown(Yes)),
                ("Description", Field::of(Long(32_000))),
                owner(),
            ],
        ),
        object(
            "Task",
            "00T",
            vec![
                ("Subject", text(255)),
                ("Status", text(255)),
                ("Priority", text(255)),
                ("ActivityDate", Field::of(Day)),
                ("WhoId", Field::of(Id(&["Contact", "Lead"]))),
                ("WhatId", Field::of(Id(&["Account", "Opportunity", "Case"]))),
                ("Description", Field::of(Long(32_000))),
                ("Type", text(255)),
                // "Object Reference, Task" gives it Create and not Update.
                ("TaskSubtype", Field { updatable: false, ..Field::of(OneOf(SUBTYPES)) }),
                ("CallType", Field::of(OneOf(CALL_TYPES))),
                ("CallDurationInSeconds", Field::of(Kind::Whole)),
                ("CallObject", text(255)),
                ("CallDisposition", text(255)),
                ("ReminderDateTime", Field::of(Moment)),
                ("IsReminderSet", Field::of(Yes)),
                ("IsClosed", shown(Yes)),
                owner(),
            ],
        ),
        object(
            "User",
            "005",
            vec![
                ("Name", shown(Text(121))),
                ("Username", shown(Text(80))),
                ("Email", shown(Text(128))),
                ("Phone", shown(Phone)),
                ("MobilePhone", shown(Phone)),
                ("IsActive", shown(Yes)),
                ("UserType", shown(Text(40))),
                ("CallCenterId", shown(Text(18))),
            ],
        ),
        object("Group", "00G", vec![("Name", shown(Text(40))), ("Type", shown(Text(40)))]),
        object("Organization", "00D", vec![("Name", shown(Text(80))), ("IsSandbox", shown(Yes))]),
    ]
}
