//! Cases about what texts and ids may do on their way into the CRM: nothing.

use patchbay_kit::{Changed, RecordRef};

use super::{Bench, Subject, What};
use crate::sample::{self, AWKWARD};

/// Every parameter and every text with every awkward character, read back out of the sandbox.
pub(super) fn awkward<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    if let Some(contacts) = connector.contacts() {
        for field in bench.subject.number_fields() {
            let number = format!("{field}{AWKWARD}");
            let at = bench.subject.add_contact(&mut bench.line.sandbox, field, &number);
            bench.line.now += bench.subject.contact_lag();
            let found = bench.ok(contacts.find(std::slice::from_ref(&number)));
            assert_eq!(found.iter().map(|one| &one.at).collect::<Vec<_>>(), [&at], "in {field}");
            assert!(found[0].numbers.contains(&number), "in {field}");
        }
        let mut caller = sample::caller();
        AWKWARD.clone_into(&mut caller.name);
        caller.external_id = format!("exotel:{AWKWARD}");
        let made = bench.ok(contacts.create(&caller));
        assert_eq!(made.name, AWKWARD);
        if let Some(find) = contacts.find_created(&caller.external_id) {
            assert_eq!(bench.ok(find).map(|one| one.at), Some(made.at));
        }
    }
    // The CallSid comes from outside as well.
    let mut call = sample::call(AWKWARD, bench.caller());
    call.subject = format!("Incoming Call {AWKWARD}");
    let at = bench.ok(connector.activities().create(&call));
    let stored = bench.stored(&at);
    assert!(stored.subject.is_none_or(|subject| subject == call.subject), "the subject was altered");
    assert!(stored.body.is_none_or(|body| body == call.body), "the body was altered");
    if let Some(find) = connector.activities().find(&call) {
        assert_eq!(bench.ok(find), Some(at.clone()));
    }
    if let Some(notes) = connector.notes() {
        let note = sample::note(AWKWARD);
        let written = bench.ok(notes.create(&at, &call, &note));
        assert!(bench.stored(&written).body.is_none_or(|body| body == note.body), "the note was altered");
        if let Some(find) = notes.find(&at, &call, &note) {
            assert_eq!(bench.ok(find), Some(written));
        }
    }
}

/// An id stays one path segment or one value, whatever is in it.
pub(super) fn hostile_ids<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    let (call, at) = bench.record();
    let before = bench.stored(&at);
    let all = Changed { subject: true, body: true, agent: false, contact: false, facts: true, outcome: false };
    let mut other = call.clone();
    "Not to be seen anywhere".clone_into(&mut other.subject);
    for id in [format!("{}/../{}", at.id, at.id), format!("{}?x=", at.id), format!("{}#", at.id), String::new()] {
        let hostile = RecordRef::new(&at.kind, &id);
        if let Some(updates) = connector.updates() {
            bench.refused(updates.update(&hostile, &other, all));
            if let Some(text) = updates.text(&hostile) {
                bench.refused(text);
            }
        }
        if let Some(notes) = connector.notes() {
            bench.refused(notes.create(&hostile, &call, &sample::note(sample::CALL_SID)));
            bench.refused(notes.update(&hostile, &call, &sample::note(sample::CALL_SID)));
        }
        if let Some(contact) = &call.contact {
            let mut call = call.clone();
            call.contact = Some(RecordRef::new(&contact.kind, format!("{}&{id}", contact.id)));
            if let Some(find) = connector.activities().find(&call) {
                // Refused, nobody's, or (where the CallSid alone finds it) the call's own: someone else's is wrong.
                assert!(!matches!(bench.run(find), Ok(Some(found)) if found != at), "found by {id}");
            }
            bench.refused(connector.activities().create(&call));
        }
    }
    assert_eq!(bench.stored(&at), before, "a record was changed by an id that is not its own");
    assert_eq!((bench.count(What::Activity), bench.count(What::Note)), (1, 0));
}

pub(super) fn at_the_limits<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    let rules = connector.manifest().text;
    let mut call = sample::call(sample::CALL_SID, bench.caller());
    call.subject = "😀".repeat(rules.subject_chars);
    let fill = |text: &str| format!("{text}<br>{}", "x".repeat(rules.body_chars - text.chars().count() - 4));
    call.body = fill(&call.body);
    let at = bench.ok(connector.activities().create(&call));
    let stored = bench.stored(&at);
    assert!(stored.subject.is_none_or(|subject| subject == call.subject), "the subject was cut");
    assert!(stored.body.is_none_or(|body| body == call.body), "the body was cut");
    if let Some(notes) = connector.notes() {
        let mut note = sample::note(sample::CALL_SID);
        note.body = fill(&note.body);
        let written = bench.ok(notes.create(&at, &call, &note));
        assert!(bench.stored(&written).body.is_none_or(|body| body == note.body), "the note was cut");
    }
}
