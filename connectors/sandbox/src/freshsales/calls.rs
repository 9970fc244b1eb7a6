//! Call logs and notes: a log can only be made, a note can be changed (`crm-api.md` §2.d).

use http::{StatusCode, header};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    Freshsales, Gone, JsonCalls,
    model::{FIRST_CALL, FIRST_NOTE, Note, Person, PhoneCall, timestamp},
    next, object,
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request};

/// The most a description holds, in bytes: a MySQL TEXT `[M]`.
const DESCRIPTION_BYTES_MAX: usize = 65_535;

/// A call log as it was given, whatever it came in.
#[derive(Debug, Default)]
struct Given {
    incoming: bool,
    target_type: Option<String>,
    target_id: Option<String>,
    description: Option<String>,
    outcome_id: Option<String>,
}

impl Given {
    /// `phone_call[…]=…`. What no field report knows of is ignored, recordings above all.
    fn of_fields(fields: Vec<(String, String)>) -> Result<Self, Refusal> {
        let mut given = Self::default();
        for (name, value) in fields {
            match name.as_str() {
                // Only the boolean counts: the word "incoming" stores false.
                "phone_call[call_direction]" => given.incoming = value == "true",
                "phone_call[targetable_type]" => given.target_type = Some(value),
                "phone_call[targetable][id]" => given.target_id = Some(value),
                "phone_call[note][description]" => given.description = Some(value),
                "phone_call[outcome_id]" => given.outcome_id = Some(value),
                // A Ruby error in both cases.
                "phone_call[targetable]" | "phone_call[note]" => return Err(Refusal::stumbled()),
                _ => {}
            }
        }
        Ok(given)
    }

    /// Wrapped in `phone_call` or not.
    fn of_json(body: &Map<String, Value>) -> Result<Self, Refusal> {
        let call = body.get("phone_call").and_then(Value::as_object).unwrap_or(body);
        let text = |value: Option<&Value>| match value {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        if call.get("note").is_some_and(|note| !note.is_object()) {
            return Err(Refusal::stumbled());
        }
        Ok(Self {
            incoming: call.get("call_direction") == Some(&Value::Bool(true)),
            target_type: text(call.get("targetable_type")),
            target_id: text(call.get("targetable").and_then(|target| target.get("id"))),
            description: text(call.get("note").and_then(|note| note.get("description"))),
            outcome_id: text(call.get("outcome_id")),
        })
    }
}

fn described(description: &str) -> Result<(), Refusal> {
    if description.len() > DESCRIPTION_BYTES_MAX {
        return Err(Refusal::invalid("Description is too long"));
    }
    Ok(())
}

impl Freshsales {
    pub(super) fn create_call(&mut self, request: &Request, now: Timestamp) -> Answer {
        let mut given = self.given(request)?;
        if let Some(description) = &given.description {
            described(description)?;
        }
        let outcome_id = match given.outcome_id.take() {
            None => None,
            Some(text) => Some(
                text.parse()
                    .ok()
                    .filter(|id| self.outcomes.contains(id))
                    .ok_or_else(|| Refusal::invalid("Outcome is invalid"))?,
            ),
        };
        let target = self.target(&given)?;
        let id = next(&self.calls, FIRST_CALL);
        let note = given.description.map(|text| self.insert_note(text, target, Some(id), now));
        let call = PhoneCall {
            id,
            incoming: given.incoming,
            target,
            note,
            outcome_id,
            user_id: self.owner(),
            deleted: false,
            created_at: now,
        };
        let shown = self.call_shown(&call);
        self.calls.insert(id, call);
        Ok(Reply::json(StatusCode::CREATED, &shown))
    }

    fn given(&self, request: &Request) -> Result<Given, Refusal> {
        if let Some(fields) = request.multipart() {
            if fields.iter().all(|(name, _)| !name.starts_with("phone_call[")) {
                return Err(Refusal::invalid("phone_call is missing"));
            }
            return Given::of_fields(fields);
        }
        if request.header(header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("multipart/")) {
            return Err(Refusal::of_status(StatusCode::BAD_REQUEST));
        }
        let mut given = Given::of_json(&object(request)?)?;
        match self.settings.json_calls {
            JsonCalls::Work => {}
            JsonCalls::Dropped => {
                (given.target_type, given.target_id, given.description) = (None, None, None);
            }
            JsonCalls::NoteFails if given.description.is_some() => return Err(Refusal::stumbled()),
            JsonCalls::NoteFails => {}
        }
        Ok(given)
    }

    /// Whose call it is. It takes both the type and the id, else it is nobody's, without a word.
    fn target(&self, given: &Given) -> Result<Option<u64>, Refusal> {
        let (Some(kind), Some(id)) = (&given.target_type, &given.target_id) else {
            return Ok(None);
        };
        let person = Person::ALL.into_iter().find(|person| person.lower() == kind);
        let person = person.ok_or_else(|| Refusal::invalid("Targetable type is invalid"))?;
        let found = id.parse().ok().and_then(|id| self.live(person, id));
        match (found, self.settings.gone) {
            (Some(contact), _) => Ok(Some(contact.id)),
            (None, Gone::NotFound) => Err(Refusal::not_found()),
            (None, Gone::Invalid) => Err(Refusal::invalid("Targetable can't be blank")),
            (None, Gone::Dropped) => Ok(None),
        }
    }

    fn call_shown(&self, call: &PhoneCall) -> Value {
        let target = call.target.and_then(|id| self.contacts.get(&id));
        let mut shown = json!({
            "phone_call": {
                "id": call.id,
                "call_direction": call.incoming,
                "status": if call.incoming { "incoming" } else { "outgoing" },
                "is_manual": true,
                "call_duration": null,
                "recording": null,
                "is_external_recording_url": false,
                "outcome_id": call.outcome_id,
                "user_id": call.user_id,
                "targetable_type": target.map(|contact| contact.is.lower()),
                "targetable": target.map(|contact| json!({"id": contact.id, "type": contact.is.lower()})),
                "created_at": timestamp(call.created_at),
            },
        });
        if self.settings.reply_names_note {
            shown["phone_call"]["note_id"] = json!(call.note);
            let notes = call.note.and_then(|id| self.notes.get(&id)).map(|note| self.note_shown(note));
            shown["notes"] = notes.into_iter().collect();
        }
        shown
    }

    fn insert_note(&mut self, description: String, target: Option<u64>, call: Option<u64>, now: Timestamp) -> u64 {
        let id = next(&self.notes, FIRST_NOTE);
        let note = Note { id, description, target, call, deleted: false, created_at: now, updated_at: now };
        self.notes.insert(id, note);
        if let Some(target) = target {
            self.notes_of.entry(target).or_default().push(id);
        }
        id
    }

    pub(super) fn note_shown(&self, note: &Note) -> Value {
        let target = note.target.and_then(|id| self.contacts.get(&id));
        json!({
            "id": note.id,
            "description": note.description,
            "creater_id": self.owner(),
            "targetable_type": target.map(|contact| contact.is.pascal()),
            "targetable_id": note.target,
            "created_at": timestamp(note.created_at),
            "updated_at": timestamp(note.updated_at),
        })
    }

    /// `POST /notes`: its types are written with a capital, unlike those of call logs.
    pub(super) fn create_note(&mut self, request: &Request, now: Timestamp) -> Answer {
        let body = object(request)?;
        let Some(given) = body.get("note").and_then(Value::as_object) else {
            return Err(Refusal::invalid("note is missing"));
        };
        let description = description_of(given)?.ok_or_else(|| Refusal::invalid("Description can't be blank"))?;
        let kind = given.get("targetable_type").and_then(Value::as_str).unwrap_or_default();
        let person = Person::ALL.into_iter().find(|person| person.pascal() == kind);
        let person = person.ok_or_else(|| Refusal::invalid("Targetable type is invalid"))?;
        let target = given.get("targetable_id").and_then(Value::as_u64).and_then(|id| self.live(person, id));
        let target = target.ok_or_else(Refusal::not_found)?.id;
        let id = self.insert_note(description, Some(target), None, now);
        Ok(self.note_reply(id))
    }

    /// `PUT /notes/{id}`
    pub(super) fn update_note(&mut self, id: u64, request: &Request, now: Timestamp) -> Answer {
        let body = object(request)?;
        let given = body.get("note").and_then(Value::as_object);
        let description = given.map(description_of).transpose()?.flatten();
        let note = self.notes.get_mut(&id).filter(|note| !note.deleted).ok_or_else(Refusal::not_found)?;
        note.description = description.ok_or_else(|| Refusal::invalid("Description can't be blank"))?;
        note.updated_at = now;
        Ok(self.note_reply(id))
    }

    /// 200 also for a new one `[C]`.
    fn note_reply(&self, id: u64) -> Reply {
        let note = self.notes.get(&id).map(|note| self.note_shown(note));
        Reply::json(StatusCode::OK, &json!({"note": note}))
    }
}

fn description_of(given: &Map<String, Value>) -> Result<Option<String>, Refusal> {
    match given.get("description") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => {
            described(text)?;
            Ok(Some(text.clone()).filter(|text| !text.trim().is_empty()))
        }
        Some(_) => Err(Refusal::invalid("Description is invalid")),
    }
}
