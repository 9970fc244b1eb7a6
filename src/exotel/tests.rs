//! The Exotel client against every shape of answer that is documented or was seen: what is read, repeated, refused.

mod legs;
mod listing;
mod placing;

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use http::{HeaderValue, Method, StatusCode, header};
use jiff::{SignedDuration, Timestamp, tz::Offset};
use patchbay_kit::PhoneNumber;
use patchbay_sandbox::{
    Fault, Faults, On, Reply, Request, Sandbox, Server,
    exotel::{Exotel, HeldDevice, HeldUser, RecordingPlan, SimulatedCall, Trouble},
};
use secrecy::SecretString;
use serde::Deserialize;
use uuid::Uuid;

use super::*;
use crate::{
    call::{EventKind, Hook, Locale, Receipt, normalise, phone},
    connect::transport::{Credentials, Transport},
};

const SID: &str = "acme1";
const AGENT: &str = "+919876530240";
const CUSTOMER: &str = "+919052138847";
const EXOPHONE: &str = "+918030754890";
const SUPERVISOR: &str = "+919711581199";

fn number(e164: &str) -> PhoneNumber {
    phone::parse(e164, "IN").expect("a number")
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn client_with(url: &str, key: &str, per_minute: PerMinute) -> ExotelClient {
    let url: url::Url = url.parse().expect("a URL");
    ExotelClient::new(ClientParts {
        sid: SID.to_owned(),
        hosts: Hosts { api: url.clone(), ccm: url.clone(), portal: url },
        credentials: Credentials::basic(&SecretString::from(key.to_owned()), "t0ken"),
        naive: Naive { utc_offset: Offset::from_seconds(19_800).unwrap(), country: "IN".to_owned() },
        per_minute,
        transport: Transport::new(Duration::from_secs(5)).expect("a client"),
        timeout: Duration::from_secs(20),
        backoff: vec![Duration::ZERO; 2],
    })
}

fn client(url: &str) -> ExotelClient {
    client_with(url, "k3y", PerMinute::PUBLISHED)
}

/// A simulated Exotel and its client.
fn rig() -> (Server<Exotel>, ExotelClient) {
    let mut exotel = Exotel::new(SID, "k3y", "t0ken");
    exotel.add_exophone("e1", EXOPHONE);
    let server = Server::start(loopback(), exotel, Faults::none()).expect("the simulated Exotel");
    let client = client(&server.url());
    (server, client)
}

fn connect() -> Connect {
    Connect {
        from: number(AGENT).into(),
        to: Reach::Party(number(CUSTOMER).into()),
        caller_id: number(EXOPHONE),
        record: Some(Channels::Dual),
        ring_seconds: Some(30),
        limit_seconds: None,
        custom_field: Some("patchbay:42".to_owned()),
        callback: Some(StatusCallback { url: "https://key:hook5ecret@calls.test/status".to_owned(), answered: true }),
    }
}

fn placed(dialled: Dialled) -> Call {
    match dialled {
        Dialled::Placed(call) => *call,
        other => panic!("{other:?}"),
    }
}

// ---- Every wire shape -------------------------------------------------------------------------------------------------

/// Answers everything alike.
struct Canned(Reply);

impl Sandbox for Canned {
    fn handle(&mut self, _: &Request, _: Timestamp) -> Reply {
        self.0.clone()
    }

    fn refuse(&self, _: &Request, status: StatusCode, _: Option<u64>) -> Reply {
        Reply::empty(status)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    source: String,
    status: u16,
    content_type: String,
    body: String,
}

fn shapes() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/exotel")
}

/// A client whose every question is answered with this file.
fn canned(name: &str) -> (Server<Canned>, ExotelClient) {
    let text = std::fs::read_to_string(shapes().join(format!("{name}.toml"))).expect(name);
    let shape: Shape = toml::from_str(&text).expect(name);
    assert!(!shape.source.is_empty(), "{name} names no source");
    let mut reply = Reply::empty(StatusCode::from_u16(shape.status).expect("a status"));
    reply.headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(&shape.content_type).expect("a type"));
    reply.body = shape.body.into();
    let server = Server::start(loopback(), Canned(reply), Faults::none()).expect("a server");
    let client = client(&server.url());
    (server, client)
}

/// Names the shapes below; one that no test reads fails this.
#[test]
fn every_shape_is_read_by_a_test() {
    let source = include_str!("tests.rs");
    for entry in std::fs::read_dir(shapes()).expect("the shapes") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        assert!(source.contains(&format!("\"{name}\"")), "{name} is read by no test");
    }
}

/// A question is put off after the first "too many", and what is told is what is left of the wait.
fn whole(error: Option<ExotelError>) -> Option<ExotelError> {
    match error {
        Some(ExotelError::Busy { retry_after }) if retry_after <= Duration::from_secs(30) => {
            Some(ExotelError::Busy { retry_after: Duration::from_secs(30) })
        }
        error => error,
    }
}

#[tokio::test]
async fn every_error_body_is_understood() {
    let refused = |status, code, message: &str| ExotelError::Refused { status, code, message: message.to_owned() };
    let not_found = |message: &str| ExotelError::NotFound { code: None, message: message.to_owned() };
    let busy = ExotelError::Busy { retry_after: Duration::from_secs(30) };
    for (name, expected) in [
        ("error_status", refused(400, None, "Invalid Call Parameters: No 'From' specified")),
        ("error_code", not_found("Given callSID is not in-progress")),
        ("error_description", refused(400, None, "Bad Request: Please check the callSID passed")),
        ("error_unauthorised", ExotelError::Auth { status: 401 }),
        ("error_plain", ExotelError::Auth { status: 401 }),
        ("error_throttled", busy.clone()),
        ("error_throttled_exoml", busy),
        ("error_v2", refused(400, Some(1002), "Invalid parameter: contact_uri is not valid")),
        ("error_inside", refused(409, Some(1008), "Duplicate resource: it exists")),
        ("error_in_all_parts", refused(400, Some(1002), "Invalid parameter")),
        // What Exotel says of a number is masked.
        ("error_busy_device", refused(409, Some(10_706), "Device is busy: *******3210 is on a call")),
        ("error_masking", refused(409, Some(18), "Allocation exists for this connection id.")),
    ] {
        let (_server, client) = canned(name);
        let now = client.patient(Duration::ZERO);
        assert_eq!(whole(now.call("c1").await.err()), Some(expected.clone()), "{name}");
        assert_eq!(whole(now.identify().await.err()), Some(expected.clone()), "{name}");
        assert!(!expected.cure().is_empty() && !expected.to_string().contains("987654"), "{name}");
    }
    // A question is not answered by it, and of a call nobody knows whether it was placed.
    let (_server, client) = canned("error_page");
    assert!(matches!(client.identify().await, Err(ExotelError::Unreadable { .. })));
    assert!(matches!(client.connect(&connect()).await, Dialled::Unknown { .. }));
}

#[tokio::test]
async fn a_call_is_read_from_json_and_xml_and_with_numbers_of_either_kind() {
    let began: Timestamp = "2017-03-03T05:18:33Z".parse().unwrap();
    for name in ["connect", "connect_xml"] {
        let (_server, client) = canned(name);
        let call = placed(client.connect(&connect()).await);
        assert_eq!(call.sid, "c5797dcbaaeed7678c4062a4a3ed2f8a", "{name}");
        assert_eq!(call.from, Some(number(AGENT).into()), "{name}");
        assert_eq!(call.to, Some(number(CUSTOMER).into()), "{name}");
        assert_eq!(call.exophone, Some(number(EXOPHONE).into()), "{name}");
        assert_eq!((call.started_at, call.ended_at), (Some(began), None), "{name}");
        assert_eq!((call.total_seconds, call.price, call.recording_url), (None, None, None), "{name}");
        assert_eq!((call.status, call.direction), (CallStatus::InProgress, Some(CallDirection::OutboundApi)), "{name}");
    }
    for name in ["details_numbers", "details_strings"] {
        let (_server, client) = canned(name);
        let call = client.call("c5").await.expect(name);
        assert_eq!((call.total_seconds, call.conversation_seconds), (Some(27), Some(8)), "{name}");
        let leg = |number, status, seconds| CallLeg { number, status: Some(status), on_call_seconds: Some(seconds) };
        assert_eq!(call.legs, [leg(1, CallStatus::Completed, 21), leg(2, CallStatus::Canceled, 8)], "{name}");
        // A word of tomorrow's is kept, and is no end.
        assert_eq!(call.status, CallStatus::Other("Cancelled-by-nobody".to_owned()), "{name}");
        assert!(!call.status.is_final() && call.recording_url.is_some(), "{name}");
    }
}

#[tokio::test]
async fn a_list_is_flat_and_one_that_loses_its_place_is_an_error_not_an_end() {
    let (_server, client) = canned("calls");
    let mut pages = client.calls_between(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH, CallFilter::default());
    let page = pages.next().await.expect("a page").expect("readable");
    assert_eq!(page.total, Some(1));
    let [call] = page.calls.as_slice() else { panic!("{page:?}") };
    assert_eq!(call.from, Some(Party::Sip("sip:alice".to_owned())));
    assert_eq!(call.exophone, Some(number(EXOPHONE).into()));
    assert_eq!((call.total_seconds, &call.recording_url), (Some(17), &None));
    assert!(pages.next().await.is_none());

    let (_server, client) = canned("calls_lost_place");
    let mut pages = client.calls_between(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH, CallFilter::default());
    for _ in 0..2 {
        assert!(matches!(pages.next().await, Some(Err(ExotelError::Unreadable { .. }))));
    }
}

#[tokio::test]
async fn legs_are_read_under_every_name() {
    let (_server, client) = canned("legs");
    let legs = client.legs("c1").await.expect("legs");
    let told: Vec<_> = legs.iter().map(|leg| (leg.sid.as_str(), &leg.origin, leg.on_call_seconds)).collect();
    assert_eq!(told, [("l1", &LegOrigin::Outbound, Some(25)), ("l2", &LegOrigin::OutboundDial, Some(4))]);
    assert_eq!(legs[1].status, CallStatus::NoAnswer);

    let (_server, client) = canned("active_legs");
    let legs = client.active_legs("c1").await.expect("legs");
    assert_eq!(legs[1].party, Some(number(SUPERVISOR).into()));
    assert_eq!((&legs[1].origin, legs[1].last_action.as_deref()), (&LegOrigin::Monitor, Some("barge")));

    let (_server, client) = canned("monitor");
    let monitor = Monitor {
        ear: Ear::Barge,
        supervisor: number(SUPERVISOR),
        target_leg: None,
        custom_field: None,
        callback: None,
    };
    let leg = client.monitor("c1", &monitor).await.expect("a leg");
    assert_eq!((leg.sid.as_str(), leg.origin, leg.party), ("l3", LegOrigin::Monitor, Some(number(SUPERVISOR).into())));

    for name in ["hang_up", "hang_up_xml"] {
        let (_server, client) = canned(name);
        let leg = client.hang_up_leg("c1", "l1").await.expect(name);
        assert_eq!((leg.sid.as_str(), leg.last_action.as_deref()), ("l1", Some("hangup")), "{name}");
        assert_eq!(leg.exophone, Some(number(EXOPHONE).into()), "{name}");
    }
}

#[tokio::test]
async fn what_an_account_has_is_read() {
    let (_server, client) = canned("number");
    let facts = client.number_facts(&number("+917552441100")).await.expect("facts");
    assert_eq!((facts.number, facts.kind), (Some(number("+917552441100")), Some(NumberKind::Landline)));
    assert_eq!((facts.circle.as_deref(), facts.dnd), (Some("MP"), Some(Dnd::NotListed)));

    let (_server, client) = canned("exophones");
    // A sender of text messages is no ExoPhone.
    let [phone] = &client.exophones().await.expect("exophones")[..] else { panic!("not one") };
    assert_eq!((phone.sid.as_str(), &phone.number), ("e1", &number(EXOPHONE)));
    let (_server, client) = canned("exophones_v1");
    let [phone] = &client.exophones().await.expect("exophones")[..] else { panic!("not one") };
    assert_eq!((phone.label.as_deref(), &phone.number), (Some("Sales"), &number(EXOPHONE)));

    let (_server, client) = canned("users");
    let [user] = &client.users(&Who::Everybody).await.expect("users")[..] else { panic!("not one") };
    assert_eq!((user.id.as_str(), user.active_call.as_deref()), ("u1", Some("c1")));
    assert_eq!(user.last_login, Some("2022-11-03T17:24:40Z".parse().unwrap()));
    let [mobile, web] = user.devices.as_slice() else { panic!("{user:?}") };
    assert_eq!((mobile.id.as_str(), mobile.available, &mobile.status), ("5", true, &Some(DeviceStatus::Busy)));
    assert_eq!((&web.contact, web.available), (&Some(Party::Sip("sip:avnish1".to_owned())), false));

    for name in ["sms", "sms_list", "sms_bare_list"] {
        let (_server, client) = canned(name);
        let sms = client.sms("s1").await.expect(name);
        assert_eq!((sms.sid.as_str(), sms.status, sms.detail_code), ("s1", SmsStatus::Sent, Some(20_005)), "{name}");
    }

    let (_server, client) = canned("heartbeat");
    let heartbeat = client.heartbeat("e1").await.expect("a heartbeat");
    assert_eq!(heartbeat.incoming.map(|line| line.status), Some(LineStatus::Active));
    let outgoing = heartbeat.outgoing.expect("a line");
    assert_eq!((outgoing.status, outgoing.instead), (LineStatus::MajorOutage, Some(number("+918030754891"))));
}

#[tokio::test]
async fn an_answer_in_xml_is_kept_as_the_json_the_reader_of_the_journal_knows() {
    let (server, client) = rig();
    let mut call = SimulatedCall::new("c1", "09052138847", "08030754890", Timestamp::now() - Duration::from_secs(600));
    call.ended_at = Some(call.started_at + Duration::from_secs(30));
    call.talk_seconds = 20;
    server.with(|exotel| exotel.add_call(call));
    let locale = Locale { utc_offset: Offset::UTC, country: "IN".to_owned(), recording_origins: Vec::new() };
    let mut facts = Vec::new();
    for xml in [false, true] {
        server.with(|exotel| exotel.settings.always_xml = xml);
        let Ok(Told::Call(body)) = client.told("c1").await else { panic!("no call") };
        let receipt = Receipt {
            id: Uuid::nil(),
            account: SID.to_owned(),
            hook: Hook::Details,
            received_at: Timestamp::now(),
            method: "GET".to_owned(),
            path: "/v1/Accounts/acme1/Calls/c1.json".to_owned(),
            query: "details=true".to_owned(),
            content_type: Some("application/json".to_owned()),
            body: body.to_vec(),
        };
        let mut event = normalise(&receipt, &locale).expect("readable");
        event.facts.other.clear();
        assert_eq!((event.facts.conversation_seconds, event.facts.legs.len()), (Some(20), 2), "xml {xml}");
        facts.push(event.facts);
    }
    assert_eq!(facts[0], facts[1]);
}

#[tokio::test]
async fn devices_are_switched_and_refusals_have_their_code_wherever_they_stand() {
    let device = |id: &str, contact: &str, available, verified| HeldDevice {
        id: id.to_owned(),
        contact: contact.to_owned(),
        available,
        verified,
        busy: false,
    };
    for errors_inside in [false, true] {
        let (server, client) = rig();
        server.with(|exotel| {
            exotel.settings.errors_inside = errors_inside;
            for n in 0..120 {
                exotel.users_mut().push(HeldUser {
                    id: format!("u{n}"),
                    name: "Avnish Sharma".to_owned(),
                    email: format!("a{n}@example.com"),
                    active_call: None,
                    devices: vec![
                        device("d1", &format!("+9198765{n:05}"), true, true),
                        device("d2", "sip:avnish1", false, true),
                        device("d3", "+919711581199", false, false),
                    ],
                });
            }
        });
        assert_eq!(client.users(&Who::Everybody).await.expect("users").len(), 120);
        assert_eq!(client.users(&Who::Email("A7@example.com".to_owned())).await.expect("users")[0].id, "u7");
        let contact = Who::Contact(number("+919876500009").into());
        assert_eq!(client.users(&contact).await.expect("users")[0].id, "u9");

        let code = |done: Result<(), ExotelError>| match done {
            Err(ExotelError::Refused { code, .. } | ExotelError::NotFound { code, .. }) => code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code(client.switch_device("u1", "d2", true).await), Some(10_810));
        assert_eq!(code(client.switch_device("u1", "d3", true).await), Some(10_809));
        assert_eq!(code(client.switch_device("nobody", "d1", true).await), Some(10_731));
        let sip = client.change_contact("u1", "d2", &number(AGENT).into()).await;
        assert_eq!(code(sip), Some(10_817));
        client.switch_device("u1", "d1", false).await.expect("off");
        client.switch_device("u1", "d2", true).await.expect("on");
        let devices = client.users(&Who::Email("a1@example.com".to_owned())).await.expect("users").remove(0).devices;
        assert_eq!(devices.iter().map(|device| device.available).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(server.with(|exotel| exotel.surprises().count()), 0);
    }
}

#[tokio::test]
async fn numbers_exophones_lines_and_messages_are_asked_for_as_documented() {
    let (server, client) = rig();
    server.with(|exotel| {
        for n in 0..70 {
            exotel.add_exophone(&format!("x{n}"), &format!("+9180307{n:05}"));
        }
        exotel.settings.do_not_disturb.insert("09052138847".to_owned());
        exotel.exophones_mut()[0].outgoing = "major_outage".to_owned();
    });
    let facts = client.number_facts(&number(CUSTOMER)).await.expect("facts");
    assert_eq!((facts.kind, facts.dnd), (Some(NumberKind::Mobile), Some(Dnd::Listed)));
    assert_eq!(client.exophones().await.expect("exophones").len(), 71);
    client.point_exophone("e1", "77").await.expect("pointed");
    let url = client.exophones().await.expect("exophones").remove(0).voice_url.expect("a flow");
    assert!(url.ends_with("/acme1/exoml/start_voice/77"), "{url}");
    let heartbeat = client.heartbeat("e1").await.expect("a heartbeat");
    assert_eq!(heartbeat.outgoing.map(|line| line.status), Some(LineStatus::MajorOutage));
    assert!(matches!(client.heartbeat("nobody").await, Err(ExotelError::NotFound { code: Some(1000), .. })));

    for as_list in [false, true] {
        server.with(|exotel| exotel.settings.sms_as_list = as_list);
        let sms = Sms {
            from: "ACMEIN".to_owned(),
            to: vec![number(CUSTOMER), number(AGENT)],
            body: "नमस्ते".to_owned(),
            kind: Some(SmsKind::Transactional),
            entity: Some("1".to_owned()),
            template: Some("2".to_owned()),
            custom_field: Some("m".to_owned()),
            callback: Some(StatusCallback { url: "https://calls.test/sms".to_owned(), answered: false }),
        };
        let sent = client.send_sms(&sms).await.expect("sent");
        assert_eq!(sent.iter().map(|one| &one.status).collect::<Vec<_>>(), [&SmsStatus::Queued, &SmsStatus::Queued]);
        assert_eq!(client.sms(&sent[1].sid).await.expect("the message").to, Some(number(AGENT).into()));
        let one = Sms { to: vec![number(CUSTOMER)], body: "Hello".to_owned(), ..sms };
        assert_eq!(client.send_sms(&one).await.expect("sent").len(), 1);
        assert!(!format!("{one:?}").contains("Hello"));
    }
    assert_eq!(server.with(|exotel| exotel.surprises().count()), 0);
}

// ---- What nobody may see ----------------------------------------------------------------------------------------------

#[tokio::test]
async fn no_debug_and_no_error_shows_a_number_or_a_credential() {
    let (server, client) = rig();
    let call = connect();
    let dialled = client.connect(&call).await;
    let wrong = Connect { caller_id: number("+918041111111"), ..connect() };
    let refused = client.connect(&wrong).await;
    let gone = client_with("http://127.0.0.1:9", "k3y", PerMinute::PUBLISHED).connect(&call).await;
    let sid = placed(dialled.clone()).sid;
    let filter = CallFilter { from: vec![number(AGENT)], ..CallFilter::default() };
    let mut pages = client.calls_between(Timestamp::now() - SignedDuration::from_mins(1), Timestamp::now(), filter);
    let page = pages.next().await;
    assert_eq!(page.as_ref().and_then(|page| page.as_ref().ok()).map(|page| page.calls.len()), Some(1));
    let told = (client.told(&sid).await, client.active_legs(&sid).await, client.exophones().await);
    assert!(told.0.is_ok() && told.1.is_ok() && told.2.is_ok(), "{told:?}");
    let shown = format!("{client:?} {call:?} {dialled:?} {refused:?} {gone:?} {pages:?} {page:?} {told:?}");
    for secret in ["9876530240", "9052138847", "8030754890", "8041111111", "hook5ecret", "k3y", "t0ken"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    drop(server);
}
