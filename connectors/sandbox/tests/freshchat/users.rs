//! Users: what finds them, and what makes them unique.

use patchbay_sandbox::freshchat::Duplicate;

use super::*;

fn caller(over: Value) -> Value {
    with(
        json!({"first_name": "09000000001", "phone": "+919000000001", "reference_id": "exotel:+919000000001",
            "properties": [{"name": "source", "value": "exotel"}]}),
        over,
    )
}

fn found(chat: &mut Chat, filter: &str) -> usize {
    let (status, body) = chat.get(&format!("/users?{filter}"));
    assert_eq!(status, 200, "{body}");
    body["users"].as_array().unwrap().len()
}

#[test]
fn users_are_made_found_by_exact_values_and_changed() {
    let mut chat = Chat::new();
    let (status, user) = chat.post("/users", caller(json!({})));
    assert_eq!((status, &user["phone"]), (200, &json!("+919000000001")));
    let id = user["id"].as_str().unwrap().to_owned();
    assert_eq!(found(&mut chat, "phone_no=%2B919000000001"), 1);
    assert_eq!(found(&mut chat, "phone_no=+919000000001"), 0, "an unencoded plus is a space");
    assert_eq!(found(&mut chat, "phone_no=9000000001"), 0, "another writing is another value");
    assert_eq!(found(&mut chat, "reference_id=exotel%3A%2B919000000001"), 1);
    assert_eq!(found(&mut chat, "created_from=2026-01-05T00:00:00Z&email=x@example.com"), 0);
    let (status, changed) = chat.put(&format!("/users/{id}"), json!({"phone": "9000000001", "email": "x@example.com"}));
    assert_eq!((status, &changed["first_name"], &changed["phone"]), (200, &json!("09000000001"), &json!("9000000001")));
    assert_eq!(found(&mut chat, "phone_no=9000000001&email=x@example.com"), 1);
    assert_eq!(chat.get(&format!("/users/{id}")).1["reference_id"], "exotel:+919000000001");

    for (body, why) in [
        (caller(json!({"mobile": "1"})), "an unknown field"),
        (caller(json!({"phone": 1})), "a wrong type"),
        (caller(json!({"email": "x"})), "no address"),
        (caller(json!({"first_name": "x".repeat(256)})), "too long"),
        (caller(json!({"properties": {"source": "exotel"}})), "no list"),
    ] {
        assert_eq!(refused(chat.post("/users", body.clone())), no(400, "INVALID_VALUE"), "{why}");
        assert_eq!(refused(chat.put(&format!("/users/{id}"), body)), no(400, "INVALID_VALUE"), "{why}");
    }
    let asked = chat.asked(Method::POST, "/users", "text/plain", "{}".to_owned());
    assert_eq!(refused(asked), no(400, "INVALID_VALUE"));
    assert_eq!(refused(chat.put("/users/x", json!({}))), no(404, "USER_NOT_FOUND"));
    for wrong in ["", "phone=1", "page=1", "created_from=yesterday", "phone_no=1&page=0"] {
        assert_eq!(refused(chat.get(&format!("/users?{wrong}"))), no(400, "INVALID_VALUE"), "{wrong}");
    }
}

#[test]
fn a_reference_id_is_unique_in_one_of_three_ways() {
    for (duplicate, expected, users) in
        [(Duplicate::Refused, 409, 2), (Duplicate::Yielded, 200, 2), (Duplicate::Made, 200, 3)]
    {
        let mut chat = Chat::new();
        chat.freshchat.settings.duplicate = duplicate;
        let (_, first) = chat.post("/users", caller(json!({})));
        let (status, second) = chat.post("/users", caller(json!({"phone": "1"})));
        assert_eq!(status, expected, "{duplicate:?}");
        assert_eq!(second["id"] == first["id"], duplicate == Duplicate::Yielded, "{duplicate:?}");
        assert_eq!(chat.freshchat.users().count(), users, "{duplicate:?}");
        let user = chat.user.clone();
        let taken = chat.put(&format!("/users/{user}"), json!({"reference_id": "exotel:+919000000001"}));
        assert_eq!(refused(taken), no(409, "CONFLICT"));
        assert_eq!(chat.post("/users", json!({"first_name": "Withheld"})).0, 200, "nothing is mandatory");
    }
}

#[test]
fn the_filter_may_lag_and_may_say_nobody_by_404() {
    let mut chat = Chat::new();
    chat.freshchat.lag(Duration::from_secs(30));
    chat.post("/users", caller(json!({})));
    assert_eq!(found(&mut chat, "phone_no=%2B919000000001"), 0);
    assert_eq!(found(&mut chat, "reference_id=exotel%3A%2B919000000001"), 1);
    chat.now += Duration::from_secs(30);
    assert_eq!(found(&mut chat, "phone_no=%2B919000000001"), 1);
    chat.freshchat.settings.nobody_is_404 = true;
    assert_eq!(refused(chat.get("/users?phone_no=1")), no(404, "USER_NOT_FOUND"));
    let user = chat.user.clone();
    chat.begin();
    chat.freshchat.delete_user(&user);
    assert_eq!(refused(chat.get(&format!("/users/{user}"))), no(404, "USER_NOT_FOUND"));
    assert_eq!(chat.freshchat.conversations().count(), 0, "who is forgotten is forgotten with all that was said");
    let held = chat.freshchat.contacts();
    assert_eq!((held.len(), held[0].numbers.as_slice()), (1, ["+919000000001".to_owned()].as_slice()));
}
