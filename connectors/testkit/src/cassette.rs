//! Cassettes: what goes over the wire, written down where a reader can hold it against the CRM's documentation.
//!
//! A cassette is one JSON file in the connector's `cassettes/` directory: an operation of the contract, the exchanges
//! it takes, and what comes of it. [`replay`] performs each operation: every request must be the one written down,
//! and the replies written down must yield the result written down. So a change of a connector's wire form shows as a
//! change of a cassette, and a reply copied from a live account can be put in the place of a composed one.
//!
//! With `PATCHBAY_CASSETTES=write` in the environment the requests are rewritten from what the connector sends now,
//! and a result that is not there yet is filled in. A new cassette is so an operation and its replies.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
};

use jiff::tz::Offset;
use patchbay_kit::{
    Base, Body, CallActivity, Changed, Connector, Cursor, Exchange, Failure, FollowUp, HeaderMap, NewContact, Note,
    PhoneNumber, Popup, RecordRef, Request, Response, Retry, Settings, StatusCode,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{follow, sample};

/// The environment variable that turns checking into writing.
const MODE: &str = "PATCHBAY_CASSETTES";

/// One file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Cassette {
    /// Document and section that the wire form is from, and whether it is composed or recorded.
    source: String,
    /// The integration's `defaults`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    defaults: Map<String, Value>,
    /// Its other settings, where the connector looks at them.
    #[serde(default, skip_serializing_if = "Chosen::is_empty")]
    settings: Chosen,
    /// An [`Operation`]; a party of the call is written as Exotel writes it.
    operation: Value,
    exchanges: Vec<Recorded>,
    #[serde(default)]
    result: Option<Outcome>,
}

/// Settings of the integration.
#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Chosen {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    text: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    flags: BTreeMap<String, bool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    lists: BTreeMap<String, Vec<String>>,
    /// The names of the secret settings that are set.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    secrets: BTreeSet<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    account: String,
    /// Of the account's clock, east of Greenwich.
    #[serde(skip_serializing_if = "Option::is_none")]
    utc_offset_minutes: Option<i32>,
}

impl Chosen {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn settings(&self, defaults: Map<String, Value>) -> Result<Settings, String> {
        let Self { text, flags, lists, secrets, account, utc_offset_minutes } = self;
        let utc_offset = Offset::from_seconds(utc_offset_minutes.unwrap_or_default() * 60);
        Ok(Settings {
            text: text.clone(),
            flags: flags.clone(),
            lists: lists.clone(),
            secrets: secrets.clone(),
            account: account.clone(),
            utc_offset: utc_offset.map_err(|error| error.to_string())?,
            defaults,
        })
    }
}

/// What is asked of the connector.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "name", deny_unknown_fields)]
enum Operation {
    #[serde(rename = "identify")]
    Identify,
    #[serde(rename = "activities.find")]
    FindActivity { call: CallActivity },
    #[serde(rename = "activities.create")]
    CreateActivity { call: CallActivity },
    #[serde(rename = "activities.update")]
    UpdateActivity { at: RecordRef, call: CallActivity, changed: Vec<Part> },
    #[serde(rename = "notes.find")]
    FindNote { on: RecordRef, call: CallActivity, note: Note },
    #[serde(rename = "notes.create")]
    CreateNote { on: RecordRef, call: CallActivity, note: Note },
    #[serde(rename = "notes.update")]
    UpdateNote { at: RecordRef, call: CallActivity, note: Note },
    #[serde(rename = "contacts.find")]
    FindContacts { writings: Vec<String> },
    #[serde(rename = "contacts.search")]
    SearchContacts { number: PhoneNumber },
    #[serde(rename = "contacts.create")]
    CreateContact {
        #[serde(default)]
        number: Option<PhoneNumber>,
        called: String,
        external_id: String,
    },
    #[serde(rename = "contacts.find_created")]
    FindCreatedContact { external_id: String },
    #[serde(rename = "agents.list")]
    ListAgents {
        #[serde(default)]
        from: Option<String>,
    },
    #[serde(rename = "popups.show")]
    ShowPopup { popup: Popup },
    #[serde(rename = "owners.of")]
    FindOwner { number: PhoneNumber },
    #[serde(rename = "open_tickets.of")]
    FindOpenTickets { contact: RecordRef, most: usize },
    #[serde(rename = "follow_ups.find")]
    FindFollowUp { on: RecordRef, call: CallActivity, it: FollowUp },
    #[serde(rename = "follow_ups.create")]
    CreateFollowUp { on: RecordRef, call: CallActivity, it: FollowUp },
}

/// A part of a record that differs, as in [`Changed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Subject,
    Body,
    Agent,
    Contact,
    Facts,
    Outcome,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    #[serde(default)]
    request: Option<Asked>,
    reply: Replied,
}

/// A request as it goes over the wire, without host and credentials.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    label: String,
    method: String,
    /// The setting with the capability URL it goes to, where it is not the CRM's own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    /// Path and query, percent-encoded.
    target: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    form: Option<Vec<(String, String)>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    multipart: Option<Vec<(String, String)>>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Replied {
    status: u16,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    headers: Map<String, Value>,
    /// JSON, or, where it is a string, the text itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
}

#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Yields(Value),
    Fails(Value),
}

/// Replays every cassette of a directory on the connector that `build` makes.
///
/// # Panics
/// When a cassette does not hold, cannot be read, or there is none; all of them are tried before.
pub fn replay(directory: impl AsRef<Path>, build: impl Fn(&Settings) -> Arc<dyn Connector>) {
    let directory = directory.as_ref();
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no cassettes in {}", directory.display());
    let writes = std::env::var(MODE).is_ok_and(|mode| mode == "write");
    let wrong: Vec<String> = files
        .iter()
        .filter_map(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            play(file, &build, writes).err().map(|error| format!("{name}: {error}"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}\n(if the change is meant: {MODE}=write)", wrong.join("\n"));
}

fn play(file: &Path, build: &impl Fn(&Settings) -> Arc<dyn Connector>, writes: bool) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let mut cassette: Cassette = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let settings = cassette.settings.settings(cassette.defaults.clone())?;
    let (asked, outcome) = perform(&cassette, build(&settings).as_ref())?;

    if writes {
        for (recorded, asked) in cassette.exchanges.iter_mut().zip(asked) {
            recorded.request = Some(asked);
        }
        cassette.result.get_or_insert(outcome);
        let written = serde_json::to_string_pretty(&cassette).map_err(|error| error.to_string())?;
        return fs::write(file, written + "\n").map_err(|error| error.to_string());
    }
    if cassette.source.trim().is_empty() {
        return Err("says not where it is from".to_owned());
    }
    if asked.len() != cassette.exchanges.len() {
        return Err(format!("{} exchanges are written down, {} took place", cassette.exchanges.len(), asked.len()));
    }
    for (at, (recorded, asked)) in cassette.exchanges.iter().zip(&asked).enumerate() {
        if recorded.request.as_ref() != Some(asked) {
            return Err(format!(
                "request {at} differs:\n  written down {:?}\n  sent         {asked:?}",
                recorded.request
            ));
        }
    }
    if cassette.result.as_ref() != Some(&outcome) {
        return Err(format!("the result differs:\n  written down {:?}\n  read         {outcome:?}", cassette.result));
    }
    Ok(())
}

/// With the number of every party that is written as a text.
fn parties(mut operation: Value) -> Value {
    match &mut operation {
        Value::Object(fields) => {
            for (name, value) in fields {
                *value = match (name.as_str(), value.as_str()) {
                    ("customer" | "exophone" | "agent_number" | "number", Some(written)) => {
                        to_json(&sample::party(written))
                    }
                    _ => parties(value.take()),
                };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = parties(item.take())),
        _ => {}
    }
    operation
}

/// Performs the operation on the replies that are written down.
fn perform(cassette: &Cassette, connector: &dyn Connector) -> Result<(Vec<Asked>, Outcome), String> {
    let replies = cassette.exchanges.iter().map(|exchange| response(&exchange.reply)).collect::<Result<Vec<_>, _>>()?;
    let mut tape = Tape { connector, replies: replies.into_iter(), asked: Vec::new(), ended: false };
    let absent = |part: &str| format!("the connector holds no {part}");
    let operation = serde_json::from_value(parties(cassette.operation.clone())).map_err(|error| error.to_string())?;
    let outcome = match &operation {
        Operation::Identify => tape.run(connector.identify(), |who| json!({"account": who.account})),
        Operation::FindActivity { call } => {
            tape.run(connector.activities().find(call).ok_or_else(|| absent("way to find a record"))?, to_json)
        }
        Operation::CreateActivity { call } => tape.run(connector.activities().create(call), to_json),
        Operation::UpdateActivity { at, call, changed } => {
            let has = |part| changed.contains(&part);
            let changed = Changed {
                subject: has(Part::Subject),
                body: has(Part::Body),
                agent: has(Part::Agent),
                contact: has(Part::Contact),
                facts: has(Part::Facts),
                outcome: has(Part::Outcome),
            };
            tape.run(connector.updates().ok_or_else(|| absent("updates"))?.update(at, call, changed), to_json)
        }
        Operation::FindNote { on, call, note } => {
            let notes = connector.notes().ok_or_else(|| absent("notes"))?;
            tape.run(notes.find(on, call, note).ok_or_else(|| absent("way to find a note"))?, to_json)
        }
        Operation::CreateNote { on, call, note } => {
            tape.run(connector.notes().ok_or_else(|| absent("notes"))?.create(on, call, note), to_json)
        }
        Operation::UpdateNote { at, call, note } => {
            tape.run(connector.notes().ok_or_else(|| absent("notes"))?.update(at, call, note), to_json)
        }
        Operation::FindContacts { writings } => {
            tape.run(connector.contacts().ok_or_else(|| absent("contacts"))?.find(writings), to_json)
        }
        Operation::SearchContacts { number } => {
            let contacts = connector.contacts().ok_or_else(|| absent("contacts"))?;
            tape.run(contacts.search(number).ok_or_else(|| absent("search over contacts"))?, to_json)
        }
        Operation::CreateContact { number, called, external_id } => {
            let new = NewContact { number: number.clone(), name: called.clone(), external_id: external_id.clone() };
            tape.run(connector.contacts().ok_or_else(|| absent("contacts"))?.create(&new), to_json)
        }
        Operation::FindCreatedContact { external_id } => {
            let contacts = connector.contacts().ok_or_else(|| absent("contacts"))?;
            tape.run(contacts.find_created(external_id).ok_or_else(|| absent("external ids"))?, to_json)
        }
        Operation::ListAgents { from } => {
            let agents = connector.agents().ok_or_else(|| absent("agents"))?;
            tape.run(
                agents.list(from.clone().map(Cursor).as_ref()),
                |page| json!({"items": page.items, "next": page.next.as_ref().map(|cursor| &cursor.0)}),
            )
        }
        Operation::ShowPopup { popup } => {
            let popups = connector.popups().ok_or_else(|| absent("popups"))?;
            tape.run(popups.show(popup).ok_or_else(|| absent("popup for this"))?, |()| Value::Null)
        }
        Operation::FindOwner { number } => {
            tape.run(connector.owners().ok_or_else(|| absent("owners"))?.of(number), to_json)
        }
        Operation::FindOpenTickets { contact, most } => {
            let tickets = connector.open_tickets().ok_or_else(|| absent("open tickets"))?;
            tape.run(tickets.of(contact, *most).ok_or_else(|| absent("tickets of this contact"))?, to_json)
        }
        Operation::FindFollowUp { on, call, it } => {
            let follow_ups = connector.follow_ups().ok_or_else(|| absent("follow-ups"))?;
            tape.run(follow_ups.find(on, call, it).ok_or_else(|| absent("way to find a follow-up"))?, to_json)
        }
        Operation::CreateFollowUp { on, call, it } => {
            let follow_ups = connector.follow_ups().ok_or_else(|| absent("follow-ups"))?;
            tape.run(follow_ups.create(on, call, it), to_json)
        }
    };
    if tape.ended {
        return Err("the connector asks once more than is written down".to_owned());
    }
    Ok((tape.asked, outcome))
}

/// The replies that are left, and what was asked so far.
struct Tape<'a> {
    connector: &'a dyn Connector,
    replies: std::vec::IntoIter<Response>,
    asked: Vec<Asked>,
    ended: bool,
}

impl Tape<'_> {
    fn run<T>(&mut self, exchange: Exchange<T>, show: impl Fn(&T) -> Value) -> Outcome {
        let Self { connector, replies, asked, ended } = self;
        let outcome = follow(exchange, *connector, |request| {
            asked.push(Asked::of(request));
            replies.next().ok_or_else(|| {
                *ended = true;
                Failure::new(patchbay_kit::Kind::Unavailable, Retry::Never)
            })
        });
        match outcome {
            Ok(value) => Outcome::Yields(show(&value)),
            Err(failure) => Outcome::Fails(shown(&failure)),
        }
    }
}

impl Asked {
    fn of(request: &Request) -> Self {
        let (body, form, multipart) = match &request.body {
            Body::Empty => (None, None, None),
            Body::Json(value) => (Some(value.clone()), None, None),
            Body::Form(pairs) => (None, Some(pairs.clone()), None),
            Body::Multipart(fields) => (None, None, Some(fields.clone())),
        };
        let to = match request.base {
            Base::Origin => None,
            Base::Secret(setting) => Some(setting.to_owned()),
        };
        Self {
            label: request.label.to_owned(),
            method: request.method.to_string(),
            to,
            target: request.target(),
            headers: request.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            body,
            form,
            multipart,
        }
    }
}

fn to_json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn shown(failure: &Failure) -> Value {
    let retry = match failure.retry {
        Retry::Never => json!("never"),
        Retry::Backoff => json!("backoff"),
        Retry::AfterRefresh => json!("after_refresh"),
        Retry::After(wait) => json!({"after_s": wait.as_secs_f64()}),
    };
    json!({
        "kind": failure.kind,
        "retry": retry,
        "code": failure.remote_code,
        "about": failure.about,
        "detail": failure.detail,
    })
}

fn response(replied: &Replied) -> Result<Response, String> {
    let status = StatusCode::from_u16(replied.status).map_err(|error| error.to_string())?;
    let mut headers = HeaderMap::new();
    for (name, value) in &replied.headers {
        let header: <HeaderMap as IntoIterator>::Item = (
            Some(name.parse().map_err(|_| format!("no header name: {name}"))?),
            value.as_str().and_then(|value| value.parse().ok()).ok_or_else(|| format!("no header value: {value}"))?,
        );
        headers.extend([header]);
    }
    let body = match &replied.body {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(json) => json.to_string(),
    };
    Ok(Response { status, headers, body: body.into() })
}
