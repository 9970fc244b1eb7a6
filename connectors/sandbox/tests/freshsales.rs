//! The strict Freshsales, asked without a socket: what it does, and for each operation what it must refuse.

use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use patchbay_sandbox::{
    Crm, Reply, Request, Sandbox,
    freshsales::{Freshsales, Gone, JsonCalls, Limits, Person},
};
use serde_json::{Value, json};

/// 2026-01-05T06:40:00Z
const START: Timestamp = Timestamp::constant(1_767_595_200, 0);
const BOUNDARY: &str = "----x";

/// An account, and a clock that stands until it is moved.
struct Account {
    account: Freshsales,
    now: Timestamp,
    authorization: String,
    base: &'static str,
}

impl Account {
    fn new() -> Self {
        let authorization = "Token token=key".to_owned();
        Self { account: Freshsales::new("key"), now: START, authorization, base: "/crm/sales/api" }
    }

    fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    fn raw(&mut self, method: Method, target: &str, content_type: &str, body: impl Into<Bytes>) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&self.authorization).unwrap());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
        let request = Request::parse(method, &format!("{}{target}", self.base), headers, body.into());
        self.account.handle(&request, self.now)
    }

    fn get(&mut self, target: &str) -> (u16, Value) {
        parsed(self.raw(Method::GET, target, "application/json", ""))
    }

    fn post(&mut self, target: &str, body: Value) -> (u16, Value) {
        parsed(self.raw(Method::POST, target, "application/json", body.to_string()))
    }

    fn put(&mut self, target: &str, body: Value) -> (u16, Value) {
        parsed(self.raw(Method::PUT, target, "application/json", body.to_string()))
    }

    fn call(&mut self, fields: &[(&str, &str)]) -> (u16, Value) {
        let mut body = String::new();
        for (name, value) in fields {
            body.push_str(&format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"phone_call[{}\"\r\n\r\n{value}\r\n",
                name.replacen('.', "][", 1) + "]"
            ));
        }
        body.push_str(&format!("--{BOUNDARY}--\r\n"));
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        parsed(self.raw(Method::POST, "/phone_calls", &kind, body))
    }

    fn upsert(&mut self, mobile: &str, contact: Value) -> (u16, Value) {
        self.post("/contacts/upsert", json!({"unique_identifier": {"mobile_number": mobile}, "contact": contact}))
    }
}

fn parsed(reply: Reply) -> (u16, Value) {
    (reply.status.as_u16(), serde_json::from_slice(&reply.body).expect("a JSON body"))
}

/// The messages of a refusal, which must have Freshsales' form.
fn refused((status, body): (u16, Value)) -> (u16, Vec<String>) {
    assert_eq!(body["errors"]["code"], status, "{body}");
    let messages = body["errors"]["message"].as_array().expect("messages").iter();
    (status, messages.map(|message| message.as_str().expect("text").to_owned()).collect())
}

fn no(status: u16, message: &str) -> (u16, Vec<String>) {
    (status, vec![message.to_owned()])
}

fn asha(crm: &mut Account) -> u64 {
    crm.account.add_contact("Asha", "9876543210", START).parse().unwrap()
}

#[test]
fn only_the_key_opens_the_account() {
    let mut crm = Account::new();
    let basic = |pair: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
    for good in ["Token token=key".to_owned(), basic("key:X")] {
        crm.authorization = good;
        assert_eq!(crm.get("/selector/owners").0, 200);
    }
    for bad in ["Token token=other".to_owned(), "Token key".to_owned(), "Bearer key".to_owned(), basic("X:key")] {
        crm.authorization = bad;
        let (status, body) = crm.get("/selector/owners");
        assert_eq!((status, &body["login"]), (401, &json!("failed")));
    }
    crm.authorization = "Token token=key".to_owned();
    crm.account.revoke_key();
    assert_eq!(crm.get("/selector/owners").0, 401);
    crm.account.set_key("key");
    assert_eq!(crm.get("/selector/owners").0, 200);
}

#[test]
fn the_path_is_the_products_own() {
    let mut crm = Account::new();
    for unknown in ["/nothing", "/contacts/x/notes", "/contacts/1", "/notes", "/leads/70000000001"] {
        assert_eq!(refused(crm.get(unknown)), no(404, "Record not found"), "{unknown}");
    }
    assert_eq!(refused(crm.put("/phone_calls/1", json!({}))), no(404, "Record not found"), "logs cannot be changed");
    crm.base = "/api";
    assert_eq!(crm.get("/selector/owners").0, 404);
    crm.account = Freshsales::classic("key");
    assert_eq!(crm.get("/selector/owners").0, 200);
    let lead = crm.account.add_contact_with(|lead| {
        lead.is = Person::Lead;
        lead.work_number = Some("9876543210".to_owned());
    });
    let (_, found) = crm.get("/lookup?q=9876543210&f=work_number&entities=contact,lead");
    assert_eq!(found["leads"]["leads"][0]["id"], lead);
    assert_eq!(found["contacts"]["contacts"], json!([]));
    assert_eq!(crm.get(&format!("/leads/{lead}")).1["lead"]["id"], lead);
    crm.base = "/crm/sales/api";
    assert_eq!(crm.get("/selector/owners").0, 404);
}

#[test]
fn owners_are_listed_all_at_once() {
    let mut crm = Account::new();
    let ravi = crm.account.add_user("Ravi", "ravi@example.com");
    crm.account.change_user(ravi, |user| user.is_active = false);
    let (_, listed) = crm.get("/selector/owners?page=2");
    assert_eq!(listed["users"].as_array().unwrap().len(), 2);
    assert_eq!(listed["users"][1]["is_active"], false);
    crm.account.settings.lists_inactive = false;
    assert_eq!(crm.get("/selector/owners").1["users"].as_array().unwrap().len(), 1);
}

#[test]
fn a_lookup_is_for_the_very_string_in_one_field() {
    let mut crm = Account::new();
    let ravi = crm.account.add_user("Ravi", "ravi@example.com");
    let asha = crm.account.add_contact_with(|contact| {
        contact.first_name = Some("Asha".to_owned());
        contact.mobile_number = Some("+919876543210".to_owned());
        contact.work_number = Some("0802345".to_owned());
        contact.owner_id = Some(ravi);
    });
    let mut find = |query: &str| {
        let (status, found) = crm.get(&format!("/lookup?{query}"));
        assert_eq!(status, 200, "{found}");
        found
    };
    let found = find("q=%2B919876543210&f=mobile_number&entities=contact&include=owner");
    assert_eq!(found["contacts"]["contacts"][0]["id"], asha);
    assert_eq!(found["contacts"]["contacts"][0]["display_name"], "Asha");
    assert_eq!(found["users"][0]["display_name"], "Ravi");
    assert_eq!(find("q=0802345&f=work_number&entities=contact")["contacts"]["contacts"][0]["owner_id"], ravi);
    for nobody in ["q=+919876543210&f=mobile_number", "q=9876543210&f=mobile_number", "q=0802345&f=mobile_number"] {
        assert_eq!(find(&format!("{nobody}&entities=contact"))["contacts"]["contacts"], json!([]), "{nobody}");
    }
    for (bad, parameter) in [
        ("q=1&f=name&entities=contact", "Invalid value for parameter f"),
        ("q=1&entities=contact", "Invalid value for parameter f"),
        ("f=mobile_number&entities=contact", "Parameter q is missing"),
        ("q=1&f=mobile_number", "Invalid value for parameter entities"),
        ("q=1&f=mobile_number&entities=contact,lead", "Invalid value for parameter entities"),
    ] {
        assert_eq!(refused(crm.get(&format!("/lookup?{bad}"))), no(400, parameter), "{bad}");
    }
    crm.account.delete_contact(asha);
    let (_, found) = crm.get("/lookup?q=0802345&f=work_number&entities=contact");
    assert_eq!(found["contacts"]["contacts"], json!([]), "in the recycle bin");
}

#[test]
fn a_lookup_can_be_behind() {
    let mut crm = Account::new();
    crm.account.lag(Duration::from_secs(30));
    asha(&mut crm);
    let found = |crm: &mut Account| {
        let (_, found) = crm.get("/lookup?q=9876543210&f=mobile_number&entities=contact");
        found["contacts"]["contacts"].as_array().unwrap().len()
    };
    assert_eq!(found(&mut crm), 0);
    crm.pass(30);
    assert_eq!(found(&mut crm), 1);
}

#[test]
fn an_upsert_makes_one_contact_and_then_changes_it() {
    let mut crm = Account::new();
    crm.account.lag(Duration::from_secs(30));
    let (status, made) = crm.upsert("9876543210", json!({"last_name": "9876543210"}));
    assert_eq!((status, &made["contact"]["mobile_number"]), (201, &json!("9876543210")));
    let (status, again) = crm.upsert("9876543210", json!({"first_name": "Asha", "city": "Pune"}));
    assert_eq!((status, &again["contact"]["id"]), (200, &made["contact"]["id"]), "it goes by no index that lags");
    assert_eq!(again["contact"]["display_name"], "Asha 9876543210");
    let by = |field: &str, value: &str| json!({"unique_identifier": {field: value}, "contact": {"last_name": "X"}});
    assert_eq!(crm.post("/contacts/upsert", by("external_id", "exotel:withheld")).0, 201);
    assert_eq!(crm.post("/contacts/upsert", by("emails", "a@example.com")).0, 201);
    assert_eq!(crm.account.contacts().len(), 3);
}

#[test]
fn an_upsert_is_refused_for_what_it_lacks_or_has_wrong() {
    let mut crm = Account::new();
    crm.account.define_contact_field("cf_region");
    let whole = |body: Value, crm: &mut Account| refused(crm.post("/contacts/upsert", body));
    assert_eq!(whole(json!({"contact": {}}), &mut crm), no(400, "unique_identifier is missing"));
    let identifier = json!({"unique_identifier": {"mobile_number": "1"}});
    assert_eq!(whole(identifier, &mut crm), no(400, "contact is missing"));
    let number = json!({"unique_identifier": {"mobile_number": 1}, "contact": {}});
    assert_eq!(whole(number, &mut crm), no(400, "unique_identifier is invalid"));
    let name = json!({"unique_identifier": {"first_name": "A"}, "contact": {}});
    assert_eq!(whole(name, &mut crm), no(400, "first_name is not a unique field"));
    crm.account.add_contact_with(|contact| contact.email = Some("a@example.com".to_owned()));
    for (contact, message) in [
        (json!({}), "LastName can't be blank"),
        (json!({"last_name": ""}), "LastName can't be blank"),
        (json!({"last_name": "X", "work_number": 7}), "WorkNumber is invalid"),
        (json!({"last_name": "X", "owner_id": 7}), "Owner is invalid"),
        (json!({"last_name": "X", "nickname": "Y"}), "nickname is not a valid field"),
        (json!({"last_name": "X", "custom_field": {"cf_x": 1}}), "cf_x is not a valid field"),
        (json!({"last_name": "X", "custom_field": 1}), "CustomField is invalid"),
        (json!({"last_name": "X", "email": "A@example.com"}), "Email is not unique"),
    ] {
        assert_eq!(refused(crm.upsert("9876543210", contact)), no(400, message));
    }
    crm.account.require_contact_field("email");
    crm.account.require_contact_field("cf_region");
    let (status, messages) = refused(crm.upsert("9876543210", json!({"last_name": "X"})));
    assert_eq!((status, messages.len()), (400, 2), "all at once");
    assert!(messages.contains(&"Email can't be blank".to_owned()), "{messages:?}");
    assert_eq!(crm.account.contacts().len(), 1, "a refused upsert leaves nobody behind");
    let whole = json!({"last_name": "X", "email": "b@example.com", "custom_field": {"cf_region": "south"}});
    assert_eq!(crm.upsert("9876543210", whole).0, 201);
    assert_eq!(crm.upsert("9876543210", json!({"last_name": "Y"})).0, 200, "a change may leave them out");

    crm.account.settings.mobile_unique = false;
    let refusal = refused(crm.upsert("9876543210", json!({"last_name": "X"})));
    assert_eq!(refusal, no(400, "mobile_number is not a unique field"));
    let reply = crm.raw(Method::POST, "/contacts/upsert", "application/json", "{");
    assert_eq!(refused(parsed(reply)), no(400, "Invalid JSON"));
    assert_eq!(crm.raw(Method::POST, "/contacts/upsert", "text/plain", "{}").status, 415);
}

#[test]
fn a_busy_service_behind_is_told_as_a_400() {
    let mut crm = Account::new();
    crm.account.busy_upserts(1);
    let (status, messages) = refused(crm.upsert("9876543210", json!({"last_name": "X"})));
    assert!(status == 400 && messages[0].contains("429"), "{messages:?}");
    assert_eq!(crm.upsert("9876543210", json!({"last_name": "X"})).0, 201);
}

#[test]
fn a_call_log_takes_a_boolean_and_a_whole_target() {
    let mut crm = Account::new();
    let asha = asha(&mut crm);
    let id = asha.to_string();
    let target = [("targetable_type", "contact"), ("targetable.id", id.as_str())];
    let good: Vec<_> =
        [("call_direction", "true"), ("note.description", "CallSid: 1a2b")].into_iter().chain(target).collect();
    let (status, made) = crm.call(&good);
    assert_eq!((status, &made["phone_call"]["status"]), (201, &json!("incoming")));
    assert_eq!(made["phone_call"]["targetable"]["id"], asha);
    assert_eq!(made["phone_call"]["note_id"], made["notes"][0]["id"]);
    assert_eq!(made["phone_call"]["recording"], Value::Null);
    let (_, listed) = crm.get(&format!("/contacts/{asha}/notes"));
    assert_eq!(listed["notes"][0]["description"], "CallSid: 1a2b");

    let (_, word) = crm.call(&[("call_direction", "incoming")]);
    assert_eq!(word["phone_call"]["call_direction"], false, "only the boolean counts");
    let (status, half) = crm.call(&[("call_direction", "true"), ("targetable.id", &id)]);
    assert_eq!((status, &half["phone_call"]["targetable"]), (201, &Value::Null), "it takes both");
    let (_, plain) = crm.call(&[("call_direction", "true"), ("description", "x"), ("recording_url", "https://x/")]);
    assert_eq!(plain["phone_call"]["note_id"], Value::Null, "ignored");
    let before = crm.account.calls().count();
    for (bad, expected) in [
        (("note", "x"), no(500, "Something went wrong")),
        (("targetable", "x"), no(500, "Something went wrong")),
        (("targetable_type", "Contact"), no(400, "Targetable type is invalid")),
        (("targetable.id", "1"), no(404, "Record not found")),
        (("targetable.id", "x"), no(404, "Record not found")),
        (("outcome_id", "7"), no(400, "Outcome is invalid")),
    ] {
        let mut fields = vec![("call_direction", "true")];
        fields.extend(target.into_iter().filter(|(name, _)| *name != bad.0));
        fields.push(bad);
        assert_eq!(refused(crm.call(&fields)), expected, "{bad:?}");
    }
    let long = "x".repeat(65_536);
    assert_eq!(refused(crm.call(&[("note.description", &long)])), no(400, "Description is too long"));
    assert_eq!(refused(crm.call(&[])), no(400, "Bad Request"));
    assert_eq!(crm.account.calls().count(), before, "a refused log is not made");
    crm.account.add_outcome(7);
    assert_eq!(crm.call(&[("outcome_id", "7")]).1["phone_call"]["outcome_id"], 7);
}

#[test]
fn a_call_log_for_nobody_comes_to_what_the_account_makes_of_it() {
    let mut crm = Account::new();
    let asha = asha(&mut crm);
    crm.account.delete_contact(asha);
    let id = asha.to_string();
    let fields = [("targetable_type", "contact"), ("targetable.id", id.as_str())];
    crm.account.settings.gone = Gone::Invalid;
    assert_eq!(refused(crm.call(&fields)), no(400, "Targetable can't be blank"));
    crm.account.settings.gone = Gone::Dropped;
    assert_eq!(crm.call(&fields).1["phone_call"]["targetable"], Value::Null);
}

#[test]
fn json_call_logs_are_what_the_account_makes_of_them() {
    let mut crm = Account::new();
    let asha = asha(&mut crm);
    let call = json!({"call_direction": true, "targetable_type": "contact", "targetable": {"id": asha.to_string()},
        "note": {"description": "x"}});
    for body in [json!({"phone_call": call}), call.clone()] {
        let (status, made) = crm.post("/phone_calls", body);
        assert_eq!((status, &made["phone_call"]["targetable"]["id"]), (201, &json!(asha)));
    }
    assert_eq!(crm.post("/phone_calls", json!({"phone_call": {"note": "x"}})).0, 500);
    crm.account.settings.json_calls = JsonCalls::Dropped;
    let (status, made) = crm.post("/phone_calls", json!({"phone_call": call}));
    assert_eq!((status, &made["phone_call"]["targetable"]), (201, &Value::Null));
    assert_eq!((&made["phone_call"]["call_direction"], &made["phone_call"]["note_id"]), (&json!(true), &Value::Null));
    crm.account.settings.json_calls = JsonCalls::NoteFails;
    assert_eq!(crm.post("/phone_calls", json!({"phone_call": call})).0, 500);
    assert_eq!(crm.post("/phone_calls", json!({"phone_call": {"call_direction": true}})).0, 201);
}

#[test]
fn notes_are_made_changed_and_listed() {
    let mut crm = Account::new();
    let asha = asha(&mut crm);
    let note = |over: Value| {
        let mut note = json!({"description": "<b>x</b>", "targetable_type": "Contact", "targetable_id": asha});
        note.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        json!({"note": note})
    };
    let (status, made) = crm.post("/notes", note(json!({})));
    assert_eq!((status, &made["note"]["targetable_id"]), (200, &json!(asha)));
    let id = made["note"]["id"].as_u64().unwrap();
    for (over, expected) in [
        (json!({"description": ""}), no(400, "Description can't be blank")),
        (json!({"description": 7}), no(400, "Description is invalid")),
        (json!({"targetable_type": "contact"}), no(400, "Targetable type is invalid")),
        (json!({"targetable_id": 1}), no(404, "Record not found")),
        (json!({"targetable_id": asha.to_string()}), no(404, "Record not found")),
    ] {
        assert_eq!(refused(crm.post("/notes", note(over.clone()))), expected, "{over}");
    }
    assert_eq!(refused(crm.post("/notes", json!({"description": "x"}))), no(400, "note is missing"));
    let (status, changed) = crm.put(&format!("/notes/{id}"), json!({"note": {"description": "y"}}));
    assert_eq!((status, &changed["note"]["description"]), (200, &json!("y")));
    let empty = crm.put(&format!("/notes/{id}"), json!({"note": {}}));
    assert_eq!(refused(empty), no(400, "Description can't be blank"));
    assert_eq!(refused(crm.put("/notes/1", json!({"note": {"description": "y"}}))), no(404, "Record not found"));
    crm.account.change_note(id, |note| note.deleted = true);
    let gone = crm.put(&format!("/notes/{id}"), json!({"note": {"description": "y"}}));
    assert_eq!(refused(gone), no(404, "Record not found"));

    for count in 0..60 {
        crm.post("/notes", note(json!({"description": format!("note {count}")})));
    }
    let list = |crm: &mut Account, query: &str| crm.get(&format!("/contacts/{asha}/notes{query}"));
    let (_, first) = list(&mut crm, "");
    assert_eq!((first["notes"].as_array().unwrap().len(), &first["meta"]["total_pages"]), (25, &json!(3)));
    assert_eq!(first["notes"][0]["description"], "note 59", "newest first");
    assert_eq!(list(&mut crm, "?per_page=50&page=2").1["notes"].as_array().unwrap().len(), 10);
    assert_eq!(list(&mut crm, "?page=4").1["notes"], json!([]));
    assert_eq!(refused(list(&mut crm, "?page=0")), no(400, "Invalid value for parameter page"));
    crm.account.settings.pages_told = false;
    assert_eq!(list(&mut crm, "").1.get("meta"), None);
    crm.account.settings.paged = false;
    assert_eq!(list(&mut crm, "?page=2").1["notes"].as_array().unwrap().len(), 60);
    assert_eq!(refused(crm.get("/contacts/1/notes")), no(404, "Record not found"));
}

#[test]
fn the_hour_is_used_up_and_then_begins_anew() {
    let mut crm = Account::new();
    crm.account.settings.limits = Limits { per_hour: Some(2), says_when: true };
    assert_eq!((crm.get("/selector/owners").0, crm.get("/nothing").0), (200, 404), "refused ones count too");
    crm.pass(600);
    let reply = crm.raw(Method::GET, "/selector/owners", "application/json", "");
    assert_eq!(reply.headers[header::RETRY_AFTER], "3000");
    assert_eq!(refused(parsed(reply)), no(429, "Too many requests"));
    crm.account.settings.limits.says_when = false;
    let reply = crm.raw(Method::GET, "/selector/owners", "application/json", "");
    assert!(!reply.headers.contains_key(header::RETRY_AFTER));
    crm.pass(3000);
    assert_eq!(crm.get("/selector/owners").0, 200);
    assert_eq!(
        [Limits::growth(), Limits::pro(), Limits::enterprise()].map(|limits| limits.per_hour),
        [Some(1000), Some(2000), Some(5000)]
    );
}

#[test]
fn injected_faults_speak_freshsales() {
    let mut crm = Account::new();
    let request = Request::parse(Method::GET, "/", HeaderMap::new(), Bytes::new());
    let said = |crm: &Account, status| parsed(crm.account.refuse(&request, status, Some(7)));
    assert_eq!(refused(said(&crm, StatusCode::TOO_MANY_REQUESTS)), no(429, "Too many requests"));
    assert_eq!(said(&crm, StatusCode::UNAUTHORIZED).1["login"], "failed");
    crm.account.settings.message_as_text = true;
    let (_, body) = said(&crm, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body["errors"], json!({"code": 503, "message": "Service Unavailable"}));
}

#[test]
fn a_call_is_one_record_with_the_notes_that_name_it() {
    let mut crm = Account::new();
    let asha = asha(&mut crm);
    let id = asha.to_string();
    let log = |crm: &mut Account, sid: &str| {
        let text = format!("<div>CallSid : {sid}</div>");
        let target = [("targetable_type", "contact"), ("targetable.id", id.as_str())];
        let fields: Vec<_> = target.into_iter().chain([("note.description", text.as_str())]).collect();
        crm.call(&fields).1["phone_call"]["id"].as_u64().unwrap()
    };
    let first = log(&mut crm, "1a2b");
    log(&mut crm, "1a2b");
    for text in ["Recording<div>CallSid : 1a2b</div>", "about CallSid : 1a2"] {
        let note = json!({"description": text, "targetable_type": "Contact", "targetable_id": asha});
        crm.post("/notes", json!({"note": note}));
    }
    let records = crm.account.records();
    assert_eq!(records.len(), 3, "two logs of one call are two records, and the other call's note is one");
    assert!(records[0].text.contains("Recording") && !records[1].text.contains("Recording"));
    assert_eq!((records[0].contact.as_deref(), records[0].public), (Some(id.as_str()), false));
    crm.account.delete_call(first);
    assert!(crm.account.records()[0].text.contains("Recording"), "it names the one that is left");
}
