//! Reading: the search that is behind, and the query language that is not.

use http::Method;
use serde_json::{Value, json};

use super::{Org, no, refused};

fn query(org: &mut Org, text: &str) -> (u16, Value) {
    org.post("/coql", json!({"select_query": text}))
}

#[test]
fn search_is_exact_and_behind_and_a_query_is_at_once() {
    let mut org = Org::new();
    org.write(Method::POST, "/Leads", json!({"Last_Name": "A", "Mobile": "+919876543210"}));
    let search = "/Leads/search?phone=%2B919876543210";
    assert_eq!(org.get(search), (204, Value::Null));
    let (_, found) = query(&mut org, "select id, Last_Name from Leads where Mobile in ('9876543210','+919876543210')");
    assert_eq!(found["data"][0]["Last_Name"], "A");
    org.pass(60);
    assert_eq!(org.get(search).1["data"][0]["Last_Name"], "A");
    assert_eq!(org.get("/Leads/search?phone=+919876543210").0, 204, "an unencoded plus is a space");
    assert_eq!(org.get("/Leads/search?phone=9876543210").0, 204, "nothing is normalised");
    assert_eq!(refused(org.get("/Leads/search")).1, "MANDATORY_NOT_FOUND");
    assert_eq!(refused(org.get("/Leads/search?phone=1&per_page=201")).1, "INVALID_DATA");
}

#[test]
fn quotes_are_doubled_and_criteria_paired() {
    let mut org = Org::new();
    for name in ["O'Brien", "say \"yes\"", "Plain"] {
        org.zoho.add_record("Leads", json!({"Last_Name": name, "Phone": "1"}));
    }
    let names = |org: &mut Org, criteria: &str| -> Vec<String> {
        let (status, body) = query(org, &format!("SELECT Last_Name FROM Leads WHERE {criteria}"));
        assert!(status == 200 || status == 204, "{criteria}: {body}");
        let list = body["data"].as_array().cloned().unwrap_or_default();
        list.iter().map(|one| one["Last_Name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&mut org, "Last_Name = 'O''Brien'"), ["O'Brien"]);
    assert_eq!(names(&mut org, "Last_Name = 'say \"yes\"'"), ["say \"yes\""]);
    assert_eq!(names(&mut org, "((Last_Name = 'Plain' or Last_Name = 'x') and Phone = '1') limit 1"), ["Plain"]);
    assert_eq!(names(&mut org, "Last_Name like 'pla%'"), ["Plain"]);
    assert_eq!(names(&mut org, "Last_Name not in ('Plain')").len(), 2);
    assert_eq!(names(&mut org, "Mobile is null limit 1 offset 2").len(), 1);
    assert_eq!(names(&mut org, "Mobile is not null").len(), 0);
    assert_eq!(names(&mut org, "Phone = '1' order by Last_Name desc limit 1"), ["say \"yes\""]);
    assert_eq!(names(&mut org, "Phone = '1' order by Last_Name limit 1"), ["O'Brien"]);
    for (bad, code) in [
        ("select id from Leads where Phone = '1' and Phone = '1' and Phone = '1'", "SYNTAX_ERROR"),
        ("select id from Leads where Last_Name = 'O'Brien'", "SYNTAX_ERROR"),
        ("select id from Leads", "SYNTAX_ERROR"),
        ("delete from Leads where id = '1'", "SYNTAX_ERROR"),
        ("select id from Leads where Phone in ()", "SYNTAX_ERROR"),
        ("select id from Leads where Phone = '1' group by id", "SYNTAX_ERROR"),
        ("select id from Leads where Phone = '1' order by Nothing", "INVALID_QUERY"),
        ("select Nothing from Leads where Phone = '1'", "INVALID_QUERY"),
        ("select id from Leads where Nothing = '1'", "INVALID_QUERY"),
        ("select id from Leads where Description = '1'", "INVALID_QUERY"),
        ("select id from Tickets where Phone = '1'", "INVALID_MODULE"),
        ("select id from Leads where Phone = '1' limit 2001", "LIMIT_EXCEEDED"),
    ] {
        assert_eq!(refused(query(&mut org, bad)).1, code, "{bad}");
    }
    let many = vec!["'1'"; 51].join(",");
    assert_eq!(refused(query(&mut org, &format!("select id from Leads where Phone in ({many})"))).1, "LIMIT_EXCEEDED");
    assert_eq!(refused(org.post("/coql", json!({}))), no(400, "MANDATORY_NOT_FOUND", "select_query"));
    org.zoho.settings.denied.insert("coql".to_owned());
    assert_eq!(refused(query(&mut org, "select id from Leads where Phone = '1'")).1, "OAUTH_SCOPE_MISMATCH");
}
