//! What several integrations on one account owe beside the table: one contact per caller, a person's choice, follow-ups,
//! the calls of the past, popups, masked numbers.

use std::{collections::BTreeSet, time::Duration};

use patchbay_sandbox::{Fault, On, hubspot, leadsquared, salesforce, zoho_crm};
use serde_json::json;

use super::{
    floor::{Floor, Seat},
    seats,
    table::{Kind, Played, check, one_of_each, play},
};
use crate::rig::{AGENT, Call, SID};

/// Ids of the contacts with this caller's number.
fn his(seat: &Seat, call: &Call) -> BTreeSet<String> {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let held = seat.crm.contacts().into_iter();
    held.filter(|one| one.numbers.iter().any(|number| digits(number).ends_with(&call.from[1..])))
        .map(|one| one.id)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_first_calls_of_one_caller_make_one_contact() {
    let floor = Floor::started(seats::all());
    let calls: Vec<Call> = (0..1000).map(|n| Call { from: "09876599999".to_owned(), ..Call::new(n) }).collect();
    let hooks = calls.iter().map(|call| {
        let callback = call.missed();
        let floor = &floor;
        async move { assert_eq!(floor.rig.hook(&callback).await, 200) }
    });
    futures_util::future::join_all(hooks).await;
    // The first of them is enough to see whether there is a second contact; the rest only write records.
    for seat in floor.seats.iter().filter(|seat| seat.shape.contacts) {
        let what = format!("a hundred records in {}", seat.name);
        floor.rig.until(&what, || (seat.crm.records().len() >= 100).then_some(())).await;
        assert_eq!(his(seat, &calls[0]).len(), 1, "{}", seat.name);
    }
}

/// Where the administrator lets two leads have one number, only looking again keeps the second out.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_making_was_not_answered_is_looked_for_before_he_is_made_again() {
    let floor = Floor::started(vec![seats::leadsquared_with(|settings| settings.unique_phone = false)]);
    let seat = &floor.seats[0];
    let making = On::exactly(http::Method::POST, "/v2/LeadManagement.svc/Lead.Create");
    seat.crm.faults().push(making, Fault::ResetAfter);
    let played = [Played::new(1, Kind::Answered)];
    play(&floor, &played).await;
    check(&floor, &played).await;
    assert_eq!(his(seat, &played[0].call).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_contacts_the_policy_takes_one_and_the_timeline_says_so() {
    let mut floor = Floor::new(seats::all());
    floor.rig.account = "contact_choice = \"priority\"".to_owned();
    floor.rig.start();
    let one = Played::new(1, Kind::Missed);
    let mut known = Vec::new();
    for seat in floor.seats.iter().filter(|seat| seat.shape.contacts) {
        let first = seat.crm.add_contact("Asha Rao", &one.call.from[1..]);
        let second = seat.crm.add_contact("Asha Again", &one.call.from[1..]);
        known.push((seat.name, BTreeSet::from([first, second])));
    }
    play(&floor, std::slice::from_ref(&one)).await;
    let mut told = 0;
    for (name, ids) in known {
        let seat = floor.seats.iter().find(|seat| seat.name == name).expect("the seat");
        let records = floor
            .rig
            .until(&format!("a record in {name}"), || Some(seat.of(&one.call.sid)).filter(|it| !it.is_empty()))
            .await;
        let contact = records[0].contact.clone().expect("a contact");
        assert!(ids.contains(&contact) || his(seat, &one.call).contains(&contact), "{name}: {contact}");
        if seat.shape.several {
            let said = format!("{contact} was taken (priority)");
            floor
                .rig
                .until_api(&format!("/calls/{}", one.call.sid), |file| {
                    file["timeline"].to_string().contains(&said).then_some(())
                })
                .await;
            told += 1;
        }
    }
    assert!(told >= 6, "only {told} showed both");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked_and_his_choice_holds() {
    let mut floor = Floor::new(vec![seats::desk("desk2"), seats::salesforce()]);
    floor.rig.account = "contact_choice = \"ask\"".to_owned();
    floor.rig.start();
    let one = Played::new(1, Kind::Missed);
    let ids: Vec<(String, String)> = floor
        .seats
        .iter()
        .map(|seat| {
            let number = &one.call.from[1..];
            (seat.crm.add_contact("Asha Rao", number), seat.crm.add_contact("Asha Again", number))
        })
        .collect();
    play(&floor, std::slice::from_ref(&one)).await;
    for (n, (seat, (_, second))) in (2..).zip(floor.seats.iter().zip(&ids)) {
        let held = format!("/deliveries?state=held&integration={}", seat.name);
        let reason =
            floor.rig.until_api(&held, |answer| Some(answer["deliveries"][0]["reason"].as_str()?.to_owned())).await;
        assert!(
            reason.starts_with("several_contacts: 2 contacts have this number") && reason.contains(second),
            "{reason}"
        );
        assert!(seat.of(&one.call.sid).is_empty());
        let path = format!("/api/v1/accounts/{SID}/calls/{}/contact", one.call.sid);
        let (status, answer) =
            floor.rig.post(&path, json!({"integration": seat.name, "kind": "contact", "id": second})).await;
        assert_eq!(status, 202, "{answer}");
        let record = floor.rig.until("the record", || seat.of(&one.call.sid).into_iter().next()).await;
        assert_eq!(record.contact.as_ref(), Some(second), "{}", seat.name);
        // And nobody is asked about this caller again.
        let again = Played { call: Call { from: one.call.from.clone(), ..Call::new(n) }, kind: Kind::Missed };
        play(&floor, std::slice::from_ref(&again)).await;
        let record = floor.rig.until("the next record", || seat.of(&again.call.sid).into_iter().next()).await;
        assert_eq!(record.contact.as_ref(), Some(second), "{}", seat.name);
    }
}

/// An agent sees that the call was about something else: the record moves, and no second one is made.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_moves_to_the_object_that_an_agent_chooses() {
    let floor = Floor::started(seats::all());
    let one = Played::new(1, Kind::Answered);
    play(&floor, std::slice::from_ref(&one)).await;
    check(&floor, std::slice::from_ref(&one)).await;
    let seat = floor.seats.iter().find(|seat| seat.name == "salesforce").expect("Salesforce");
    let other = seat.crm.add_contact("Somebody Else", "9000000001");
    let path = format!("/api/v1/accounts/{SID}/calls/{}/contact", one.call.sid);
    let (status, answer) =
        floor.rig.post(&path, json!({"integration": "salesforce", "kind": "contact", "id": other})).await;
    assert_eq!(status, 202, "{answer}");
    floor
        .rig
        .until("the move", || {
            seat.of(&one.call.sid).iter().any(|task| task.contact.as_ref() == Some(&other)).then_some(())
        })
        .await;
    assert_eq!(seat.of(&one.call.sid).len(), 1);
}

/// An integration that was added later is given the calls of the past, once.
#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_filled_in_behind_the_present() {
    let mut floor = Floor::new(seats::all());
    // The first life knows one integration only.
    let more = std::mem::take(&mut floor.rig.more);
    floor.rig.start();
    let mut played = one_of_each();
    play(&floor, &played).await;
    for one in &played {
        floor.rig.ticket(&one.call.sid).await;
    }
    floor.settled().await;
    assert!(floor.rig.terminate());

    floor.rig.more = more;
    floor.rig.start();
    assert!(floor.seats.iter().all(|seat| seat.crm.records().is_empty()), "nothing is written unasked");
    for seat in &floor.seats {
        let path = format!("/api/v1/accounts/{SID}/integrations/{}/backfill", seat.name);
        let (status, answer) = floor.rig.post(&path, json!({"days": 2})).await;
        assert_eq!(status, 202, "{answer}");
        let (status, _) = floor.rig.post(&path, json!({"days": 2, "since": "2020-01-01T00:00:00Z"})).await;
        assert_eq!(status, 400);
        let path = format!("/integrations/{}", seat.name);
        floor.rig.until_api(&path, |shown| (shown["backfill"]["state"] == "planned").then_some(())).await;
    }
    let fresh = Played::new(9, Kind::Missed);
    play(&floor, std::slice::from_ref(&fresh)).await;
    played.push(fresh);
    check(&floor, &played).await;
    // Asked for again, it finds everything there.
    let before: Vec<_> = floor.seats.iter().map(|seat| seat.crm.records().len()).collect();
    let path = format!("/api/v1/accounts/{SID}/integrations/{}/backfill", floor.seats[0].name);
    assert_eq!(floor.rig.post(&path, json!({"days": 2})).await.0, 202);
    check(&floor, &played).await;
    assert_eq!(floor.seats.iter().map(|seat| seat.crm.records().len()).collect::<Vec<_>>(), before);
    assert_eq!(
        floor.rig.freshdesk.with(|desk| desk.tickets().count()),
        played.len(),
        "the first one has nothing twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missed_caller_is_owed_a_follow_up_and_an_agent_can_ask_for_another() {
    let (hub, url) = seats::served(hubspot::HubSpot::prepared("pat"));
    let toml = format!(
        "[[account.integration]]\nname = \"hub\"\nconnector = \"hubspot\"\nbase_url = \"{url}\"\naccess_token = \"pat\"\n"
    );
    let (zoho, url) = seats::served(zoho_crm::ZohoCrm::new("id", "secret", "refresh"));
    let more = format!(
        "[[account.integration]]\nname = \"zoho\"\nconnector = \"zoho_crm\"\nbase_url = \"{url}\"\nclient_id = \"id\"\n\
         client_secret = \"secret\"\nrefresh_token = \"refresh\"\nmissed_follow_up = \"event\"\n"
    );
    let mut floor = Floor::new(Vec::new());
    floor.rig.more = toml + &more;
    floor.rig.start();
    let missed = Played::new(1, Kind::Missed);
    let answered = Played::new(2, Kind::Answered);
    play(&floor, std::slice::from_ref(&missed)).await;
    play(&floor, std::slice::from_ref(&answered)).await;
    let tasks = || hub.with(|hub| hub.objects(hubspot::Kind::Tasks).count());
    floor.rig.until("the task", || (tasks() == 1).then_some(())).await;
    floor.rig.until("the event", || zoho.with(|zoho| (zoho.ids("Events").len() == 1).then_some(()))).await;

    let path = format!("/api/v1/accounts/{SID}/calls/{}/follow-up", answered.call.sid);
    let (status, answer) =
        floor.rig.post(&path, json!({"integration": "zoho", "kind": "task", "subject": "Send the offer"})).await;
    assert_eq!(status, 202, "{answer}");
    let (status, answer) = floor.rig.post(&path, json!({"integration": "support", "kind": "task"})).await;
    assert_eq!(status, 400, "{answer}");
    assert!(answer.to_string().contains("makes: none"), "{answer}");
    floor.rig.until("the task", || zoho.with(|zoho| (zoho.ids("Tasks").len() == 1).then_some(()))).await;
    // Everything again: one each.
    play(&floor, &[missed, answered]).await;
    floor.settled().await;
    assert_eq!((tasks(), zoho.with(|zoho| (zoho.ids("Events").len(), zoho.ids("Tasks").len()))), (1, (1, 1)));
}

/// The recording comes while the agent writes down what was said.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_writes_stays_when_more_becomes_known() {
    let (hub, url) = seats::served(hubspot::HubSpot::prepared("pat"));
    let toml = format!(
        "[[account.integration]]\nname = \"hub\"\nconnector = \"hubspot\"\nbase_url = \"{url}\"\naccess_token = \"pat\"\n"
    );
    let (org, url) = seats::served(salesforce::Salesforce::new("sf-id", "sf-secret", "sf-refresh").with_set_up());
    let more = format!(
        "[[account.integration]]\nname = \"sf\"\nconnector = \"salesforce\"\nbase_url = \"{url}\"\nclient_id = \"sf-id\"\n\
         client_secret = \"sf-secret\"\nrefresh_token = \"sf-refresh\"\n"
    );
    let mut floor = Floor::new(Vec::new());
    floor.rig.more = toml + &more;
    floor.rig.start();
    // The first connect applet reaches nobody.
    let one = Played::new(1, Kind::Answered);
    assert_eq!(floor.rig.hook(&one.call.missed()).await, 200);
    let calls =
        || hub.with(|hub| patchbay_sandbox::Crm::records(hub)).into_iter().find(|one| one.text.contains("Missed"));
    let tasks = || org.with(|org| patchbay_sandbox::Crm::records(org)).into_iter().next();
    let call = floor.rig.until("the call", calls).await.id;
    let task = floor.rig.until("the task", tasks).await.id;
    let now = jiff::Timestamp::now();
    hub.with(|hub| {
        let text = hub.object(hubspot::Kind::Calls, &call).and_then(|call| call.get("hs_call_body")).expect("a text");
        let text = format!("{text}<p>Wants a refund</p>");
        hub.edit(hubspot::Kind::Calls, &call, &[("hs_call_body", &text)], now);
    });
    org.with(|org| {
        let text = org.record(&task).expect("the task").text("Description").to_owned();
        org.set(&task, "Description", json!(text.replace('\n', "\r\n") + "\r\nWants a refund"), now);
    });
    // The second does.
    play(&floor, std::slice::from_ref(&one)).await;
    let link = format!("/r/{SID}/{}.mp3", one.call.sid);
    let whole = |text: &str| (text.contains(&link) && text.contains("Wants a refund")).then_some(());
    floor
        .rig
        .until("the recording in HubSpot", || {
            hub.with(|hub| whole(hub.object(hubspot::Kind::Calls, &call)?.get("hs_call_body")?))
        })
        .await;
    floor
        .rig
        .until("the recording in Salesforce", || org.with(|org| whole(org.record(&task)?.text("Description"))))
        .await;
    floor.settled().await;
    // And what people choose after a call is what the call has become.
    org.with(|org| {
        let task = org.record(&task).expect("the task");
        assert_eq!((task.text("CallDisposition"), task.text("Status")), ("Answered", "Completed"));
    });
    hub.with(|hub| {
        let call = hub.object(hubspot::Kind::Calls, &call).expect("the call");
        assert_eq!(call.get("hs_call_disposition"), Some("f240bbac-87c9-4f6e-bf70-924b57d47db7"));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ringing_agent_sees_the_caller_in_the_crm_at_once_or_not_at_all() {
    let (lsq, url) = seats::served(leadsquared::LeadSquared::new("lsq-access", "lsq-secret", "orgkey"));
    let path = |name: &str| lsq.with(|lsq| lsq.path(name));
    let mut floor = Floor::new(Vec::new());
    floor.rig.more = format!(
        "[[account.integration]]\nname = \"lsq\"\nconnector = \"leadsquared\"\nbase_url = \"{url}\"\n\
         call_route_url = \"https://telephony.example{}\"\nagent_popup_url = \"https://telephony.example{}\"\n\
         call_log_url = \"https://telephony.example{}\"\n",
        path("LeadRouteV2"),
        path("AgentPopup"),
        path("LogCallComplete")
    );
    floor.rig.start();
    let call = Call::new(1);
    let shown = || lsq.with(|lsq| lsq.popups().len());
    for _ in 0..3 {
        floor.rig.hook(&call.pop("Ringing", AGENT, 3)).await;
    }
    floor.rig.until("the popup", || (shown() == 1).then_some(())).await;
    // The capability URL is a secret as a whole.
    assert!(!floor.rig.logs().join("\n").contains("orgkey"));
    floor.rig.hook(&call.missed()).await;
    floor.rig.until("the log", || lsq.with(|lsq| patchbay_sandbox::Crm::records(lsq).first().map(|_| ()))).await;
    assert_eq!(shown(), 1, "told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_end_of_a_masked_number_is_shown() {
    let (org, url) =
        seats::served(salesforce::Salesforce::new("sf-id", "sf-secret", "sf-refresh").with_set_up().with_test_key());
    let mut floor = Floor::new(Vec::new());
    let key = floor.rig.path("sf.pem");
    std::fs::write(&key, salesforce::TEST_KEY).expect("the key is written");
    // By a signed assertion: no secret and no refresh token.
    floor.rig.more = format!(
        "[[account.integration]]\nname = \"sf\"\nconnector = \"salesforce\"\nbase_url = \"{url}\"\nclient_id = \"sf-id\"\n\
         username = \"{}\"\nprivate_key_file = \"{}\"\nmask_numbers = true\n",
        salesforce::TEST_USER,
        key.display()
    );
    floor.rig.start();
    let one = Played::new(1, Kind::Missed);
    play(&floor, std::slice::from_ref(&one)).await;
    let records = || org.with(|org| patchbay_sandbox::Crm::records(org));
    let task = floor.rig.until("the task", || records().into_iter().next()).await;
    assert!(!task.text.contains(&one.call.from[1..]), "{}", task.text);
    assert!(task.text.contains(&one.call.from[one.call.from.len() - 4..]), "{}", task.text);
    tokio::time::timeout(Duration::from_secs(30), floor.settled()).await.expect("it settles");
}
