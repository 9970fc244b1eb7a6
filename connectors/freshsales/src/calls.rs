//! A call's record: a call log, which cannot be changed, and is found again by its note alone.
//!
//! A log can be made and nothing else: no operation reads, lists or changes one ("Freshsales API" documents none; others
//! found none \[C\]). What can be found and written again is the note made with it, so the record's id is the note's.

use patchbay_kit::{
    About, Activities, CallActivity, Changed, Direction, Exchange, Failure, Kind, RecordRef, Request, Response, Retry,
    StatusCode, Step, Text, Updates, words,
};
use serde_json::{Map, Value, json};

use crate::{
    Freshsales, Person, errors, id_in, is_id,
    listed::{Looked, Stands},
    text, unreadable,
};

/// A record by its log's note.
pub(crate) const CALL: &str = "call";
/// A record by the log itself, where Freshsales names no note of it.
const BARE: &str = "call_log";

/// Refusals that may be about whose call it is.
const REFUSED: &[StatusCode] = &[StatusCode::NOT_FOUND];
const GONE: &[StatusCode] = &[StatusCode::NOT_FOUND];

/// Whether a note is the one of this call's log.
fn is_log_of(note: &Stands, key: &str) -> bool {
    words::mentions(&note.text, key) && !text::is_of_recording(&note.text)
}

impl Activities for Freshsales {
    /// Looks among the contact's notes. Unproven: that the note of a log stands among them.
    fn find(&self, call: &CallActivity) -> Option<Exchange<Option<RecordRef>>> {
        let key = call.key.0.clone();
        let wanted = move |note: &Stands| is_log_of(note, &key);
        Some(self.look("call.find", call.contact.as_ref()?, wanted, |looked| {
            Ok(Step::Done(match looked {
                Looked::Found(note) => Some(RecordRef::new(CALL, note.id)),
                Looked::Nowhere | Looked::NoPerson => None,
            }))
        }))
    }

    /// "Freshsales API, Phone calls: Create a manual call" \[V\] for the fields. What a live account took was a form with
    /// `phone_call[…]` keys, a boolean for the direction, and the target's type beside its id; as JSON, the same account
    /// dropped the target without a word. Others report that JSON works \[C\].
    fn create(&self, call: &CallActivity) -> Exchange<RecordRef> {
        let request = Request::post("call.create", self.path(["phone_calls"]));
        let request = if self.config.calls_as_json {
            request.json(self.as_json(call))
        } else {
            request.multipart(self.as_form(call))
        };
        let contact = call.contact.clone();
        let key = call.key.0.clone();
        let reader = Self { config: self.config.clone() };
        request
            .then(move |reply| {
                if REFUSED.contains(&reply.status) {
                    return Err(errors::classify(reply).about(About::Contact));
                }
                let made = Made::of(reply)?;
                let Some(contact) = contact.as_ref().filter(|_| made.dropped) else {
                    // One request, where that can be: a second one that fails would put the first in doubt.
                    return Ok(Step::Done(made.at));
                };
                let key = key.clone();
                Ok(Step::Then(reader.confirm(
                    contact,
                    move |note| is_log_of(note, &key),
                    |looked| {
                        match looked {
                            Looked::Found(note) => Ok(Step::Done(RecordRef::new(CALL, note.id))),
                            Looked::NoPerson => Err(Failure::new(Kind::NotFound, Retry::Never)
                                .about(About::Contact)
                                .because("the contact has been deleted in Freshsales")),
                            Looked::Nowhere => {
                                Err(Failure::new(Kind::Invalid, Retry::Never).code("targetable_dropped").because(
                                    "Freshsales made a call log and left out whose call it is; change `calls_as_json`, \
                                 delete that log, and send this again",
                                ))
                            }
                        }
                    },
                )))
            })
            .accepting(REFUSED)
    }
}

/// What the reply to a new log says of it.
struct Made {
    at: RecordRef,
    /// The reply shows a log that is nobody's.
    dropped: bool,
}

impl Made {
    fn of(reply: &Response) -> Result<Self, Failure> {
        let body: Value = reply.json()?;
        let call = body.get("phone_call").unwrap_or(&body);
        let id = id_in(call.get("id")).ok_or_else(|| unreadable("id of the call log"))?;
        let places = ["/note_id", "/note/id", "/note_ids/0", "/notes/0/id"];
        let note = places.into_iter().find_map(|place| id_in(call.pointer(place)));
        let note = note.or_else(|| id_in(body.pointer("/notes/0/id")));
        let mut shown = ["targetable", "targetable_id", "targetable_type"].into_iter().filter_map(|key| call.get(key));
        let dropped = shown.clone().next().is_some() && shown.all(Value::is_null);
        let at = note.map_or_else(|| RecordRef::new(BARE, &id), |note| RecordRef::new(CALL, note));
        Ok(Self { at, dropped })
    }
}

impl Freshsales {
    fn as_form(&self, call: &CallActivity) -> Vec<(String, String)> {
        let mut fields: Vec<(String, String)> = Vec::new();
        for (key, value) in self.config.defaults.fields("") {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            fields.push((format!("phone_call[{key}]"), value));
        }
        let mut field = |key: &str, value: String| fields.push((format!("phone_call{key}"), value));
        field("[call_direction]", (call.direction == Direction::Incoming).to_string());
        if let Some(contact) = &call.contact {
            field("[targetable_type]", Person::of(contact).lower.to_owned());
            field("[targetable][id]", contact.id.clone());
        }
        field("[note][description]", text::of_call(&call.subject, &call.body));
        fields
    }

    fn as_json(&self, call: &CallActivity) -> Value {
        let mut fields = self.config.defaults.under("", Map::new());
        fields.insert("call_direction".to_owned(), Value::from(call.direction == Direction::Incoming));
        if let Some(contact) = &call.contact {
            fields.insert("targetable_type".to_owned(), Value::from(Person::of(contact).lower));
            fields.insert("targetable".to_owned(), json!({"id": contact.id}));
        }
        fields.insert("note".to_owned(), json!({"description": text::of_call(&call.subject, &call.body)}));
        json!({"phone_call": fields})
    }

    /// "Freshsales API, Notes: Update a note" \[V\]
    fn rewrite(&self, id: &str, text: &str) -> Exchange<RecordRef> {
        let at = RecordRef::new(CALL, id);
        Request::put("call.update", self.path(["notes", id]))
            .json(json!({"note": {"description": text}}))
            .done(move |reply| {
                if GONE.contains(&reply.status) {
                    return Err(gone());
                }
                let _: Value = reply.json()?;
                Ok(at.clone())
            })
            .accepting(GONE)
    }
}

impl Updates for Freshsales {
    fn update(&self, at: &RecordRef, call: &CallActivity, changed: Changed) -> Exchange<RecordRef> {
        let whole = text::of_call(&call.subject, &call.body);
        let Some(contact) = call.contact.clone().filter(|_| is_id(&at.id)) else {
            // Nobody's notes can be read, so there is nothing to spare in this one.
            return self.rewrite(&at.id, &whole);
        };
        let writer = Self { config: self.config.clone() };
        if at.kind == BARE {
            let key = call.key.0.clone();
            return self.look(
                "call.find",
                &contact,
                move |note| is_log_of(note, &key),
                move |looked| match looked {
                    Looked::Found(note) => Ok(Step::Then(writer.rewrite(&note.id, &whole))),
                    Looked::NoPerson => Err(gone()),
                    Looked::Nowhere => Err(Failure::new(Kind::Unsupported, Retry::Never)
                        .because("Freshsales shows no note of this call log, and the log itself cannot be changed")),
                },
            );
        }
        if changed.subject && changed.body {
            return self.rewrite(&at.id, &whole);
        }
        // One part is to be written and the other may have been edited; or neither is, because whose call it is and who
        // answered cannot be changed in a log.
        let subject = changed.subject.then(|| call.subject.clone());
        let body = changed.body.then(|| call.body.clone());
        let (id, same) = (at.id.clone(), at.clone());
        self.look(
            "call.find",
            &contact,
            move |note| note.id == id,
            move |looked| {
                if subject.is_none() && body.is_none() {
                    return Ok(Step::Done(same.clone()));
                }
                let text = match &looked {
                    Looked::Found(note) => text::with_part(&note.text, subject.as_deref(), body.as_deref()),
                    Looked::Nowhere | Looked::NoPerson => None,
                };
                Ok(Step::Then(writer.rewrite(&same.id, text.as_ref().unwrap_or(&whole))))
            },
        )
    }

    /// What agents have to say stands in notes of their own.
    fn text(&self, _: &RecordRef) -> Option<Exchange<Text>> {
        None
    }
}

/// The log is not there any more, or its note.
fn gone() -> Failure {
    Failure::new(Kind::NotFound, Retry::Never)
        .about(About::Record)
        .because("the call log has been deleted in Freshsales, or its note")
}
