//! What goes with a call beside its record: popups and recordings of an app, and what follows from a missed call.

mod subject;

use std::{sync::Arc, time::Duration};

use patchbay_kit::{About, CallActivity, Changed, FollowUpKind, Kind, Phase, RecordRef, Retry, Settings};
use patchbay_sandbox::{
    Crm,
    hubspot::{HubSpot, Kind as Objects},
};
use patchbay_testkit::{Credentials, Line, sample, suite::Subject};
use serde_json::json;

const PRIVATE: subject::HubSpot =
    subject::HubSpot { app: false, batch_fails_whole: true, missing_associate_is_404: true };

fn line(subject: subject::HubSpot) -> Line<HubSpot> {
    Line::new(subject.build(), subject.sandbox(), subject.credentials(), sample::NOW)
}

/// The record of a call, written anew.
fn create(line: &mut Line<HubSpot>, call: &CallActivity) -> RecordRef {
    line.run(line.connector.activities().create(call)).unwrap()
}

fn update(line: &mut Line<HubSpot>, at: &RecordRef, call: &CallActivity, changed: Changed) {
    let connector = Arc::clone(&line.connector);
    line.run(connector.updates().unwrap().update(at, call, changed)).unwrap();
}

fn caller(line: &mut Line<HubSpot>) -> RecordRef {
    let connector = Arc::clone(&line.connector);
    line.run(connector.contacts().unwrap().create(&sample::caller())).unwrap().at
}

#[test]
fn only_an_app_tells_a_ringing_call_and_to_a_user() {
    assert!(PRIVATE.build().popups().is_none());
    let mut line = line(subject::HubSpot { app: true, ..PRIVATE });
    let ravi = line.sandbox.add_owner("Ravi Rao", "ravi@example.com");
    let agent = Some(RecordRef::new("agent", &ravi.id));
    let connector = Arc::clone(&line.connector);
    let popups = connector.popups().unwrap();
    line.run(popups.show(&sample::popup(sample::CALL_SID, Phase::Ringing, agent.clone())).unwrap()).unwrap();
    let told = &line.sandbox.told()[0];
    assert_eq!((told.recipients.as_slice(), told.status.as_str()), (&[ravi.user_id][..], "RINGING"));
    assert_eq!((told.engagement.as_ref(), line.sandbox.records().len()), (None, 0));
    for phase in [Phase::Answered, Phase::Ended] {
        assert!(popups.show(&sample::popup("x", phase, agent.clone())).is_none());
    }
    assert!(popups.show(&sample::popup("x", Phase::Ringing, None)).is_none());
}

/// With the app's number HubSpot is told once there is a recording; a no to that costs nothing.
#[test]
fn an_app_is_asked_for_recordings_when_there_is_one() {
    let mut line = line(subject::HubSpot { app: true, ..PRIVATE });
    let defaults = json!({"hs_call_app_id": 77}).as_object().cloned().unwrap();
    line.connector = patchbay_hubspot::build(&Settings { defaults, ..subject::settings(true) });
    let mut call = sample::call(sample::CALL_SID, Some(caller(&mut line)));
    let at = create(&mut line, &call);
    assert!(line.sandbox.ready().is_empty());
    call.recording_link = Some("https://calls.example.com/r/1.mp3".to_owned());
    update(&mut line, &at, &call, Changed { facts: true, contact: true, ..Changed::default() });
    assert_eq!(line.sandbox.ready(), std::slice::from_ref(&at.id));
    line.sandbox.close("/crm/v3/extensions");
    assert_eq!(create(&mut line, &call), at);
    assert_eq!(line.sandbox.ready().len(), 1);
}

#[test]
fn a_token_that_has_run_out_asks_for_another() {
    let mut line = line(subject::HubSpot { app: true, ..PRIVATE });
    assert!(line.run(line.connector.identify()).is_ok());
    line.now += Duration::from_secs(1800);
    let failure = line.run(line.connector.identify()).unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Unauthorized, Retry::AfterRefresh));
    assert_eq!(failure.remote_code.as_deref(), Some("EXPIRED_AUTHENTICATION"));
}

#[test]
fn a_missed_call_leads_to_what_the_settings_say() {
    for (word, kind) in [("task", Some(FollowUpKind::Task)), ("ticket", Some(FollowUpKind::Ticket)), ("none", None)] {
        let mut settings = subject::settings(false);
        settings.text.insert("missed_follow_up".to_owned(), word.to_owned());
        let connector = patchbay_hubspot::build(&settings);
        assert_eq!(connector.follow_ups().unwrap().for_missed(), kind, "{word}");
    }
    assert_eq!(PRIVATE.build().follow_ups().unwrap().for_missed(), Some(FollowUpKind::Task));

    for (kind, objects) in [(FollowUpKind::Task, Objects::Tasks), (FollowUpKind::Ticket, Objects::Tickets)] {
        let mut line = line(PRIVATE);
        let ravi = line.sandbox.add_owner("Ravi Rao", "ravi@example.com");
        let contact = caller(&mut line);
        let mut call = sample::call(sample::CALL_SID, Some(contact.clone()));
        call.agent = Some(RecordRef::new("agent", &ravi.id));
        let at = create(&mut line, &call);
        let it = sample::follow_up(sample::CALL_SID, kind);
        let connector = Arc::clone(&line.connector);
        let follow_ups = connector.follow_ups().unwrap();
        let made = line.run(follow_ups.create(&at, &call, &it)).unwrap();
        assert_eq!(line.run(follow_ups.create(&at, &call, &it)), Ok(made.clone()), "twice is once");
        assert_eq!(line.sandbox.objects(objects).count(), 1);
        assert_eq!(line.sandbox.records().len(), 1, "a follow-up is no record of the call");
        let held = line.sandbox.object(objects, &made.id).unwrap();
        assert_eq!(held.associate(Objects::Contacts), Some(contact.id.as_str()));
        assert_eq!(held.get("hubspot_owner_id"), Some(ravi.id.as_str()));
        let (subject, body, call_id) = match kind {
            FollowUpKind::Ticket => ("subject", "content", Some(at.id.as_str())),
            _ => ("hs_task_subject", "hs_task_body", None),
        };
        assert_eq!((held.get(subject), held.get(body)), (Some(it.subject.as_str()), Some(it.body.as_str())));
        assert_eq!(held.associate(Objects::Calls), call_id);

        line.sandbox.archive_owner(&ravi.id);
        let failure = line.run(follow_ups.create(&at, &call, &it)).unwrap_err();
        assert_eq!(failure.about, Some(About::Agent), "{failure}");
        call.agent = None;
        line.sandbox.remove(Objects::Contacts, &contact.id, sample::NOW);
        let failure = line.run(follow_ups.create(&at, &call, &it)).unwrap_err();
        assert_eq!(failure.about, Some(About::Contact), "{failure}");
    }
}

#[test]
fn a_follow_up_without_its_property_names_the_set_up() {
    let mut line = Line::new(
        PRIVATE.build(),
        HubSpot::new("pat-na1-of-the-app"),
        Credentials::of([("access_token", "pat-na1-of-the-app")]),
        sample::NOW,
    );
    let connector = Arc::clone(&line.connector);
    let call = sample::call(sample::CALL_SID, None);
    let it = sample::follow_up(sample::CALL_SID, FollowUpKind::Task);
    let create = connector.follow_ups().unwrap().create(&RecordRef::new("call", 1), &call, &it);
    let failure = line.run(create).unwrap_err();
    assert_eq!(failure.kind, Kind::Invalid);
    assert!(failure.detail.contains("unique") && failure.detail.contains("set-up"), "{failure}");
}
