//! A call becomes one ticket, with everything that is known of it.

use patchbay_sandbox::freshdesk::Contact;
use serde_json::json;

use crate::rig::{AGENT, AGENT_ID, AGENT2, AGENT2_ID, Call, Rig};

#[tokio::test(flavor = "multi_thread")]
async fn an_answered_call_becomes_one_assigned_ticket_with_one_note() {
    let rig = Rig::started();
    let call = Call::new(1);
    rig.simulate(&call);
    for query in [
        call.pop("Dial", AGENT, 2),
        call.pop("Ringing", AGENT, 3),
        call.pop("Answered", AGENT, 9),
        call.pop("Terminal", AGENT, 27),
        call.answered(),
    ] {
        assert_eq!(rig.hook(&query).await, 200);
    }
    let note = rig.note(&call.sid).await;
    rig.settled().await;
    let tickets = rig.tickets(&call.sid);
    let [ticket] = tickets.as_slice() else { panic!("{} tickets", tickets.len()) };
    assert_eq!(ticket.subject, format!("Incoming Call from {}", call.from));
    assert_eq!((ticket.source, ticket.responder_id), (3, Some(AGENT_ID)));
    assert!(note.contains("Call Duration: 8s"), "{note}");
    assert!(note.contains(&format!("/r/acme1/{}.mp3?s=", call.sid)), "{note}");
    assert!(!note.contains("exotelrecordings"), "{note}");
    assert_eq!(rig.notes(ticket.id).len(), 1);
    assert!(rig.freshdesk.with(|desk| desk.conversations(ticket.id).iter().all(|note| note.private)));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_has_its_subject() {
    let rig = Rig::started();
    let (automatic, missed, voicemail, digits) = (Call::new(1), Call::new(2), Call::new(3), Call::new(4));
    rig.hook(&automatic.answered().replacen("answered", "automated_answered", 1)).await;
    rig.hook(&missed.missed()).await;
    rig.hook(&voicemail.missed().replacen("event=missed", "event=voicemail", 1).replace("incomplete", "voicemail"))
        .await;
    rig.hook(&digits.keyed("ivr", "3", "&ivr_tag_1=lang_english", 4)).await;
    rig.hook(&digits.keyed("gather", "24567", "", 9)).await;
    rig.hook(&digits.end()).await;
    for (call, subject) in [
        (&automatic, "Incoming Call from {} (Created automatically)"),
        (&missed, "Missed Call from {}"),
        (&voicemail, "Voicemail from {}"),
        (&digits, "Incoming IVR/Gather call from {}"),
    ] {
        assert_eq!(rig.ticket(&call.sid).await.subject, subject.replace("{}", &call.from));
    }
    let body = rig.ticket(&digits.sid).await.description;
    assert!(body.contains("IVR/Gather Digits Captured"), "{body}");
    let (english, gathered) = (body.find("lang_english"), body.find("gather_tag_1"));
    assert!(english.is_some() && english < gathered, "{body}");
    assert!(body.contains("24567"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn order_and_repetition_of_callbacks_do_not_matter() {
    let rig = Rig::started();
    let call = Call::new(1);
    rig.simulate(&call);
    for query in [
        call.answered(),
        call.pop("Terminal", AGENT2, 27),
        call.pop("Dial", AGENT, 2),
        call.answered(),
        call.pop("Terminal", AGENT, 12),
        call.pop("Answered", AGENT2, 19),
        call.pop("Dial", AGENT2, 13),
        call.answered(),
    ] {
        assert_eq!(rig.hook(&query).await, 200);
    }
    rig.note(&call.sid).await;
    rig.settled().await;
    let tickets = rig.tickets(&call.sid);
    let [ticket] = tickets.as_slice() else { panic!("{} tickets", tickets.len()) };
    assert_eq!(rig.notes(ticket.id).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_agent_answers_and_is_found_by_e_mail() {
    let rig = Rig::started();
    let call = Call::new(1);
    rig.hook(&call.pop("Dial", AGENT, 2)).await;
    rig.hook(&call.pop("Terminal", AGENT, 12)).await;
    rig.hook(&call.pop("Dial", AGENT2, 13)).await;
    rig.hook(&call.pop("Answered", AGENT2, 19)).await;
    let legs = json!([
        { "Number": AGENT, "Type": "single", "OnCallDuration": "0", "CauseCode": "RING_TIMEOUT", "Cause": "1003" },
        { "Number": AGENT2, "Type": "single", "OnCallDuration": "8", "CauseCode": "NORMAL_CLEARING", "Cause": "16" },
    ]);
    let legs: String = url::form_urlencoded::byte_serialize(legs.to_string().as_bytes()).collect();
    let answered = call.answered();
    let (head, _) = answered.split_once("&Legs").expect("legs");
    let head = head.replace(&format!("DialWhomNumber={AGENT}"), &format!("DialWhomNumber={AGENT2}"));
    rig.hook(&format!("{head}&Legs={legs}")).await;
    assert_eq!(rig.ticket(&call.sid).await.responder_id, Some(AGENT2_ID));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_is_found_under_every_writing_of_his_number() {
    let rig = Rig::started();
    let writings = ["+919876500001", "09876500002", "9876500003", "919876500004"];
    let ids: Vec<u64> = rig.freshdesk.with(|desk| {
        writings
            .iter()
            .enumerate()
            .map(|(n, writing)| match n % 2 {
                0 => desk.add_contact("Asha", Some(writing), None),
                _ => desk.add_contact("Asha", None, Some(writing)),
            })
            .collect()
    });
    for (n, id) in (1..).zip(ids) {
        let call = Call::new(n);
        rig.hook(&call.missed()).await;
        assert_eq!(rig.ticket(&call.sid).await.requester_id, id, "{}", writings[n as usize - 1]);
    }
    assert_eq!(rig.freshdesk.with(|desk| desk.contacts().count()), writings.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_first_calls_at_once_make_one_contact() {
    const CALLS: u32 = 100;
    let rig = Rig::started();
    let calls: Vec<Call> = (0..CALLS).map(|n| Call { from: "09876500077".to_owned(), ..Call::new(n) }).collect();
    let sent = futures_util::future::join_all(calls.iter().map(|call| {
        let query = call.missed();
        let rig = &rig;
        async move { rig.hook(&query).await }
    }))
    .await;
    assert!(sent.iter().all(|status| *status == 200));
    for call in &calls {
        rig.ticket(&call.sid).await;
    }
    let contacts: Vec<Contact> = rig.freshdesk.with(|desk| desk.contacts().cloned().collect());
    assert_eq!(contacts.len(), 1);
    assert_eq!(rig.freshdesk.with(|desk| desk.tickets().count()), CALLS as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_a_number_gets_a_ticket_too() {
    let rig = Rig::started();
    let call = Call { from: String::new(), ..Call::new(1) };
    rig.hook(&call.missed()).await;
    let sip = Call { from: "sip%3Aalice".to_owned(), ..Call::new(2) };
    rig.hook(&sip.missed()).await;
    rig.ticket(&call.sid).await;
    rig.ticket(&sip.sid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_controls_is_escaped() {
    let rig = Rig::started();
    let call = Call::new(1);
    rig.hook(&call.keyed("ivr", "%3Cimg+src%3Dx%3E", "&ivr_tag_1=%3Cscript%3Ealert(1)%3C%2Fscript%3E", 4)).await;
    rig.hook(&call.end()).await;
    let ticket = rig.ticket(&call.sid).await;
    assert!(!ticket.description.contains("<script"), "{}", ticket.description);
    assert!(!ticket.description.contains("<img"), "{}", ticket.description);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_passthru_got_lost_is_concluded_by_exotels_details() {
    let rig = Rig::started();
    let call = Call::new(1);
    rig.simulate(&call);
    rig.hook(&call.pop("Dial", AGENT, 2)).await;
    rig.hook(&call.pop("Answered", AGENT, 9)).await;
    let note = rig.note(&call.sid).await;
    assert!(note.contains("Call Duration: 8s"), "{note}");
    assert_eq!(rig.tickets(&call.sid).len(), 1);
}
