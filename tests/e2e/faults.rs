//! A CRM in trouble: nothing is lost, nothing is there twice.

use std::time::Duration;

use http::Method;
use patchbay_sandbox::{Crm, Fault, Faults, On, Server, leadsquared::LeadSquared};
use serde_json::json;

use crate::rig::{AGENT, AGENT_ID, Call, FD_KEY, Rig, SID};

const TICKETS: &str = "/api/v2/tickets";

async fn missed(rig: &Rig, n: u32) -> Call {
    let call = Call::new(n);
    assert_eq!(rig.hook(&call.missed()).await, 200);
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_was_carried_out_and_not_answered_is_not_repeated() {
    for fault in [
        Fault::ResetAfter,
        Fault::StallAfter(Duration::from_secs(5)),
        // Carried out after the client gave up (1 s), within the wait before it looks (1.5 s).
        Fault::LateCommit(Duration::from_millis(1700)),
    ] {
        let rig = Rig::started();
        rig.freshdesk.faults().push(On::exactly(Method::POST, TICKETS), fault);
        let call = missed(&rig, 1).await;
        rig.ticket(&call.sid).await;
        rig.settled().await;
        assert_eq!(rig.tickets(&call.sid).len(), 1, "{fault:?}");
        let found =
            rig.freshdesk.requests().iter().filter(|seen| seen.method == Method::POST && seen.path == TICKETS).count();
        assert_eq!(found, 1, "{fault:?}: it was looked for, not made again");
        let file = rig.account(&format!("/calls/{}", call.sid)).await;
        assert!(file.to_string().contains("ambiguous"), "{file:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_was_not_carried_out_is_made_once() {
    for fault in [Fault::ResetBefore, Fault::Status(500), Fault::Status(503), Fault::Garbage, Fault::BlackHole] {
        let rig = Rig::started();
        rig.freshdesk.faults().push(On::exactly(Method::POST, TICKETS), fault);
        let call = missed(&rig, 1).await;
        rig.ticket(&call.sid).await;
        rig.settled().await;
        assert_eq!(rig.tickets(&call.sid).len(), 1, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_whose_creation_was_not_answered_is_found() {
    for fault in [Fault::ResetAfter, Fault::LateCommit(Duration::from_millis(1700))] {
        let rig = Rig::started();
        rig.freshdesk.faults().push(On::exactly(Method::POST, "/api/v2/contacts"), fault);
        let from = "09876500042".to_owned();
        let calls: Vec<Call> = (0..5).map(|n| Call { from: from.clone(), ..Call::new(n) }).collect();
        for call in &calls {
            rig.hook(&call.missed()).await;
        }
        for call in &calls {
            rig.ticket(&call.sid).await;
        }
        rig.settled().await;
        assert_eq!(rig.freshdesk.with(|desk| desk.contacts().count()), 1, "{fault:?}");
        assert_eq!(rig.freshdesk.with(|desk| desk.tickets().count()), 5, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_that_was_carried_out_and_not_answered_is_not_repeated() {
    let rig = Rig::started();
    rig.freshdesk.faults().push(On::exactly(Method::POST, "/api/v2/tickets/*/notes"), Fault::ResetAfter);
    let call = Call::new(1);
    rig.simulate(&call);
    rig.hook(&call.answered()).await;
    rig.note(&call.sid).await;
    rig.settled().await;
    let ticket = rig.ticket(&call.sid).await;
    assert_eq!(rig.notes(ticket.id).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_crm_is_down_calls_are_taken_and_no_attempt_is_spent() {
    let rig = Rig::started();
    rig.freshdesk.faults().go_down();
    let mut calls = Vec::new();
    for n in 0..40 {
        calls.push(missed(&rig, n).await);
    }
    rig.until_api("/integrations", |answer| (answer["integrations"][0]["lane"]["state"] == "down").then_some(())).await;
    let (status, ready) = rig.get("/readyz").await;
    assert_eq!((status, &ready["status"]), (200, &json!("degraded")));
    let lanes = ready["lanes"].as_object().expect("the lanes");
    assert!(lanes.values().all(|lane| lane["code"] == "crm_down"), "{ready}");
    let waiting = rig
        .until_api("/deliveries?state=pending,inflight&limit=200", |answer| {
            answer["deliveries"].as_array().filter(|rows| rows.len() == 40).cloned()
        })
        .await;
    let spent: Vec<u64> = waiting.iter().filter_map(|row| row["failures"].as_u64()).collect();
    // The breaker opens after five outages; the window lets a few more happen at the same time.
    assert!(spent.iter().sum::<u64>() <= 16, "{spent:?}");
    rig.freshdesk.faults().lift();
    for call in &calls {
        rig.ticket(&call.sid).await;
    }
    rig.settled().await;
    assert_eq!(rig.freshdesk.with(|desk| desk.tickets().count()), 40);
    let alerts = rig.logs().iter().filter(|line| line.contains(r#""code":"crm_down""#)).count();
    assert_eq!(alerts, 1, "one alert per target, not one per delivery");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_holds_the_lane_with_one_alert_and_the_backlog_drains_after() {
    let rig = Rig::started();
    rig.freshdesk.with(patchbay_sandbox::freshdesk::Freshdesk::revoke_key);
    let mut calls = Vec::new();
    for n in 0..10 {
        calls.push(missed(&rig, n).await);
    }
    rig.until_api("/integrations", |answer| {
        (answer["integrations"][0]["lane"]["state"] == "unauthorized").then_some(())
    })
    .await;
    rig.freshdesk.with(|desk| desk.set_key(FD_KEY));
    for call in &calls {
        rig.ticket(&call.sid).await;
    }
    rig.settled().await;
    assert_eq!(rig.freshdesk.with(|desk| desk.tickets().count()), 10);
    let logs = rig.logs();
    let alerts: Vec<&String> = logs.iter().filter(|line| line.contains("refuses the credentials")).collect();
    assert!(alerts.len() == 1 && alerts[0].contains(r#""code":"crm_unauthorized""#), "{alerts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_cost_no_attempt() {
    let rig = Rig::started();
    rig.freshdesk.faults().push(On::exactly(Method::POST, TICKETS), Fault::RateLimited { retry_after_s: 1 });
    let call = missed(&rig, 1).await;
    rig.ticket(&call.sid).await;
    rig.settled().await;
    let rows = rig.account(&format!("/deliveries?call_sid={}", call.sid)).await;
    // The one attempt that delivered it.
    assert!(rows["deliveries"][0]["failures"].as_u64() <= Some(1), "{rows:#}");
    assert_eq!(rig.tickets(&call.sid).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mandatory_field_holds_the_delivery_until_the_configuration_names_it() {
    let mut rig = Rig::started();
    rig.freshdesk.with(|desk| desk.require_field("cf_product"));
    let call = missed(&rig, 1).await;
    let held = rig
        .until_api("/deliveries?state=held", |answer| {
            answer["deliveries"].as_array().and_then(|rows| rows.first().cloned())
        })
        .await;
    let reason = held["reason"].as_str().expect("a reason");
    assert!(reason.contains("cf_product") && reason.contains("defaults.custom_fields"), "{reason}");
    assert!(rig.terminate());
    rig.integration.push_str("\ndefaults = { custom_fields = { cf_product = \"calls\" } }");
    rig.start();
    let (status, _) = rig.post(&format!("/api/v1/accounts/{SID}/deliveries/retry"), json!({ "state": "held" })).await;
    assert_eq!(status, 202);
    let ticket = rig.ticket(&call.sid).await;
    assert_eq!(ticket.custom_fields["cf_product"], "calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_who_was_deactivated_is_left_out() {
    let rig = Rig::started();
    rig.freshdesk.with(|desk| desk.deactivate_agent(AGENT_ID));
    let call = Call::new(1);
    rig.hook(&call.pop("Answered", AGENT, 9)).await;
    rig.hook(&call.answered()).await;
    assert_eq!(rig.ticket(&call.sid).await.responder_id, None);
    rig.until_api(&format!("/calls/{}", call.sid), |file| file.to_string().contains("not assigned").then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_deleted_in_the_crm_is_looked_for_again() {
    let rig = Rig::started();
    let id = rig.freshdesk.with(|desk| desk.add_contact("Asha", Some("+919876500050"), None));
    let first = Call { from: "09876500050".to_owned(), ..Call::new(1) };
    rig.hook(&first.missed()).await;
    assert_eq!(rig.ticket(&first.sid).await.requester_id, id);
    rig.settled().await;
    rig.freshdesk.with(|desk| desk.soft_delete_contact(id, jiff::Timestamp::now()));
    let second = Call { from: "09876500050".to_owned(), ..Call::new(2) };
    rig.hook(&second.missed()).await;
    let ticket = rig.ticket(&second.sid).await;
    assert_ne!(ticket.requester_id, id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_deleted_by_hand_is_not_made_again_unless_somebody_asks() {
    let rig = Rig::started();
    let call = missed(&rig, 1).await;
    let ticket = rig.ticket(&call.sid).await;
    rig.settled().await;
    let now = jiff::Timestamp::now();
    rig.freshdesk.with(|desk| desk.change_ticket(ticket.id, now, |ticket| ticket.deleted = true));
    // A later fact: the call was answered after all.
    rig.hook(&call.answered()).await;
    rig.until_api("/deliveries?state=dead", |answer| {
        answer["deliveries"].as_array().filter(|rows| !rows.is_empty()).map(|_| ())
    })
    .await;
    assert!(rig.tickets(&call.sid).is_empty());
    let path = format!("/api/v1/accounts/{SID}/calls/{}/resync", call.sid);
    let (status, answer) = rig.post(&path, json!({ "rewrite": true })).await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(rig.ticket(&call.sid).await.subject, format!("Incoming Call from {}", call.from));
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_mix_of_faults_every_call_is_one_ticket() {
    let rig = Rig::started();
    rig.freshdesk.faults().set_mix(Some(patchbay_sandbox::Mix {
        seed: 7,
        per_mille: vec![
            (Fault::Status(500), 40),
            (Fault::Status(502), 20),
            (Fault::RateLimited { retry_after_s: 1 }, 10),
            (Fault::ResetBefore, 30),
            (Fault::ResetAfter, 40),
            (Fault::Garbage, 20),
            (Fault::StallAfter(Duration::from_millis(1300)), 10),
            (Fault::LateCommit(Duration::from_millis(1400)), 10),
        ],
    }));
    let mut calls = Vec::new();
    for n in 0..60 {
        let call = Call::new(n);
        rig.simulate(&call);
        rig.hook(&call.answered()).await;
        calls.push(call);
    }
    for call in &calls {
        rig.note(&call.sid).await;
    }
    rig.freshdesk.faults().clear();
    rig.settled().await;
    for call in &calls {
        let tickets = rig.tickets(&call.sid);
        assert_eq!(tickets.len(), 1, "{}", call.sid);
        assert_eq!(rig.notes(tickets[0].id).len(), 1, "{}", call.sid);
    }
    assert_eq!(rig.freshdesk.with(|desk| desk.tickets().count()), calls.len());
    assert_eq!(rig.freshdesk.with(|desk| desk.contacts().count()), calls.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_callers_get_through_a_narrow_limit_on_lists() {
    // Eight filters of the contact list for an unknown caller, and a limit that eight callers at once overrun: what one
    // try has found out, the next must not ask again.
    let rig = Rig::started();
    rig.freshdesk.with(|desk| {
        desk.settings.limits.contacts_list = Some(20);
        // So that replies say that the account itself has plenty left.
        desk.settings.limits.total = Some(100_000);
    });
    let mut calls = Vec::new();
    for n in 0..5 {
        calls.push(missed(&rig, n).await);
    }
    rig.until_api("/integrations", |answer| {
        answer["integrations"][0]["lane"]["throttled_until"].as_str().map(str::to_owned)
    })
    .await;
    // Meanwhile who is known, by the search, goes through: only lists of contacts are held back.
    let known = Call::new(50);
    rig.freshdesk.with(|desk| {
        desk.settings.index_lag = Duration::ZERO;
        desk.add_contact("Asha", Some("+91 98765 00050"), None)
    });
    rig.hook(&known.missed()).await;
    rig.ticket(&known.sid).await;
    rig.freshdesk.with(|desk| desk.settings.limits.contacts_list = None);
    let asked = rig
        .freshdesk
        .requests()
        .iter()
        .filter(|seen| seen.path == "/api/v2/contacts" && seen.status == Some(200))
        .count();
    assert!(asked <= 20, "{asked}");
    // The pause is a minute by Freshdesk's own word; the API's retry does not shorten it, and need not be waited for:
    // what was asked is remembered, which the count of one caller's questions shows.
    let finds = |file: &serde_json::Value| file.to_string().matches("contact.find").count();
    for call in &calls {
        let file = rig.account(&format!("/calls/{}", call.sid)).await;
        assert!(finds(&file) <= 10, "{file:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_exotel_does_not_know_is_asked_about_to_the_end_of_the_schedule_and_no_further() {
    // The simulated Exotel knows of no call: it answers 404 with a RestException (exotel-api §1.5).
    let mut rig = Rig::new();
    rig.extra = "[enquiry]\nschedule = [\"50ms\", \"100ms\"]\nper_minute = 100000".to_owned();
    rig.start();
    let call = Call::new(1);
    rig.hook(&call.answered()).await;
    let note = rig.note(&call.sid).await;
    assert!(note.contains("No recording") && note.contains("Call Duration: 8s"), "{note}");
    rig.until_api(&format!("/calls/{}", call.sid), |file| file["next_enquiry_at"].is_null().then_some(())).await;
    let receipts = rig.account("/receipts").await;
    assert_eq!(receipts["receipts"], json!([]), "an answer is not set aside");
    let popup_only = Call::new(2);
    rig.hook(&popup_only.pop("Answered", AGENT, 9)).await;
    rig.ticket(&popup_only.sid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_made_before_the_caller_was_known_is_moved_to_him() {
    let rig = Rig::started();
    let call = Call::new(1);
    rig.simulate(&call);
    let id = rig.freshdesk.with(|desk| desk.add_contact("Asha", Some("+919876500001"), None));
    // What Exotel sends without `StatusCallbackEvents`: no numbers at all (exotel-api §3).
    let url = rig.url(&format!("/v2/accounts/{SID}/status"));
    let body = format!("CallSid={}&Status=completed&DateUpdated={}", call.sid, call.at(27));
    let request = rig.http.post(url).basic_auth(crate::rig::KEY, Some(crate::rig::TOKEN)).body(body);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(request.send().await.expect("an answer").status(), 200);
    rig.until("the caller's ticket", || rig.tickets(&call.sid).into_iter().find(|ticket| ticket.requester_id == id))
        .await;
    rig.settled().await;
    assert_eq!(rig.tickets(&call.sid).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_an_integration_that_was_renamed_is_held_and_told() {
    let mut rig = Rig::new();
    // What Exotel answers would plan the call anew, into the integration there is.
    rig.extra = "[enquiry]\nschedule = [\"1h\"]".to_owned();
    rig.start();
    rig.freshdesk.faults().go_down();
    let call = missed(&rig, 1).await;
    rig.until_api("/deliveries?state=pending,inflight", |answer| {
        answer["deliveries"].as_array().filter(|rows| rows.len() == 1).map(|_| ())
    })
    .await;
    rig.kill();
    rig.freshdesk.faults().lift();
    rig.name = "helpdesk".to_owned();
    rig.start();
    // Once it is sure that no other process delivers for it.
    let reason =
        rig.until_api("/deliveries?state=held", |held| held["deliveries"][0]["reason"].as_str().map(str::to_owned));
    let reason = reason.await;
    assert!(reason.contains("no integration of this name") && reason.contains("resync"), "{reason}");
    let told = || rig.logs().iter().any(|line| line.contains(r#""code":"integration_gone""#)).then_some(());
    rig.until("it is told", told).await;
    rig.post(&format!("/api/v1/accounts/{SID}/calls/{}/resync", call.sid), json!({})).await;
    rig.ticket(&call.sid).await;
}

/// LeadSquared without keys cannot be asked whether a log is there: a person looks, and sends it again.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_crm_cannot_be_asked_is_held_and_written_by_a_retry() {
    let crm = LeadSquared::new("lsq-access", "lsq-secret", "orgkey");
    let [route, popup, log] = ["LeadRouteV2", "AgentPopup", "LogCallComplete"].map(|name| crm.path(name));
    let crm = Server::start(([127, 0, 0, 1], 0).into(), crm, Faults::none()).expect("the LeadSquared sandbox starts");
    let mut rig = Rig::new();
    rig.more = format!(
        "[[account.integration]]\nconnector = \"leadsquared\"\nname = \"leads\"\nbase_url = \"{}\"\n\
         call_route_url = \"https://telephony.example{route}\"\nagent_popup_url = \"https://telephony.example{popup}\"\n\
         call_log_url = \"https://telephony.example{log}\"",
        crm.url()
    );
    rig.start();
    crm.faults().push(On::exactly(Method::POST, &log), Fault::ResetBefore);
    let call = Call::new(1);
    rig.simulate(&call);
    assert_eq!(rig.hook(&call.answered()).await, 200);
    let held = async || {
        rig.until_api("/deliveries?state=held", |answer| {
            let one = answer["deliveries"].as_array()?.iter().find(|one| one["integration"] == "leads")?;
            one["reason"].as_str().map(str::to_owned)
        })
        .await
    };
    assert!(held().await.contains("look there, then retry"));
    assert_eq!(crm.with(|crm| crm.records()).len(), 0);

    let (status, _) = rig.post(&format!("/api/v1/accounts/{SID}/deliveries/retry"), json!({ "state": "held" })).await;
    assert_eq!(status, 202);
    rig.until("the log is written", || crm.with(|crm| (!crm.records().is_empty()).then_some(()))).await;
    rig.settled().await;
    assert_eq!(crm.with(|crm| crm.records()).len(), 1);
}
