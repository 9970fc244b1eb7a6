//! Recording and duration: one more note on the contact, because a call log takes neither.

use patchbay_kit::{
    About, CallActivity, Exchange, Failure, Kind, Note, Notes, RecordRef, Request, Response, Retry, StatusCode, Step,
    words,
};
use serde_json::{Value, json};

use crate::{
    Freshsales, Person, id_in, id_value, is_id,
    listed::{Looked, Stands},
    text, unreadable,
};

const GONE: &[StatusCode] = &[StatusCode::NOT_FOUND];

impl Notes for Freshsales {
    fn find(&self, _: &RecordRef, of: &CallActivity, note: &Note) -> Option<Exchange<Option<RecordRef>>> {
        let key = note.key.0.clone();
        let wanted = move |note: &Stands| words::mentions(&note.text, &key) && text::is_of_recording(&note.text);
        Some(self.look("note.find", of.contact.as_ref()?, wanted, |looked| {
            Ok(Step::Done(match looked {
                Looked::Found(note) => Some(RecordRef::new("note", note.id)),
                Looked::Nowhere | Looked::NoPerson => None,
            }))
        }))
    }

    /// "Freshsales API, Notes: Create a note" \[V\]. Only the account's users see notes.
    fn create(&self, on: &RecordRef, of: &CallActivity, note: &Note) -> Exchange<RecordRef> {
        // The note hangs on the contact, so nothing would ask whether the record can be one of Freshsales'.
        let Some(contact) = of.contact.as_ref().filter(|_| is_id(&on.id)) else {
            return self.failing(gone());
        };
        let fields = json!({
            "description": text::of_recording(&note.body),
            "targetable_type": Person::of(contact).pascal,
            "targetable_id": id_value(&contact.id),
        });
        Request::post("note.create", self.path(["notes"]))
            .json(json!({"note": fields}))
            .done(|reply| if GONE.contains(&reply.status) { Err(gone()) } else { made(reply) })
            .accepting(GONE)
    }

    /// "Freshsales API, Notes: Update a note" \[V\]
    fn update(&self, at: &RecordRef, _: &CallActivity, note: &Note) -> Exchange<RecordRef> {
        Request::put("note.update", self.path(["notes", &at.id]))
            .json(json!({"note": {"description": text::of_recording(&note.body)}}))
            .done(|reply| {
                if GONE.contains(&reply.status) {
                    // Not `About::Record`: the call's own log may well be there.
                    return Err(Failure::new(Kind::NotFound, Retry::Never)
                        .because("the note with the recording has been deleted in Freshsales"));
                }
                made(reply)
            })
            .accepting(GONE)
    }
}

fn made(reply: &Response) -> Result<RecordRef, Failure> {
    let body: Value = reply.json()?;
    let note = body.get("note").unwrap_or(&body);
    Ok(RecordRef::new("note", id_in(note.get("id")).ok_or_else(|| unreadable("id of the note"))?))
}

fn gone() -> Failure {
    Failure::new(Kind::NotFound, Retry::Never)
        .about(About::Record)
        .because("the contact of this call has been deleted in Freshsales, and the call log with it")
}
