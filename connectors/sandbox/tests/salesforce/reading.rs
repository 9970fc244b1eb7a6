//! Queries, which are exact, and the search, which is behind; and several requests in one.

use super::*;

fn names(body: &Value, list: &str) -> Vec<String> {
    let records = body[list].as_array().unwrap_or_else(|| panic!("{body}"));
    records.iter().map(|record| record["Name"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_query_finds_exact_strings_at_once() {
    let mut org = Org::new();
    let account = org.create("Account", json!({"Name": "Acme", "Phone": "080"}));
    org.create("Contact", json!({"LastName": "O'Neil", "Phone": "+919876543210", "AccountId": account}));
    org.create("Contact", json!({"LastName": "Bina", "MobilePhone": "09876543210"}));
    let (_, found) = org.query(
        "SELECT Id, Name, Account.Phone FROM Contact WHERE Phone IN ('+919876543210', '09876543210') \
         OR MobilePhone IN ('+919876543210', '09876543210') ORDER BY Name",
    );
    assert_eq!(
        (names(&found, "records"), &found["totalSize"], &found["done"]),
        (vec!["Bina".to_owned(), "O'Neil".to_owned()], &json!(2), &json!(true))
    );
    assert_eq!(
        (&found["records"][1]["Account"]["Phone"], &found["records"][0]["Account"]),
        (&json!("080"), &Value::Null)
    );
    assert_eq!(names(&org.query(r"SELECT Name FROM Contact WHERE LastName = 'O\'Neil'").1, "records"), ["O'Neil"]);
    assert_eq!(names(&org.query("SELECT Name FROM Contact WHERE Account.Phone = '080'").1, "records"), ["O'Neil"]);
    assert_eq!(names(&org.query("SELECT Name FROM Contact WHERE Phone = '9876543210'").1, "records"), [""; 0]);
    assert_eq!(names(&org.query("SELECT Name FROM Contact WHERE MobilePhone LIKE '%9876%'").1, "records"), ["Bina"]);
}

#[test]
fn a_query_is_refused_for_what_it_has_wrong() {
    let mut org = Org::new();
    for (soql, code) in [
        ("SELECT Id FROM Contact WHERE LastName = 'O'Neil'", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE Name = 'a' OR Phone = 'b' AND Phone = 'c'", "MALFORMED_QUERY"),
        ("SELECT Id", "MALFORMED_QUERY"),
        ("SELECT Id FROM Nothing", "INVALID_TYPE"),
        ("SELECT Colour FROM Contact", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Colour = 'red'", "INVALID_FIELD"),
        ("SELECT Id FROM Contact WHERE Boss.Name = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM Task WHERE Description LIKE '%1a2b%'", "INVALID_FIELD"),
    ] {
        assert_eq!(refused(org.query(soql)), no(400, code), "{soql}");
    }
    assert_eq!(refused(org.get("/query")), no(400, "MALFORMED_QUERY"));
}

#[test]
fn a_query_is_paged() {
    let mut org = Org::new();
    org.salesforce.settings.query_batch = 2;
    for name in ["A", "B", "C", "D", "E"] {
        org.create("Account", json!({"Name": name}));
    }
    let (_, mut page) = org.query("SELECT Name FROM Account");
    let mut seen = names(&page, "records");
    while page["done"] == false {
        let next = page["nextRecordsUrl"].as_str().unwrap().strip_prefix(DATA).unwrap().to_owned();
        page = org.get(&next).1;
        seen.extend(names(&page, "records"));
    }
    assert_eq!(seen, ["A", "B", "C", "D", "E"]);
    for cursor in ["01gnothing-2", "x"] {
        assert_eq!(refused(org.get(&format!("/query/{cursor}"))), no(400, "INVALID_QUERY_LOCATOR"));
    }
}

#[test]
fn search_knows_pieces_of_numbers_and_is_behind() {
    let mut org = Org::new();
    let sosl = "FIND {\"98765 43210\" OR \"9876543210\"} IN PHONE FIELDS \
                RETURNING Contact(Id, Name), Lead(Id, Name WHERE IsConverted = false) LIMIT 20";
    org.create("Contact", json!({"LastName": "Spaced", "Phone": "+91 98765-43210"}));
    org.create("Lead", json!({"LastName": "Plain", "Company": "9876543210", "Phone": "9876543210"}));
    org.create("Contact", json!({"LastName": "Joined", "Phone": "+919876543210"}));
    org.create("Contact", json!({"LastName": "Named 9876543210"}));
    let converted = org.create("Lead", json!({"LastName": "Converted", "Company": "C", "Phone": "9876543210"}));
    org.salesforce.set(&converted, "IsConverted", json!(true), START);
    assert_eq!(names(&org.search(sosl).1, "searchRecords"), [""; 0], "not yet");
    org.pass(60);
    assert_eq!(names(&org.search(sosl).1, "searchRecords"), ["Spaced", "Plain"]);
    for (sosl, code) in [
        ("FIND {+919876543210} RETURNING Contact(Id)", "MALFORMED_SEARCH"),
        ("FIND {*876} RETURNING Contact(Id)", "MALFORMED_SEARCH"),
        ("FIND {9} RETURNING Contact(Id)", "MALFORMED_SEARCH"),
        ("FIND {98765} IN SOME FIELDS RETURNING Contact(Id)", "MALFORMED_SEARCH"),
        ("FIND {98765} RETURNING Nothing(Id)", "INVALID_TYPE"),
        ("FIND {98765} RETURNING Contact(Colour)", "INVALID_FIELD"),
        ("98765", "MALFORMED_SEARCH"),
    ] {
        assert_eq!(refused(org.search(sosl)), no(400, code), "{sosl}");
    }
}

#[test]
fn several_requests_in_one_fail_each_for_itself() {
    let mut org = Org::new();
    org.create("Account", json!({"Name": "Acme"}));
    let query =
        |soql: &str, name: &str| json!({"method": "GET", "referenceId": name, "url": format!("{DATA}/query?q={soql}")});
    let (status, answer) = org.post(
        "/composite",
        json!({"allOrNone": false, "compositeRequest":
            [query("SELECT+Name+FROM+Account", "a"), query("SELECT+Colour+FROM+Account", "b")]}),
    );
    assert_eq!(status, 200);
    let parts = answer["compositeResponse"].as_array().unwrap();
    assert_eq!((&parts[0]["httpStatusCode"], &parts[0]["body"]["records"][0]["Name"]), (&json!(200), &json!("Acme")));
    assert_eq!((&parts[1]["httpStatusCode"], &parts[1]["referenceId"]), (&json!(400), &json!("b")));
    assert_eq!(parts[1]["body"][0]["errorCode"], "INVALID_FIELD");

    let six: Vec<Value> = (0..6).map(|at| query("SELECT+Id+FROM+Account", &format!("q{at}"))).collect();
    for parts in [
        json!([]),
        json!(six),
        json!([query("SELECT+Id+FROM+Account", "a"), query("SELECT+Id+FROM+Account", "a")]),
        json!([query("SELECT Id FROM Account", "a")]),
        json!([{"method": "GET", "url": "/elsewhere", "referenceId": "a"}]),
        json!([{"method": "GET", "referenceId": "a"}]),
    ] {
        let answer = org.post("/composite", json!({"compositeRequest": parts}));
        assert_eq!(refused(answer), no(400, "INVALID_INPUT"), "{parts}");
    }
    assert_eq!(refused(org.post("/composite", json!({"parts": []}))), no(400, "JSON_PARSER_ERROR"));
}
