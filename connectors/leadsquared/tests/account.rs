//! What differs from one LeadSquared organisation to the next, and what becomes of each sort of call.

mod org;

use std::{sync::Arc, time::Duration};

use jiff::tz::Offset;
use patchbay_kit::{
    About, CallActivity, Changed, Direction, Kind, Outcome, Owner, Phase, PhoneNumber, RecordRef, Retry, Settings,
    Tried, TriedStatus,
};
use patchbay_sandbox::{
    Crm,
    leadsquared::{LeadSquared, LogReply, NoRoute, RouteReply},
};
use patchbay_testkit::{Line, sample};
use serde_json::json;

fn line_with(keys: bool, settings: &Settings) -> Line<LeadSquared> {
    let sandbox = org::sandbox();
    let credentials = org::credentials(&sandbox, keys);
    Line::new(patchbay_leadsquared::build(settings), sandbox, credentials, sample::NOW)
}

fn line(keys: bool) -> Line<LeadSquared> {
    line_with(keys, &org::settings(keys))
}

/// The settings of an integration whose account is in India.
fn india(keys: bool) -> Settings {
    let utc_offset = Offset::from_seconds(19_800).expect("an offset");
    Settings { utc_offset, ..org::settings(keys) }
}

fn create(line: &mut Line<LeadSquared>, call: &CallActivity) -> RecordRef {
    let connector = Arc::clone(&line.connector);
    line.run(connector.activities().create(call)).expect("a record")
}

fn update(line: &mut Line<LeadSquared>, at: &RecordRef, call: &CallActivity, changed: Changed) -> RecordRef {
    let connector = Arc::clone(&line.connector);
    line.run(connector.updates().expect("updates").update(at, call, changed)).expect("an update")
}

fn caller(line: &mut Line<LeadSquared>) -> RecordRef {
    let connector = Arc::clone(&line.connector);
    line.run(connector.contacts().expect("contacts").create(&sample::caller())).expect("a lead").at
}

const FACTS: Changed =
    Changed { subject: false, body: false, agent: false, contact: false, facts: true, outcome: false };

#[test]
fn without_keys_only_the_capability_urls_are_used() {
    let connector = line(false).connector;
    assert!(connector.contacts().is_none() && connector.updates().is_none() && connector.agents().is_none());
    assert!(connector.popups().is_some() && connector.owners().is_some());
    let call = sample::call(sample::CALL_SID, None);
    assert!(connector.activities().find(&call).is_none(), "a lost log cannot be asked for");
    let half = Settings { secrets: ["access_key".to_owned()].into(), ..Settings::default() };
    let connector = patchbay_leadsquared::build(&half);
    assert!(connector.contacts().is_none() && connector.popups().is_none() && connector.owners().is_none());
}

#[test]
fn each_sort_of_call_is_one_log_with_its_status() {
    for keys in [false, true] {
        let mut line = line_with(keys, &india(keys));
        let lead = keys.then(|| caller(&mut line));
        for (outcome, status) in [
            (Outcome::Answered, "Answered"),
            (Outcome::Missed, "NotAnswered"),
            (Outcome::Voicemail, "NotAnswered"),
            (Outcome::FlowEnded, "NotAnswered"),
        ] {
            let mut call = sample::call(outcome.as_str(), lead.clone());
            call.outcome = outcome;
            call.subject = format!("{outcome:?} from 09876543210");
            call.recording_link = Some("https://calls.example.com/r/1.mp3".to_owned());
            if outcome != Outcome::Answered {
                call.talk_seconds = None;
            }
            if outcome == Outcome::FlowEnded {
                call.tried.clear();
            }
            create(&mut line, &call);
            let activity = line.sandbox.activities().last().unwrap();
            assert_eq!(activity.status, status);
            assert_eq!(activity.call_notes, format!("{}\n{}", call.subject, call.body));
            assert_eq!(activity.recording_url, "https://calls.example.com/r/1.mp3");
            assert_eq!(activity.duration_s, call.talk_seconds.unwrap_or(0));
            assert_eq!(activity.started_at.to_string(), "2026-01-15T09:55:00Z");
            assert_eq!(activity.source_data["SourceNumber"], "+91-9876543210");
            let agent = if outcome == Outcome::FlowEnded { "+91-8047494574" } else { "+91-9711581198" };
            assert_eq!(activity.source_data["DestinationNumber"], agent);
        }
        assert_eq!(line.sandbox.records().len(), 4);
        let leads = line.sandbox.leads();
        assert_eq!((leads.len(), leads[0].get("Phone"), leads[0].get("Source")), (1, "+91-9876543210", "Phone Call"));
        assert!(line.sandbox.records().iter().all(|record| record.contact.as_ref() == Some(&leads[0].id)));
    }
}

#[test]
fn an_outgoing_call_goes_the_other_way() {
    let mut line = line_with(true, &india(true));
    let lead = caller(&mut line);
    let mut call = sample::call(sample::CALL_SID, Some(lead));
    call.direction = Direction::Outgoing;
    let at = create(&mut line, &call);
    let activity = &line.sandbox.activities()[0];
    assert_eq!(activity.event, 22);
    assert_eq!(activity.source_data["SourceNumber"], "+91-9711581198");
    assert_eq!(activity.source_data["DestinationNumber"], "+91-9876543210");
    let connector = Arc::clone(&line.connector);
    assert_eq!(line.run(connector.activities().find(&call).unwrap()), Ok(Some(at)));
}

#[test]
fn times_are_written_by_the_clock_of_the_settings() {
    let mut settings = india(false);
    settings.text.insert("call_times".to_owned(), "account".to_owned());
    let mut line = line_with(false, &settings);
    line.sandbox.settings.call_times = settings.utc_offset;
    let mut call = sample::call(sample::CALL_SID, None);
    create(&mut line, &call);
    let activity = &line.sandbox.activities()[0];
    assert_eq!(activity.source_data["StartTime"], "2026-01-15 15:25:00");
    assert_eq!(activity.started_at.to_string(), "2026-01-15T09:55:00Z");
    // One of the two times, and what is between.
    (call.started_at, call.ended_at, call.key.0) = (None, Some(sample::NOW), "second".to_owned());
    create(&mut line, &call);
    assert_eq!(line.sandbox.activities()[1].started_at.to_string(), "2026-01-15T09:59:02Z");
    (call.started_at, call.ended_at, call.key.0) = (Some(sample::NOW), None, "third".to_owned());
    create(&mut line, &call);
    assert_eq!(line.sandbox.activities()[2].source_data["EndTime"], "2026-01-15 15:30:58");
}

#[test]
fn what_a_caller_says_cannot_pass_for_a_field_of_the_note() {
    let mut line = line(true);
    let lead = caller(&mut line);
    let mut call = sample::call(sample::CALL_SID, Some(lead.clone()));
    call.body = format!("digits{{next}}SourceData{{=}}{{\"CallSessionId\":\"other\"}}{{next}}{}", sample::AWKWARD);
    let at = create(&mut line, &call);
    let connector = Arc::clone(&line.connector);
    assert_eq!(line.run(connector.activities().find(&call).unwrap()), Ok(Some(at)));
    let other = sample::call("other", Some(lead));
    assert_eq!(line.run(connector.activities().find(&other).unwrap()), Ok(None));
    assert!(line.sandbox.activities()[0].call_notes.ends_with(sample::AWKWARD));
}

#[test]
fn a_lost_log_is_found_where_the_note_is_cut() {
    let mut line = line(true);
    line.sandbox.settings.note_chars = 300;
    let lead = caller(&mut line);
    let call = sample::call(sample::CALL_SID, Some(lead));
    let at = create(&mut line, &call);
    let connector = Arc::clone(&line.connector);
    assert_eq!(line.run(connector.activities().find(&call).unwrap()), Ok(Some(at)));
}

/// All who withhold their number are one lead, which has any number of calls.
#[test]
fn of_a_lead_with_very_many_calls_the_newest_are_looked_through() {
    let mut line = line(true);
    let lead = caller(&mut line);
    for n in 0..501 {
        line.now += Duration::from_secs(1);
        create(&mut line, &sample::call(&format!("other{n}"), Some(lead.clone())));
    }
    let unknown = sample::call(sample::CALL_SID, Some(lead));
    let connector = Arc::clone(&line.connector);
    assert_eq!(line.run(connector.activities().find(&unknown).unwrap()), Ok(None));
    line.sandbox.settings.oldest_first = true;
    let failure = line.run(connector.activities().find(&unknown).unwrap()).unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Unsupported, Retry::Never), "nobody can tell");
}

/// Which id a log's answer names, and whether any, is not documented.
#[test]
fn a_late_recording_arrives_whatever_a_log_is_answered_with() {
    for form in [LogReply::Activity, LogReply::Other, LogReply::Bare, LogReply::Queued] {
        let mut line = line(true);
        line.sandbox.settings.log_reply = form;
        let lead = caller(&mut line);
        let mut call = sample::call(sample::CALL_SID, Some(lead.clone()));
        let at = create(&mut line, &call);
        create(&mut line, &sample::call("another", Some(lead)));
        call.recording_link = Some("https://calls.example.com/r/1.mp3".to_owned());
        call.talk_seconds = None;
        let now_at = update(&mut line, &at, &call, FACTS);
        let [activity, other] = line.sandbox.activities() else { panic!("not two activities") };
        assert_eq!(now_at, RecordRef::new("activity", &activity.id), "{form:?}");
        assert_eq!(activity.recording_url, "https://calls.example.com/r/1.mp3", "{form:?}");
        assert_eq!(
            (activity.duration_s, other.recording_url.as_str()),
            (34, ""),
            "an unknown duration changes nothing"
        );
        assert_eq!(activity.user, None);
        let id = activity.id.clone();
        line.sandbox.delete_activity(&id);
        let connector = Arc::clone(&line.connector);
        let failure = line.run(connector.updates().unwrap().update(&at, &call, FACTS)).unwrap_err();
        assert_eq!((failure.kind, failure.about), (Kind::NotFound, Some(About::Record)), "{form:?}");
    }
}

#[test]
fn a_user_is_written_beside_a_duration() {
    let mut line = line(true);
    let lead = caller(&mut line);
    let mut call = sample::call(sample::CALL_SID, Some(lead));
    call.talk_seconds = None;
    let at = create(&mut line, &call);
    let user = line.sandbox.add_user("Ravi", "ravi@example.com");
    call.agent = Some(RecordRef::new("agent", &user));
    update(&mut line, &at, &call, Changed { agent: true, facts: false, ..FACTS });
    let activity = &line.sandbox.activities()[0];
    assert_eq!((activity.user.as_ref(), activity.duration_s), (Some(&user), 0));
}

/// The detail of the refusal names the very key that mends it.
#[test]
fn a_mandatory_field_is_filled_from_the_defaults() {
    let mut line = line(true);
    line.sandbox.require_field("mx_City");
    let connector = Arc::clone(&line.connector);
    let failure = line.run(connector.contacts().unwrap().create(&sample::caller())).unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Invalid, Retry::Never));
    assert!(failure.detail.contains("set `defaults.lead.mx_City`"), "{failure}");
    let defaults = json!({"Tag": "South", "lead": {"mx_City": "Pune", "Phone": "1"}});
    let defaults = defaults.as_object().cloned().unwrap();
    line.connector = patchbay_leadsquared::build(&Settings { defaults, ..org::settings(true) });
    let lead = caller(&mut line);
    create(&mut line, &sample::call(sample::CALL_SID, Some(lead)));
    assert_eq!(line.sandbox.leads()[0].get("mx_City"), "Pune");
    assert_eq!(line.sandbox.leads()[0].get("Phone"), "+91-9876543210");
    assert_eq!(line.sandbox.activities()[0].tag, "South");
}

#[test]
fn a_lead_that_is_there_already_is_taken_as_it_is() {
    for stored in ["+91-9876543210", "9876543210", "+919876543210"] {
        let mut line = line(true);
        let there = line.sandbox.add_contact("Asha Rao", stored, sample::NOW);
        let connector = Arc::clone(&line.connector);
        let lead = line.run(connector.contacts().unwrap().create(&sample::caller())).unwrap();
        assert_eq!((lead.at.id, lead.name.as_str()), (there, "Asha Rao"), "{stored}");
        assert_eq!(line.sandbox.leads().len(), 1);
        assert!(lead.owner.is_some() && lead.updated_at == Some(sample::NOW));
    }
}

#[test]
fn who_withholds_his_number_is_one_lead_or_none() {
    let mut line = line(true);
    let connector = Arc::clone(&line.connector);
    let contacts = connector.contacts().unwrap();
    let made = line.run(contacts.create(&sample::withheld())).unwrap();
    let found = line.run(contacts.find_created(&sample::withheld().external_id).unwrap()).unwrap();
    assert_eq!(found.map(|lead| lead.at), Some(made.at));

    // Without keys LeadSquared itself has to know the lead by the number, and there is none.
    let mut line = self::line(false);
    let mut call = sample::call(sample::CALL_SID, None);
    call.customer = sample::party("anonymous");
    let connector = Arc::clone(&line.connector);
    let failure = line.run(connector.activities().create(&call)).unwrap_err();
    assert_eq!((failure.kind, failure.retry, failure.about), (Kind::Invalid, Retry::Never, None));
    // Nor is it asked to make one of that name: whether it would is not documented.
    let asked = connector.activities().create(&call).request.payload("").unwrap().1;
    assert!(String::from_utf8_lossy(&asked).contains(r#""SourceNumber":"""#));
}

#[test]
fn a_limit_is_a_wait_under_whatever_status() {
    for inside in [false, true] {
        let mut line = line(true);
        line.sandbox.settings.limit = Some(1);
        line.sandbox.settings.limit_inside = inside;
        let connector = Arc::clone(&line.connector);
        line.run(connector.agents().unwrap().list(None)).unwrap();
        let failure = line.run(connector.agents().unwrap().list(None)).unwrap_err();
        assert_eq!((failure.kind, failure.retry), (Kind::RateLimited, Retry::After(Duration::from_secs(5))));
    }
    let mut line = line(false);
    line.sandbox.fail_inside(1);
    let call = sample::call(sample::CALL_SID, None);
    let connector = Arc::clone(&line.connector);
    let failure = line.run(connector.activities().create(&call)).unwrap_err();
    assert_eq!(failure.kind, Kind::RateLimited, "a success that is none");
    create(&mut line, &call);
    assert_eq!(line.sandbox.activities().len(), 1);
}

#[test]
fn the_right_region_is_named() {
    let mut line = line(true);
    line.sandbox.settings.other_region = Some("https://api-us11.leadsquared.com".to_owned());
    let connector = Arc::clone(&line.connector);
    let failure = line.run(connector.identify()).unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Unauthorized, Retry::Never));
    assert!(failure.detail.contains("set `api_url` to https://api-us11.leadsquared.com"), "{failure}");
    line.sandbox.settings.other_region = None;
    let identity = line.run(connector.identify()).unwrap();
    assert_eq!(identity.account, "Key Owner, Acme Education");
}

#[test]
fn keys_that_are_right_do_not_hide_a_url_that_is_wrong() {
    let mut line = line(true);
    line.sandbox.settings.org_segment = true;
    let connector = Arc::clone(&line.connector);
    let failure = line.run(connector.identify()).unwrap_err();
    assert_eq!(failure.kind, Kind::Unauthorized);
    assert!(failure.detail.contains("Universal Telephony Connector"), "{failure}");
}

#[test]
fn the_owner_of_a_caller_is_read_in_any_form() {
    let number = sample::number();
    for (form, known) in [
        (RouteReply::User, true),
        (RouteReply::Enveloped, true),
        (RouteReply::Number, false),
        (RouteReply::Text, false),
    ] {
        let mut line = line(false);
        let ravi = line.sandbox.add_user("Ravi", "ravi@example.com");
        line.sandbox.change_user(&ravi, |user| {
            user.phone_main = Some("+91-9711581199".to_owned());
            user.telephony_agent_id = Some("ravi.exotel".to_owned());
        });
        let lead = line.sandbox.add_contact("Asha", "+91-9876543210", sample::NOW);
        line.sandbox.change_lead(&lead, sample::NOW, |lead| lead.owner.clone_from(&ravi));
        line.sandbox.settings.route_reply = form;
        let connector = Arc::clone(&line.connector);
        let owner = line.run(connector.owners().unwrap().of(&number)).unwrap();
        let at = known.then(|| RecordRef::new("agent", &ravi));
        assert_eq!(owner, Some(Owner { at, numbers: vec!["+91-9711581199".to_owned()] }), "{form:?}");
        assert_eq!(line.sent().len(), 1, "one request while the caller waits");
        line.sandbox.settings.no_route = NoRoute::Error;
        line.sandbox.deactivate_user(&ravi);
        assert_eq!(line.run(connector.owners().unwrap().of(&number)), Ok(None));
    }
}

/// The same digits at home are somebody else's.
#[test]
fn a_number_of_another_country_is_asked_for_with_its_code() {
    let mut line = line(false);
    line.sandbox.add_contact("Asha", "+91-9876543210", sample::NOW);
    let owner = line.sandbox.users()[0].id.clone();
    line.sandbox.change_user(&owner, |user| user.phone_main = Some("+91-9711581199".to_owned()));
    let of_america = PhoneNumber { e164: "+19876543210".into(), country: "1".into(), national: "9876543210".into() };
    let connector = Arc::clone(&line.connector);
    assert_eq!(line.run(connector.owners().unwrap().of(&of_america)), Ok(None));
    assert!(line.run(connector.owners().unwrap().of(&sample::number())).unwrap().is_some());
}

#[test]
fn a_popup_goes_to_the_agent_whom_it_rings() {
    let mut settings = india(false);
    settings.flags.insert("enable_outbound_popup".to_owned(), true);
    let mut line = line_with(false, &settings);
    let ravi = line.sandbox.add_user("Ravi", "ravi@example.com");
    line.sandbox.change_user(&ravi, |user| user.phone_main = Some("+91-9711581198".to_owned()));
    let lead = line.sandbox.add_contact("Asha", "+91-9876543210", sample::NOW);
    let connector = Arc::clone(&line.connector);
    let popups = connector.popups().unwrap();
    let mut popup = sample::popup(sample::CALL_SID, Phase::Ringing, None);
    line.run(popups.show(&popup).unwrap()).unwrap();
    popup.agent = Some(RecordRef::new("agent", &ravi));
    popup.contact = Some(RecordRef::new("lead", &lead));
    popup.direction = Direction::Outgoing;
    line.run(popups.show(&popup).unwrap()).unwrap();
    let [inbound, outbound] = line.sandbox.popups() else { panic!("not two popups") };
    assert_eq!((inbound.user.as_ref(), inbound.lead.as_ref()), (Some(&ravi), Some(&lead)), "by their numbers");
    assert_eq!(inbound.source_number, "+91-9876543210");
    assert_eq!((outbound.source_number.as_str(), outbound.direction.as_str()), ("+91-9711581198", "Outbound"));
    for phase in [Phase::Answered, Phase::Ended] {
        assert!(popups.show(&sample::popup(sample::CALL_SID, phase, None)).is_none());
    }
    let quiet = patchbay_leadsquared::build(&org::settings(false));
    assert!(quiet.popups().unwrap().show(&popup).is_none());
}

#[test]
fn an_agent_who_is_no_number_is_logged_as_he_is() {
    let mut line = line_with(false, &india(false));
    let mut call = sample::call(sample::CALL_SID, None);
    call.tried = vec![Tried {
        number: sample::party("sip:ravi@example.com"),
        status: TriedStatus::Answered,
        talk_seconds: Some(34),
    }];
    create(&mut line, &call);
    assert_eq!(line.sandbox.activities()[0].source_data["DestinationNumber"], "sip:ravi@example.com");
}
