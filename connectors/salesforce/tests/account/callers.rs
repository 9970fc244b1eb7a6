//! Callers: where they are found, in which order, and how they are made.

use super::*;

#[test]
fn callers_are_found_in_the_order_of_the_objects() {
    let mut line = line(|settings| {
        list(
            settings,
            "object_priority",
            &["Case.Subject(SuppliedPhone)", "Lead", "Opportunity", "Account", "Contact(HomePhone)"],
        );
    });
    let add =
        |line: &mut Line<Salesforce>, object: &str, values: serde_json::Value| line.sandbox.add_record(object, values);
    let at = |day: &str| format!("2026-01-{day}T00:00:00.000+0000");
    let account = add(&mut line, "Account", json!({"Name": "A", "Phone": "98765 43210", "LastModifiedDate": at("09")}));
    assert!(find(&mut line).is_empty(), "this writing is for the search");
    line.sandbox.set(&account, "Phone", json!("+919876543210"), sample::NOW);
    add(&mut line, "Opportunity", json!({"Name": "closed", "StageName": "Closed Won", "AccountId": account}));
    let deal = add(&mut line, "Opportunity", json!({"Name": "deal", "StageName": "New", "AccountId": account}));
    add(&mut line, "Lead", json!({"LastName": "converted", "Phone": "9876543210", "IsConverted": true}));
    let older =
        add(&mut line, "Lead", json!({"LastName": "older", "Phone": "9876543210", "LastModifiedDate": at("01")}));
    let newer = add(
        &mut line,
        "Lead",
        json!({"LastName": "newer", "MobilePhone": "09876543210", "LastModifiedDate": at("02")}),
    );
    add(&mut line, "Contact", json!({"LastName": "elsewhere", "Phone": "9876543210"}));
    let found = find(&mut line);
    let ids: Vec<&str> = found.iter().map(|one| one.at.id.as_str()).collect();
    assert_eq!(ids, [newer.as_str(), &older, &deal, &account]);
    assert_eq!(found[2].numbers, ["+919876543210"], "by its account");
    // The core takes whom was changed last: that must be one of the first object.
    let latest = found.iter().max_by_key(|one| one.updated_at).unwrap();
    assert_eq!(latest.at, RecordRef::new("lead", &newer));
    assert!(latest.updated_at.is_some());

    let case = add(&mut line, "Case", json!({"Subject": "Broken", "SuppliedPhone": "919876543210"}));
    let first = find(&mut line).remove(0);
    assert_eq!((first.at, first.name.as_str()), (RecordRef::new("case", case), "Broken"));
    assert!(labels(&line).iter().all(|label| *label == "contact.find") && line.sent().len() == 3, "one request each");
}

/// The search knows pieces of numbers, and not at once.
#[test]
fn the_search_finds_writings_that_no_query_asks_for() {
    let mut line = line(|_| {});
    let odd = line.sandbox.add_record("Contact", json!({"LastName": "Odd", "Phone": "(+91) 98765-43210"}));
    line.sandbox.add_record("Contact", json!({"LastName": "Longer", "Phone": "98765 43210 9"}));
    let fresh = line.sandbox.add_contact("Fresh", "9876543210", sample::NOW);
    let search = |line: &mut Line<Salesforce>| {
        let exchange = connector(line).contacts().unwrap().search(&sample::number()).unwrap();
        line.run(exchange).unwrap().into_iter().map(|one| one.at.id).collect::<Vec<_>>()
    };
    assert_eq!(search(&mut line), std::slice::from_ref(&odd));
    line.now += Duration::from_secs(60);
    assert_eq!(search(&mut line), [odd, fresh]);

    let mut alone = self::line(|settings| {
        list(settings, "object_priority", &["Opportunity"]);
        settings.text.insert("default_object".to_owned(), "Account".to_owned());
    });
    assert_eq!(alone.run(connector(&alone).contacts().unwrap().search(&sample::number()).unwrap()), Ok(vec![]));
}

#[test]
fn the_owner_is_somebody_who_can_be_dialled() {
    let mut line = line(|_| {});
    let user = line.sandbox.add_user("Ravi", "ravi@example.com");
    line.sandbox.set(&user, "MobilePhone", json!("+919711581198"), sample::NOW);
    line.sandbox.set(&user, "Phone", json!("08012345678"), sample::NOW);
    let queue = line.sandbox.add_queue("Sales");
    let lead = line.sandbox.add_record("Lead", json!({"LastName": "L", "Phone": "9876543210", "OwnerId": queue}));
    let of = |line: &mut Line<Salesforce>| line.run(connector(line).owners().unwrap().of(&sample::number())).unwrap();
    assert_eq!(of(&mut line), None, "a queue is nobody");
    assert_eq!(find(&mut line)[0].owner, Some(RecordRef::new("queue", &queue)));
    line.sandbox.set(&lead, "OwnerId", json!(user), sample::NOW);
    let owner = Owner {
        at: Some(RecordRef::new("agent", &user)),
        numbers: vec!["+919711581198".to_owned(), "08012345678".to_owned()],
    };
    assert_eq!(of(&mut line), Some(owner));
    line.sandbox.deactivate_user(&user);
    assert_eq!(of(&mut line), None);
}

#[test]
fn a_caller_is_made_once_and_his_name_is_left_alone() {
    let mut line = line(|_| {});
    let first = make(&mut line, &sample::caller()).unwrap();
    line.sandbox.set(&first.at.id, "LastName", json!("Asha"), sample::NOW);
    let again = make(&mut line, &sample::caller()).unwrap();
    assert_eq!((again.at, again.name.as_str()), (first.at.clone(), "Asha"));
    // Converted and without the number: a new lead, as the old one takes no tasks.
    line.sandbox.set(&first.at.id, "IsConverted", json!(true), sample::NOW);
    let third = make(&mut line, &sample::caller()).unwrap();
    assert_ne!(third.at, first.at);
    assert_eq!(line.sandbox.records_of("Lead").count(), 2);
}

#[test]
fn without_its_field_a_caller_is_made_all_the_same() {
    let mut line = line(|_| {});
    line.sandbox.remove_field("Lead", "Exotel_Caller_Id__c");
    let made = make(&mut line, &sample::withheld()).unwrap();
    assert_eq!(labels(&line), ["contact.create", "contact.create"]);
    assert_eq!((made.at.kind.as_str(), made.name.as_str()), ("lead", "Unknown caller"));
    let find = connector(&line).contacts().unwrap().find_created(&sample::withheld().external_id).unwrap();
    assert_eq!(line.run(find), Ok(None));
}

#[test]
fn a_duplicate_rule_names_the_caller_or_is_told() {
    for (names_matches, number, fine) in [
        (Some("duplicateResut"), "+919876543210", true),
        (Some("duplicateResult"), "+919876543210", true),
        (None, "+919876543210", false),
    ] {
        let mut line = line(|_| {});
        line.sandbox.settings.duplicate_rule = Some(DuplicateRule { only_warns: false, names_matches });
        let lead = line.sandbox.add_record("Lead", json!({"LastName": "Asha", "Phone": number}));
        match make(&mut line, &sample::caller()) {
            Ok(contact) => assert!(fine && contact.at.id == lead && contact.name == "Asha"),
            Err(failure) => assert!(!fine && failure.kind == Kind::Conflict && failure.retry == Retry::Never),
        }
        line.sandbox.settings.duplicate_rule = Some(DuplicateRule { only_warns: true, names_matches });
        assert!(make(&mut line, &sample::caller()).is_ok(), "a rule that warns is for people");
    }
}

/// A query that failed is no caller nobody knows: he would be made a second time.
#[test]
fn one_object_that_cannot_be_read_fails_the_whole() {
    let mut line = line(|_| {});
    line.sandbox.remove_field("Account", "Phone");
    let writings = ["9876543210".to_owned()];
    let failure = line.run(connector(&line).contacts().unwrap().find(&writings)).unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Invalid, Retry::Never));
    assert!(failure.detail.contains("`Phone`") && failure.detail.contains("object_priority"), "{failure}");
}
