//! A caller on the line is put through to his owner, whatever the CRM does meanwhile.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use patchbay_sandbox::{
    Fault, Faults, On, Server,
    hubspot::{HubSpot, Kind},
    leadsquared::LeadSquared,
};
use serde_json::{Value, json};

use crate::rig::{Call, KEY, Rig, SID, TOKEN};

const HS_TOKEN: &str = "pat-eu1-test-77ab01c2";
pub(crate) const OWNER: &str = "+919945476362";
/// The deadline of the configuration, and what the way there and back may take on a busy machine.
const SOON: Duration = Duration::from_millis(400 + 2000);
/// A CRM that is slow is slower than that.
const LATE: Duration = Duration::from_millis(4000);

/// A rig with a HubSpot that knows the first call's caller, and whose owner's number the user mapping has.
pub(crate) fn with_owners(context: Option<String>) -> (Rig, Server<HubSpot>) {
    let mut rig = Rig::new();
    rig.env.extend(context.map(|url| ("PATCHBAY__CONTEXT__URL".to_owned(), url)));
    // Nothing but dial-whom is to reach HubSpot while a test runs.
    rig.extra = "[enquiry]\nschedule = [\"10m\"]".to_owned();
    let mut hubspot = HubSpot::prepared(HS_TOKEN);
    let owner = hubspot.add_owner("Rahil Mohammed", "rahil@example.com");
    let caller = format!("+91{}", &Call::new(1).from[1..]);
    hubspot.add(Kind::Contacts, &[("phone", &caller), ("hubspot_owner_id", &owner.id), ("email", "a@example.com")]);
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let hubspot = Server::start(loopback, hubspot, Faults::none()).expect("the HubSpot sandbox starts");
    rig.account = "open_hooks = [\"leadsquared\"]".to_owned();
    rig.integration = format!(
        "[[account.integration]]\nconnector = \"hubspot\"\nname = \"crm\"\nbase_url = \"{}\"\n\
         access_token = \"{HS_TOKEN}\"\n[[account.agent]]\nnumber = \"099454 76362\"\n\
         crm_user = {{ crm = \"{}\" }}",
        hubspot.url(),
        owner.id
    );
    // Longer than a caller waits, so that what was too slow for one is there for the next.
    rig.env.push(("PATCHBAY__HOOKS__ANSWER_DEADLINE".to_owned(), "400ms".to_owned()));
    rig.env.push(("PATCHBAY__DELIVERY__REQUEST_TIMEOUT".to_owned(), "10s".to_owned()));
    rig.start();
    (rig, hubspot)
}

/// Asks whom to dial; the answer comes in time, is a 200, and is this.
pub(crate) async fn whom(rig: &Rig, call: &Call) -> String {
    let path = format!(
        "/v1/leadsquared/inbound/call/dialwhom?AccSid={SID}&CallSid={}&CallFrom={}&CallStatus=ringing",
        call.sid, call.from
    );
    let began = Instant::now();
    let reply = rig.http.get(rig.url(&path)).send().await.expect("an answer");
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.headers()["content-type"], "text/plain");
    let numbers = reply.text().await.expect("a body");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_is_dialled_as_the_crm_says_or_last_said() {
    let (rig, hubspot) = with_owners(None);
    let (known, unknown) = (Call::new(1), Call::new(2));
    let search = || On::exactly(http::Method::POST, "/crm/v3/objects/contacts/search");

    // The first time ever, and HubSpot is slow: nobody is dialled. The question goes on.
    hubspot.faults().push(search(), Fault::StallAfter(Duration::from_millis(900)));
    assert_eq!(whom(&rig, &known).await, "");
    rig.until_async("the late answer is remembered", async || {
        hubspot.faults().push(search(), Fault::StallAfter(LATE));
        whom(&rig, &known).await == OWNER
    })
    .await;

    assert_eq!(whom(&rig, &unknown).await, "");
    hubspot.faults().clear();
    hubspot.faults().go_down();
    assert_eq!(whom(&rig, &known).await, OWNER);
    assert_eq!(whom(&rig, &unknown).await, "");
    hubspot.faults().lift();

    // The canonical path, by Exotel's credential: the same answer for every CRM, and the call is heard of.
    let path = |sid: &str| format!("/v2/accounts/{SID}/dialwhom?CallSid={sid}&CallFrom={}", known.from);
    let fresh = Call::new(3);
    let reply = rig.http.get(rig.url(&path(&fresh.sid))).basic_auth(KEY, Some(TOKEN)).send().await.expect("an answer");
    assert_eq!((reply.status().as_u16(), reply.text().await.expect("a body").as_str()), (200, OWNER));
    let reply = rig.http.get(rig.url(&path(&fresh.sid))).send().await.expect("an answer");
    assert_eq!(reply.status(), 401);
    rig.until_async("the call is heard of", async || {
        rig.get(&format!("/api/v1/accounts/{SID}/calls/{}", fresh.sid)).await.0 == 200
    })
    .await;

    // The form follows the applet's version.
    for (version, destination) in [("1.0", json!({ "numbers": [OWNER] })), ("1.1", json!([{ "contact_uri": OWNER }]))] {
        let path = format!("/v1/leadssquared/mobile/{SID}/dialwhom?CallSid={}&From={}", known.sid, known.from);
        let reply = rig.http.get(rig.url(&path)).header("Exotel-Version", version).send().await.expect("an answer");
        assert_eq!(reply.headers()["content-type"], "application/json");
        let told: Value = serde_json::from_str(&reply.text().await.expect("a body")).expect("JSON");
        assert_eq!(told["destination"], destination);
    }
    assert!(!rig.logs().iter().any(|line| line.contains("9945476362") || line.contains(HS_TOKEN)));
}

#[tokio::test(flavor = "multi_thread")]
async fn leadsquared_is_asked_by_its_call_route() {
    let mut rig = Rig::new();
    rig.extra = "[enquiry]\nschedule = [\"10m\"]".to_owned();
    rig.account = "open_hooks = [\"leadsquared\"]".to_owned();
    let mut crm = LeadSquared::new("lsq-access", "lsq-secret", "orgkey");
    let [route, popup, log] = ["LeadRouteV2", "AgentPopup", "LogCallComplete"].map(|name| crm.path(name));
    let user = crm.add_user("Rahil Mohammed", "rahil@example.com");
    crm.change_user(&user, |user| user.phone_main = Some("+91-9945476362".to_owned()));
    crm.add_lead_with(|lead| {
        lead.owner = user.clone();
        lead.fields.insert("Phone".to_owned(), format!("+91-{}", &Call::new(1).from[1..]));
    });
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let crm = Server::start(loopback, crm, Faults::none()).expect("the LeadSquared sandbox starts");
    rig.integration = format!(
        "[[account.integration]]\nconnector = \"leadsquared\"\nbase_url = \"{}\"\n\
         call_route_url = \"https://telephony.example{route}\"\nagent_popup_url = \"https://telephony.example{popup}\"\n\
         call_log_url = \"https://telephony.example{log}\"",
        crm.url()
    );
    rig.start();
    assert_eq!(whom(&rig, &Call::new(1)).await, OWNER);
    assert_eq!(whom(&rig, &Call::new(2)).await, "");
    crm.faults().go_down();
    assert_eq!(whom(&rig, &Call::new(1)).await, OWNER);
    assert_eq!(whom(&rig, &Call::new(2)).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_caller_costs_the_crm_nothing() {
    let (rig, hubspot) = with_owners(None);
    let before = hubspot.request_count();
    for from in ["sip:alice", "anonymous", ""] {
        let call = Call { from: from.to_owned(), ..Call::new(3) };
        assert_eq!(whom(&rig, &call).await, "");
    }
    assert_eq!(hubspot.request_count(), before);
}
