//! Karibu CRM (API v1) as Patchbay speaks to it: a call is a call record of its contact, with fields for its facts.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use patchbay_kit::{
    About, Activities, Agents, Allowance, Assigns, AuthScheme, CallActivity, Changed, Connector, Contact, Contacts,
    Defaults, Exchange, Failure, FollowUps, Identity, Kind, Manifest, NewContact, Notes, OpenTickets, Origin, Owners,
    PhoneNumber, Popups, Quota, RecordRef, Rendering, Request, Response, Retry, Setting, SettingKind, Settings,
    StatusCode, Text, TextFormat, TextRules, Updates,
    defaults::{self, Table},
    words,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Karibu in the catalogue.
pub static MANIFEST: Manifest = Manifest {
    id: "karibu",
    name: "Karibu CRM",
    origin: Origin::Fixed("https://api.karibu.example"),
    // "Karibu API v1, Keys": the key alone, without a scheme before it.
    auth: AuthScheme::Header { name: "x-karibu-key", prefix: "", secret: "api_key" },
    settings: &[Setting::secret("api_key", SettingKind::Text, "The API key: Settings, Developers, New key").required()],
    // "Karibu API v1, Limits": per key.
    quotas: &[Quota { name: "key", per: Duration::from_secs(60), limit: Some(120), labels: &[] }],
    // "Karibu API v1, Calls": title and text.
    text: TextRules { format: TextFormat::Plain, subject_chars: 200, body_chars: 10_000 },
    // Look-ups are for exact strings, so each way in which people write numbers is asked for, all in one request.
    phone: &[Rendering::E164, Rendering::National, Rendering::NationalZero, Rendering::E164NoPlus],
    writings_per_find: 4,
    record: "call",
    // Karibu has no agents: a call belongs to its contact's team.
    assigns: Assigns::Never,
    record_facts: true,
};

/// Fields of a call that the call itself fills.
const FILLED: &[&str] =
    &["call_ref", "contact_id", "title", "text", "direction", "outcome", "started_at", "seconds", "recording_url"];
/// What may be set in the integration's `defaults`: any field but those.
const DEFAULTS: &[Table] = &[Table::of_calls(FILLED)];
/// After a 429 that does not say how long.
const PAUSE: Duration = Duration::from_secs(60);

/// One integration with one Karibu account.
#[derive(Debug)]
struct Karibu {
    /// Extra fields of new calls.
    defaults: Defaults,
}

/// Makes the connector. Whatever of the settings [`problems`] objects to is left out.
pub fn build(settings: &Settings) -> Arc<dyn Connector> {
    Arc::new(Karibu { defaults: Defaults::of(settings, DEFAULTS) })
}

/// What is wrong with the settings, one line for each: the key and what would be right.
pub fn problems(settings: &Settings) -> Vec<String> {
    defaults::problems(settings, DEFAULTS)
}

impl Connector for Karibu {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    /// "Karibu API v1, Organisation"
    fn identify(&self) -> Exchange<Identity> {
        #[derive(Deserialize)]
        struct Organisation {
            name: String,
        }
        Request::get("organisation.show", ["v1", "organisation"])
            .done(|reply| Ok(Identity { account: reply.json::<Organisation>()?.name }))
    }

    /// "Karibu API v1, Errors": one row for each code that is treated differently.
    fn classify(&self, reply: &Response) -> Failure {
        // A proxy's page is no refusal of Karibu's: then the status alone speaks.
        let Refusal { code, message, field } = reply.json::<Refused>().unwrap_or_default().error;
        let message = words::said(&message);
        let failure = match (reply.status.as_u16(), code.as_str()) {
            (401, _) => Failure::new(Kind::Unauthorized, Retry::Never)
                .because("Karibu refuses the API key: make a new one and set `api_key`"),
            (403, _) => {
                Failure::new(Kind::Forbidden, Retry::Never).because("the API key may only read: make a full one")
            }
            (404, "no_such_call") => Failure::new(Kind::NotFound, Retry::Never)
                .about(About::Record)
                .because("the call has been deleted in Karibu: resync it to make a new one"),
            (404, _) => Failure::new(Kind::NotFound, Retry::Never).because("Karibu knows no such address"),
            (422, "no_such_contact") => {
                Failure::new(Kind::NotFound, Retry::Never).about(About::Contact).because("the contact has been deleted")
            }
            (422, "missing_field") => Failure::new(Kind::Invalid, Retry::Never)
                .because(format!("Karibu wants a field that is not given; set `defaults.{field}`")),
            (400 | 422, _) => Failure::new(Kind::Invalid, Retry::Never).because(format!("`{field}`: {message}")),
            (409, _) => Failure::new(Kind::Conflict, Retry::Never).because(message),
            (429, _) => {
                let wait = reply.retry_after().unwrap_or(PAUSE);
                Failure::new(Kind::RateLimited, Retry::After(wait)).because("too many requests")
            }
            (500.., _) => Failure::new(Kind::Unavailable, Retry::Backoff).because(message),
            // Not plainly our fault, so worth a retry.
            (_, _) => Failure::new(Kind::Malformed, Retry::Backoff).because(format!("{}: {message}", reply.status)),
        };
        if code.is_empty() { failure } else { failure.code(code) }
    }

    /// None: no header of Karibu's tells what is left.
    fn allowance(&self, _: &Response) -> Option<Allowance> {
        None
    }

    fn activities(&self) -> &dyn Activities {
        self
    }

    fn updates(&self) -> Option<&dyn Updates> {
        Some(self)
    }

    /// None: recording and duration have fields of their own.
    fn notes(&self) -> Option<&dyn Notes> {
        None
    }

    fn contacts(&self) -> Option<&dyn Contacts> {
        Some(self)
    }

    fn agents(&self) -> Option<&dyn Agents> {
        None
    }

    fn popups(&self) -> Option<&dyn Popups> {
        None
    }

    fn owners(&self) -> Option<&dyn Owners> {
        None
    }

    fn open_tickets(&self) -> Option<&dyn OpenTickets> {
        None
    }

    fn follow_ups(&self) -> Option<&dyn FollowUps> {
        None
    }
}

/// "Karibu API v1, Calls"
impl Activities for Karibu {
    /// Reads the table itself, not an index behind it: a call is listed as soon as it is there.
    fn find(&self, call: &CallActivity) -> Option<Exchange<Option<RecordRef>>> {
        #[derive(Deserialize)]
        struct Calls {
            calls: Vec<Id>,
        }
        let request = Request::get("call.find", ["v1", "calls"]).query("call_ref", &call.key);
        Some(request.done(|reply| Ok(reply.json::<Calls>()?.calls.first().map(Id::record))))
    }

    /// Karibu takes two calls with one `call_ref`, so this creates: after a lost reply the call is looked for first.
    fn create(&self, call: &CallActivity) -> Exchange<RecordRef> {
        let mut fields = Map::new();
        fields.insert("call_ref".to_owned(), json!(call.key));
        fields.insert("title".to_owned(), json!(call.subject));
        fields.insert("text".to_owned(), json!(call.body));
        fields.insert("contact_id".to_owned(), json!(call.contact.as_ref().map(|contact| &contact.id)));
        fields.extend(facts(call));
        Request::post("call.create", ["v1", "calls"]).json(self.defaults.under("", fields).into()).done(made)
    }
}

impl Updates for Karibu {
    /// What did not change is not sent: somebody may have edited it in Karibu.
    fn update(&self, at: &RecordRef, call: &CallActivity, changed: Changed) -> Exchange<RecordRef> {
        let mut fields = Map::new();
        if changed.subject {
            fields.insert("title".to_owned(), json!(call.subject));
        }
        if changed.body {
            fields.insert("text".to_owned(), json!(call.body));
        }
        if changed.contact {
            fields.insert("contact_id".to_owned(), json!(call.contact.as_ref().map(|contact| &contact.id)));
        }
        if changed.facts {
            fields.extend(facts(call));
        }
        Request::patch("call.update", ["v1", "calls", at.id.as_str()]).json(fields.into()).done(made)
    }

    /// None: people in Karibu have a field of their own (`remark`), and leave `text` to us.
    fn text(&self, _: &RecordRef) -> Option<Exchange<Text>> {
        None
    }
}

/// "Karibu API v1, Contacts"
impl Contacts for Karibu {
    /// None: the look-up by number is as quick, and does not lag.
    fn search(&self, _: &PhoneNumber) -> Option<Exchange<Vec<Contact>>> {
        None
    }

    fn find(&self, writings: &[String]) -> Exchange<Vec<Contact>> {
        let request = Request::get("contact.find", ["v1", "contacts"]);
        let request = writings.iter().fold(request, |request, writing| request.query("phone", writing));
        request.done(listed)
    }

    /// `ref` is unique: where it is taken, Karibu answers 409 and shows who has it.
    fn create(&self, contact: &NewContact) -> Exchange<Contact> {
        #[derive(Deserialize)]
        struct Taken {
            contact: Person,
        }
        let phone = contact.number.as_ref().map(|number| number.render(Rendering::E164));
        let fields = json!({"name": contact.name, "phone": phone, "ref": contact.external_id});
        Request::post("contact.create", ["v1", "contacts"])
            .json(fields)
            .done(|reply| match reply.status {
                StatusCode::CONFLICT => Ok(reply.json::<Taken>()?.contact.into()),
                _ => Ok(reply.json::<Person>()?.into()),
            })
            .accepting(&[StatusCode::CONFLICT])
    }

    fn find_created(&self, external_id: &str) -> Option<Exchange<Option<Contact>>> {
        let request = Request::get("contact.find_created", ["v1", "contacts"]).query("ref", external_id);
        Some(request.done(|reply| Ok(listed(reply)?.pop())))
    }
}

/// What has a field of its own.
fn facts(call: &CallActivity) -> Map<String, Value> {
    let facts = [
        ("direction", json!(call.direction)),
        ("outcome", json!(call.outcome)),
        ("started_at", json!(call.started_at)),
        ("seconds", json!(call.talk_seconds)),
        ("recording_url", json!(call.recording_link)),
    ];
    facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn made(reply: &Response) -> Result<RecordRef, Failure> {
    Ok(reply.json::<Id>()?.record())
}

fn listed(reply: &Response) -> Result<Vec<Contact>, Failure> {
    #[derive(Deserialize)]
    struct People {
        contacts: Vec<Person>,
    }
    Ok(reply.json::<People>()?.contacts.into_iter().map(Contact::from).collect())
}

/// What every record shows.
#[derive(Deserialize)]
struct Id {
    id: String,
}

impl Id {
    fn record(&self) -> RecordRef {
        RecordRef::new("call", &self.id)
    }
}

#[derive(Deserialize)]
struct Person {
    id: String,
    name: String,
    phone: Option<String>,
    updated_at: Option<Timestamp>,
}

impl From<Person> for Contact {
    fn from(person: Person) -> Self {
        Self {
            at: RecordRef::new("contact", person.id),
            name: person.name,
            numbers: person.phone.into_iter().collect(),
            updated_at: person.updated_at,
            owner: None,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refused {
    error: Refusal,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    code: String,
    message: String,
    field: String,
}
