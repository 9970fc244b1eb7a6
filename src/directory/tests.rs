//! Agents are checked, found by number and e-mail, and changed on a version: of two who change at once one is told.

use serde_json::{Value, json};

use super::{
    Source,
    agent::{Agent, Patch, Place, Profile, difference},
    kept::List,
    roster::Roster,
    sync::{self, From, Listed, Synced, Unmatched},
    table::{self, ImportError, Table},
};

fn place() -> Place {
    let integrations = vec!["support".to_owned(), "crm".to_owned()];
    Place { sid: "acme1".to_owned(), country: "IN".to_owned(), integrations }
}

fn patch(value: Value) -> Patch {
    serde_json::from_value(value).expect("a patch")
}

fn made(value: Value) -> Profile {
    patch(value).onto(&Profile::default(), &place()).expect("an agent")
}

fn problems(value: Value) -> Vec<String> {
    let refused = patch(value).onto(&Profile::default(), &place()).expect_err("refused");
    refused.into_iter().map(|problem| problem.field).collect()
}

#[test]
fn an_agent_is_checked_and_written_one_way() {
    let agent = made(json!({
        "name": " Avnish ", "number": "097115 81199", "email": "avnish@example.com", "caller_id": "08047494574",
        "click_to_call": true, "crm_user": { "support": 81_007_555_518_u64, "crm": "x7" }
    }));
    assert_eq!(agent.name.as_deref(), Some("Avnish"));
    assert_eq!(agent.number.as_deref(), Some("+919711581199"));
    assert_eq!(agent.caller_id.as_deref(), Some("+918047494574"));
    assert_eq!(agent.crm_user["support"], "81007555518");
    assert_eq!(made(json!({ "number": "sip:Alice" })).number.as_deref(), Some("sip:Alice"));
    // What is not named stays, null and nothing take away.
    let was = agent.clone();
    let now = patch(json!({ "name": null, "caller_id": " ", "crm_user": { "crm": null } })).onto(&was, &place());
    let now = now.expect("an agent");
    assert_eq!((now.name, now.caller_id, now.crm_user.len()), (None, None, 1));
    assert_eq!((now.number, now.email, now.click_to_call), (was.number, was.email, true));
}

#[test]
fn everything_that_is_wrong_with_an_agent_is_told() {
    let all = json!({
        "number": "12", "email": "nobody", "caller_id": "sip:x", "name": "a\nb", "crm_user": { "nowhere": "1" }
    });
    assert_eq!(problems(all), ["name", "number", "email", "caller_id", "crm_user.nowhere"]);
    assert_eq!(problems(json!({ "email": "a@example.com", "click_to_call": true })), ["click_to_call"]);
    assert_eq!(problems(json!({ "name": "Nobody" })), ["number"]);
    for number in ["sip:", "sip:a b", "sip:ä", "abc", "+91 12"] {
        assert_eq!(problems(json!({ "number": number })), ["number"], "{number}");
    }
    for email in ["a", "@b", "a@", "a@b@c", "a b@c", &format!("{}@example.com", "x".repeat(250))] {
        assert_eq!(problems(json!({ "email": email })), ["email"], "{email}");
    }
    assert!(serde_json::from_value::<Patch>(json!({ "phone": "1" })).is_err(), "a key that is none is told");
}

#[test]
fn the_log_says_what_changed_and_no_whole_number() {
    let was = made(json!({ "number": "+919711581199", "email": "a@example.com" }));
    // Masked, these two are one.
    let now = Profile { number: Some("+919722581199".to_owned()), click_to_call: true, ..was.clone() };
    let told = difference(Some(&was), Some(&now));
    assert_eq!(told, json!({ "number": "+91******1199", "click_to_call": true }));
    assert_eq!(difference(None, Some(&was)), json!({ "number": "+91******1199", "email": "a@example.com" }));
    assert_eq!(difference(Some(&was), None), json!({ "number": null, "email": null }));
    assert_eq!(difference(Some(&was), Some(&was)), json!({}));
}

#[test]
fn a_number_is_one_agents() {
    let roster = Roster::of([made(json!({ "number": "+919711581199" })), made(json!({ "number": "sip:Alice" }))]);
    let with = |number: &str| Profile { number: Some(number.to_owned()), ..Profile::default() };
    assert!(roster.free(None, &with("+919711581199")).is_err() && roster.free(None, &with("sip:alice")).is_err());
    assert!(roster.free(Some("0"), &with("+919711581199")).is_ok(), "his own");
    assert!(roster.free(Some("1"), &with("+919711581199")).is_err());
    assert!(roster.free(None, &with("+919711581198")).is_ok() && roster.free(None, &Profile::default()).is_ok());
    let told = roster.free(None, &with("+919711581199")).expect_err("taken").to_string();
    assert!(!told.contains("9711581199"), "{told}");
}

#[test]
fn of_two_with_one_number_the_files_counts() {
    let mut roster = Roster::default();
    for (id, source, email) in [("a", Source::File, "file@example.com"), ("b", Source::Store, "store@example.com")] {
        let profile = made(json!({ "number": "+919711581199", "email": email }));
        roster.put(Agent { id: id.to_owned(), source, version: 1, profile, updated_at: None });
    }
    let roster = roster.settled();
    let email = roster.mapping().of("09711581199", "IN").and_then(|mapped| mapped.email.as_deref());
    assert_eq!(email, Some("file@example.com"));
}

#[test]
fn a_number_that_stands_in_the_file_twice_is_one_agent() {
    let text = r#"
        [[account]]
        sid = "acme1"
        api_key = "k"
        api_token = "t"
        [[account.integration]]
        connector = "freshdesk"
        name = "crm"
        base_url = "http://127.0.0.1:1"
        api_key = "x"
        [[account.agent]]
        number = "09945476362"
        email = "a@example.com"
        click_to_call = true
        [[account.agent]]
        number = "+919945476362"
        crm_user = { crm = "77" }
    "#;
    let config = crate::config::parse("test", text, &Default::default()).expect("a configuration");
    let agents = super::account_file(&config.accounts[0]);
    let profile = Profile {
        number: Some("+919945476362".to_owned()),
        email: Some("a@example.com".to_owned()),
        click_to_call: true,
        crm_user: [("crm".to_owned(), "77".to_owned())].into(),
        ..Profile::default()
    };
    assert_eq!(agents.into_iter().map(|agent| agent.profile).collect::<Vec<_>>(), [profile]);
}

fn listed(id: &str, email: Option<&str>, numbers: &[&str]) -> Listed {
    Listed {
        id: id.to_owned(),
        name: format!("User {id}"),
        email: email.map(str::to_owned),
        numbers: numbers.iter().map(|&number| number.to_owned()).collect(),
        active: true,
    }
}

fn sync(roster: &Roster, from: &From, listed: &[Listed]) -> (Synced, Roster) {
    let (synced, steps) = sync::plan(roster, &place(), from, listed);
    let mut after = roster.clone();
    for step in steps {
        after.take(step, jiff::Timestamp::UNIX_EPOCH);
    }
    (synced, after.settled())
}

fn reasons(synced: &Synced) -> Vec<(&str, &str)> {
    let named = synced.unmatched.iter().map(|unmatched| match unmatched {
        Unmatched::User { user, reason, .. } => (user.as_str(), reason.as_str()),
        Unmatched::Agent { agent, reason, .. } => (agent.as_str(), reason.as_str()),
    });
    named.collect()
}

#[test]
fn users_are_matched_by_id_then_email_then_number_and_the_rest_is_named() {
    let roster = Roster::of([
        made(json!({ "number": "+919711581190", "crm_user": { "crm": "1" }, "email": "b@example.com" })),
        made(json!({ "email": "B@example.com" })),
        made(json!({ "number": "+919711581192" })),
        made(json!({ "email": "two@example.com", "number": "+919711581193" })),
        made(json!({ "email": "two@example.com", "number": "+919711581194" })),
        made(json!({ "number": "+919711581195" })),
        made(json!({ "number": "+919711581196", "crm_user": { "crm": "gone" } })),
    ]);
    let off = Listed { active: false, ..listed("8", Some("off@example.com"), &[]) };
    let users = [
        listed("2", Some("c@example.com"), &["09711581192"]),
        listed("1", Some("x@example.com"), &["+919711581195"]),
        listed("3", Some("two@example.com"), &[]),
        listed("4", None, &["+919711581193", "+919711581194"]),
        listed("5", None, &[]),
        listed("6", Some("new@example.com"), &["garbage", "+91 97115 81199"]),
        listed("7", Some("newer@example.com"), &["09711581199"]),
        off,
        listed("9", Some("numberless@example.com"), &[]),
    ];
    let crm = From::Integration("crm".to_owned());
    let (synced, after) = sync(&roster, &crm, &users);
    let matched: Vec<_> = synced.matched.iter().map(|one| (one.agent.as_str(), one.user.as_str(), one.by)).collect();
    assert_eq!(matched, [("0", "1", sync::By::Id), ("2", "2", sync::By::Number)]);
    let added: Vec<_> = synced.added.iter().map(|one| (one.user.as_str(), one.needs_number)).collect();
    assert_eq!(added, [("6", false), ("9", true)]);
    let reasons = reasons(&synced);
    let told = |id: &str| reasons.iter().find(|(who, _)| *who == id).map_or("", |(_, reason)| reason);
    for (id, part) in [
        ("3", "2 agents have this user's e-mail"),
        ("4", "several agents"),
        ("5", "neither e-mail nor number"),
        ("7", "another user of this list"),
        ("8", "deactivated"),
        // Of ours.
        ("3", "somebody else, or could not be matched"),
        ("5", "somebody else, or could not be matched"),
        ("6", "not there any more"),
    ] {
        assert!(reasons.iter().any(|(who, reason)| *who == id && reason.contains(part)), "{id}: {part}: {reasons:?}");
    }
    assert!(told("1").contains("nobody there"), "{reasons:?}");
    let two = after.find("2").expect("there");
    assert_eq!((two.profile.crm_user["crm"].as_str(), two.profile.email.as_deref()), ("2", Some("c@example.com")));
    assert_eq!(two.profile.number.as_deref(), Some("+919711581192"), "what was there stays");
    assert_eq!(after.with_number("+919711581199").map(|agent| agent.profile.crm_user["crm"].as_str()), Some("6"));
    // Once more: all who were found are known by id, and nothing is made twice.
    let (again, _) = sync(&after, &crm, &users);
    assert_eq!(again.matched.len(), 4);
    assert!(again.added.is_empty() && again.matched.iter().all(|one| one.by == sync::By::Id && one.changed.is_empty()));
}

#[test]
fn what_somebody_mapped_is_not_overruled() {
    let roster = Roster::of([
        made(json!({ "email": "a@example.com", "crm_user": { "crm": "1" } })),
        made(json!({ "email": "b@example.com" })),
    ]);
    let crm = From::Integration("crm".to_owned());
    let users = [listed("2", Some("a@example.com"), &[]), listed("1", Some("b@example.com"), &[])];
    let (synced, after) = sync(&roster, &crm, &users);
    assert_eq!(synced.matched.len(), 1, "{synced:?}");
    assert!(reasons(&synced).iter().any(|(who, why)| *who == "2" && why.contains("already")), "{synced:?}");
    assert_eq!(after.find("0").map(|agent| agent.profile.crm_user["crm"].as_str()), Some("1"));
}

#[test]
fn exotels_users_are_known_by_their_own_id_and_the_file_is_not_touched() {
    let mut roster = Roster::of([made(json!({ "email": "a@example.com" }))]);
    let profile = made(json!({ "number": "+919711581199" }));
    roster.put(Agent { id: "f".to_owned(), source: Source::File, version: 0, profile, updated_at: None });
    let users = [listed("u1", Some("a@example.com"), &["sip:a1"]), listed("u2", None, &["09711581199"])];
    let (synced, after) = sync(&roster.settled(), &From::Exotel, &users);
    let agent = after.find("0").expect("there");
    assert_eq!((agent.profile.exotel_user.as_deref(), agent.profile.number.as_deref()), (Some("u1"), Some("sip:a1")));
    assert!(reasons(&synced).iter().any(|(who, why)| *who == "u2" && why.contains("read-only")), "{synced:?}");
    assert!(!reasons(&synced).iter().any(|(who, _)| *who == "f"), "he is told of once: {synced:?}");
    assert_eq!(after.find("f").and_then(|agent| agent.profile.exotel_user.as_deref()), None);
}

proptest::proptest! {
    #[test]
    fn any_cell_is_harmless_and_comes_back(cell in "['=+\\-@\t\r\na-z0-9,\" ]{0,8}") {
        let out = table::neutral(&cell);
        proptest::prop_assert!(!out.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']), "{out:?}");
        proptest::prop_assert_eq!(table::plain(&out), cell);
    }
}

#[test]
fn a_table_comes_back_as_it_went() {
    let agents = [
        made(json!({ "number": "+919711581199", "name": "=HYPERLINK(\"x\")", "caller_id": "+918047494574" })),
        made(json!({ "number": "sip:Alice", "name": "Zoë, \"Z\"", "email": "z@example.com", "click_to_call": true,
            "crm_user": { "support": "-1" } })),
    ];
    let bytes = table::write(&Roster::of(agents.clone()), &place());
    let text = String::from_utf8(bytes.clone()).expect("UTF-8");
    assert!(text.contains("'+919711581199") && text.contains("'=HYPERLINK") && text.contains("'-1"), "{text}");
    for (start, encoded) in [(&b""[..], bytes.clone()), (b"\xef\xbb\xbf", bytes)] {
        let table = Table::read(&[start, &encoded].concat(), &place()).expect("a table");
        let read: Vec<Profile> = (0..table.rows.len())
            .map(|at| table.row(at).expect("a row").patch.onto(&Profile::default(), &place()).expect("an agent"))
            .collect();
        assert_eq!(read, agents, "{text}");
    }
}

#[test]
fn a_file_that_is_no_table_of_agents_is_refused_with_its_reason() {
    let read = |bytes: &[u8]| Table::read(bytes, &place()).map(|table| table.rows.len());
    assert_eq!(read(b""), Err(ImportError::Empty));
    assert_eq!(read(b"number\n\xff\n"), Err(ImportError::Encoding));
    assert!(matches!(read(b"number,phone\n"), Err(ImportError::Column(column, _)) if column == "phone"));
    assert_eq!(read(b"number,Number\n"), Err(ImportError::Twice("number".to_owned())));
    assert_eq!(read(b"name\nx\n"), Err(ImportError::Nobody));
    let long: String = "email\n".to_owned() + &"a@example.com\n".repeat(table::ROWS + 1);
    assert_eq!(read(long.as_bytes()), Err(ImportError::TooLong));
    // A result can be mended and sent in again.
    assert_eq!(read(b"row,result,reason,number,crm_user.crm\n2,refused,x,'+919711581199,7\n"), Ok(1));
}

#[test]
fn a_row_is_told_what_is_wrong_with_it() {
    let table = Table::read(b"number,click_to_call\n1\n1,maybe\n", &place()).expect("a table");
    assert!(table.row(0).err().is_some_and(|error| error.contains("1 cells")));
    assert!(table.row(1).err().is_some_and(|error| error.contains("yes or no")));
}
