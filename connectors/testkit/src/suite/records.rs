//! Cases about the record of a call and the notes on it.

use patchbay_kit::{About, Assigns, CallActivity, Changed, Note, RecordRef, Safety};

use super::{Bench, Stored, Subject, What};
use crate::sample;

/// Looks for a call's record, where the CRM can be asked.
#[track_caller]
fn find<S: Subject>(bench: &mut Bench<'_, S>, call: &CallActivity) -> Option<Option<RecordRef>> {
    let exchange = bench.connector().activities().find(call)?;
    Some(bench.ok(exchange))
}

#[track_caller]
fn find_note<S: Subject>(
    bench: &mut Bench<'_, S>,
    on: &RecordRef,
    of: &CallActivity,
    note: &Note,
) -> Option<Option<RecordRef>> {
    let exchange = bench.connector().notes()?.find(on, of, note)?;
    Some(bench.ok(exchange))
}

/// Whether a record can be given to an agent at all.
fn assigns<S: Subject>(bench: &Bench<'_, S>) -> bool {
    bench.connector().agents().is_some() && bench.connector().manifest().assigns != Assigns::Never
}

/// The clock stands still, so an index that lags knows nothing yet.
pub(super) fn found_after_created<S: Subject>(bench: &mut Bench<'_, S>) {
    let (call, at) = bench.record();
    if let Some(found) = find(bench, &call) {
        assert_eq!(found, Some(at.clone()));
    }
    let note = sample::note(sample::CALL_SID);
    if let Some(notes) = bench.connector().notes() {
        let written = bench.ok(notes.create(&at, &call, &note));
        if let Some(found) = find_note(bench, &at, &call, &note) {
            assert_eq!(found, Some(written));
        }
    }
}

pub(super) fn found_beyond_page_one<S: Subject>(bench: &mut Bench<'_, S>) {
    let crowd = bench.subject.more_than_a_page();
    let (call, at) = bench.record();
    let notes_before = sample::note("before");
    if let Some(notes) = bench.connector().notes() {
        for _ in 0..crowd {
            bench.ok(notes.create(&at, &call, &notes_before));
        }
        let note = sample::note(sample::CALL_SID);
        let written = bench.ok(notes.create(&at, &call, &note));
        if let Some(found) = find_note(bench, &at, &call, &note) {
            assert_eq!(found, Some(written), "a note after {crowd} others");
        }
        if let Some(found) = find_note(bench, &at, &call, &notes_before) {
            assert!(found.is_some(), "a note before others");
        }
    }
    for other in 0..crowd {
        let other = sample::call(&format!("other{other}"), call.contact.clone());
        bench.ok(bench.connector().activities().create(&other));
    }
    if let Some(found) = find(bench, &call) {
        assert_eq!(found, Some(at), "a record before {crowd} others");
    }
}

/// The request was carried out and its reply lost: the next attempt finds the record and makes no second one.
pub(super) fn found_after_loss<S: Subject>(bench: &mut Bench<'_, S>) {
    let call = sample::call(sample::CALL_SID, bench.caller());
    bench.line.loses_creations = true;
    // Where the CRM has an upsert no creation can be lost: the second time is the first.
    if let Ok(at) = bench.run(bench.connector().activities().create(&call)) {
        assert_eq!(bench.ok(bench.connector().activities().create(&call)), at, "an upsert made another record");
    }
    assert_eq!(bench.count(What::Activity), 1, "creating the record is not one request that creates");
    let Some(found) = find(bench, &call) else { return };
    let at = found.expect("the record whose reply was lost");
    let note = sample::note(sample::CALL_SID);
    if let Some(notes) = bench.connector().notes() {
        if let Ok(written) = bench.run(notes.create(&at, &call, &note)) {
            assert_eq!(bench.ok(notes.create(&at, &call, &note)), written, "an upsert made another note");
        }
        assert_eq!(bench.count(What::Note), 1, "creating the note is not one request that creates");
        if let Some(found) = find_note(bench, &at, &call, &note) {
            assert!(found.is_some(), "the note whose reply was lost");
        }
    }
}

pub(super) fn others_are_not_found<S: Subject>(bench: &mut Bench<'_, S>) {
    let (mut call, at) = bench.record();
    // A beginning of the CallSid, the CallSid with more behind it, and another one altogether.
    for key in [&sample::CALL_SID[..20], &format!("{}0", sample::CALL_SID), "ffffffffffffffffffffffffffffffff"] {
        call.key.0 = key.to_owned();
        if let Some(found) = find(bench, &call) {
            assert_eq!(found, None, "{key}");
        }
        if let Some(found) = find_note(bench, &at, &call, &sample::note(key)) {
            assert_eq!(found, None, "{key}");
        }
    }
}

pub(super) fn finding_creates_nothing<S: Subject>(bench: &mut Bench<'_, S>) {
    let (call, at) = bench.record();
    let counts = |bench: &Bench<'_, S>| [What::Activity, What::Note, What::Contact].map(|what| bench.count(what));
    let (before, sent) = (counts(bench), bench.line.sent().len());
    let connector = bench.connector();
    let unknown = sample::call("nobodys", call.contact);
    find(bench, &unknown);
    find_note(bench, &at, &unknown, &sample::note("nobodys"));
    if let Some(contacts) = connector.contacts() {
        for rendering in connector.manifest().phone {
            bench.ok(contacts.find(&[sample::number().render(*rendering)]));
        }
        assert!(bench.ok(contacts.find(&["+910000000000".to_owned()])).is_empty());
        if let Some(find) = contacts.find_created("nobodys") {
            assert!(bench.ok(find).is_none());
        }
    }
    assert_eq!(counts(bench), before, "finding has created something");
    assert!(bench.line.sent()[sent..].iter().all(|sent| sent.safety == Safety::Read), "finding is not only reading");
}

/// An agent may have changed the rest meanwhile.
pub(super) fn update_changes_only<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    let Some(updates) = connector.updates() else { return };
    let (mut call, at) = bench.record();
    "Voicemail from 09876543210".clone_into(&mut call.subject);
    call.body = format!("Voicemail<br>CallSid: {}", sample::CALL_SID);
    call.talk_seconds = Some(61);
    if assigns(bench) {
        call.agent = bench.subject.add_agents(&mut bench.line.sandbox, 1).pop();
    }
    let none = Changed::default();
    for changed in [
        Changed { facts: true, ..none },
        Changed { subject: true, ..none },
        Changed { body: true, ..none },
        Changed { agent: call.agent.is_some(), ..none },
        Changed { subject: true, body: true, agent: call.agent.is_some(), contact: false, facts: true, outcome: false },
    ] {
        let (other, mut expected) = {
            // A record of its own for each, so that nothing is already as it should become.
            let other = sample::call("ffff000000000000", call.contact.clone());
            let at = bench.ok(bench.connector().activities().create(&other));
            let stored = bench.stored(&at);
            (at, stored)
        };
        let Stored { subject, body, agent, .. } = &mut expected;
        if changed.subject && subject.is_some() {
            *subject = Some(call.subject.clone());
        }
        if changed.body && body.is_some() {
            *body = Some(call.body.clone());
        }
        if changed.agent {
            *agent = call.agent.as_ref().map(|agent| agent.id.clone());
        }
        let same = bench.ok(updates.update(&other, &call, changed));
        if bench.subject.appends() {
            continue;
        }
        assert_eq!(same, other, "an update yields the record it updated");
        assert_eq!(bench.stored(&other), expected, "{changed:?}");
        if let Some(text) = updates.text(&other) {
            let key = if changed.body { sample::CALL_SID } else { "ffff000000000000" };
            assert!(bench.ok(text).0.contains(key), "the text that stands is not read back");
        }
    }
    let untouched = bench.stored(&at);
    assert_ne!(untouched.subject.as_deref(), Some(call.subject.as_str()), "another record was changed");
}

pub(super) fn agent_arrives<S: Subject>(bench: &mut Bench<'_, S>) {
    if !assigns(bench) {
        return;
    }
    let mut call = sample::call(sample::CALL_SID, bench.caller());
    call.agent = bench.subject.add_agents(&mut bench.line.sandbox, 1).pop();
    let at = bench.ok(bench.connector().activities().create(&call));
    assert_eq!(bench.stored(&at).agent, call.agent.map(|agent| agent.id));
}

pub(super) fn gone_record<S: Subject>(bench: &mut Bench<'_, S>) {
    let (call, at) = bench.record();
    let now = bench.line.now;
    if !bench.subject.remove(&mut bench.line.sandbox, &at, now) {
        return;
    }
    let connector = bench.connector();
    let none = Changed::default();
    for changed in [Changed { subject: true, body: true, ..none }, Changed { facts: true, ..none }] {
        let Some(updates) = connector.updates() else { break };
        let failure = bench.refused(updates.update(&at, &call, changed));
        assert_eq!(failure.about, Some(About::Record), "{failure}");
        if let Some(text) = updates.text(&at) {
            assert_eq!(bench.refused(text).about, Some(About::Record));
        }
    }
    if let Some(notes) = bench.connector().notes() {
        let failure = bench.refused(notes.create(&at, &call, &sample::note(sample::CALL_SID)));
        assert_eq!(failure.about, Some(About::Record), "{failure}");
    }
    if let Some(found) = find(bench, &call) {
        assert_eq!(found, None, "a deleted record is found");
    }
}

pub(super) fn gone_agent<S: Subject>(bench: &mut Bench<'_, S>) {
    if !assigns(bench) {
        return;
    }
    let agent = bench.subject.add_agents(&mut bench.line.sandbox, 1).pop().expect("an agent");
    let (mut call, at) = bench.record();
    let now = bench.line.now;
    if !bench.subject.remove(&mut bench.line.sandbox, &agent, now) {
        return;
    }
    call.agent = Some(agent);
    let connector = bench.connector();
    let failure = bench.refused(connector.activities().create(&call));
    assert_eq!(failure.about, Some(About::Agent), "{failure}");
    let changed = Changed { agent: true, ..Changed::default() };
    if let Some(updates) = connector.updates() {
        let failure = bench.refused(updates.update(&at, &call, changed));
        assert_eq!(failure.about, Some(About::Agent), "{failure}");
    }
    assert_eq!(bench.count(What::Activity), 1, "a refused record was made all the same");
}

pub(super) fn notes_are_private<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    let Some(notes) = connector.notes() else { return };
    let (call, at) = bench.record();
    let mut note = sample::note(sample::CALL_SID);
    let written = bench.ok(notes.create(&at, &call, &note));
    assert_eq!(bench.stored(&written).private, Some(true));
    note.body.push_str("<br>Call Cost: 1");
    let updated = bench.ok(notes.update(&written, &call, &note));
    let stored = bench.stored(&updated);
    assert_eq!((stored.private, stored.body.as_deref()), (Some(true), Some(note.body.as_str())));
    if !bench.subject.appends() {
        assert_eq!((updated, bench.count(What::Note)), (written, 1), "an update made another note");
    }
}
