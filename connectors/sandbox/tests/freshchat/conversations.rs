//! Conversations and their messages: who may see them, and that none is ever edited.

use super::*;

fn listed(chat: &mut Chat, target: &str) -> Vec<String> {
    let (status, body) = chat.get(target);
    assert_eq!(status, 200, "{body}");
    let text = |message: &Value| message["message_parts"][0]["text"]["content"].as_str().unwrap().to_owned();
    body["messages"].as_array().unwrap().iter().map(text).collect()
}

#[test]
fn a_conversation_begins_is_assigned_and_is_resolved() {
    let mut chat = Chat::new();
    let (status, shown) = chat.post("/conversations", chat.conversation(json!({})));
    assert_eq!((status, &shown["status"], &shown["assigned_agent_id"]), (200, &json!("assigned"), &json!(chat.agent)));
    assert!(shown["messages"][0]["id"].is_string());
    let id = shown["conversation_id"].as_str().unwrap().to_owned();
    let nobodys = chat.conversation(json!({"status": "new", "assigned_agent_id": null, "properties": {"cf_x": "1"}}));
    let (_, shown) = chat.post("/conversations", nobodys);
    assert_eq!((&shown["status"], &shown["properties"]["cf_x"]), (&json!("new"), &json!("1")));
    let user = chat.user.clone();
    let (_, all) = chat.get(&format!("/users/{user}/conversations?items_per_page=50&page=1"));
    assert_eq!(all["conversations"].as_array().unwrap().len(), 2);
    assert!(all["conversations"][0]["status"].is_null(), "ids only");
    chat.freshchat.settings.lists_details = true;
    let (_, all) = chat.get(&format!("/users/{user}/conversations"));
    assert_eq!(all["conversations"][1]["status"], "new");

    let path = format!("/conversations/{id}");
    assert_eq!(chat.put(&path, json!({"status": "resolved"})).1["status"], "resolved");
    assert_eq!(chat.get(&path).1["status"], "resolved");
    let other = chat.freshchat.hire("Sanjay Sharma", "sanjay@example.com");
    let (_, shown) = chat.put(&path, json!({"status": "assigned", "assigned_agent_id": other}));
    assert_eq!(shown["assigned_agent_id"], json!(other));
    for (body, expected) in [
        (json!({"status": "closed"}), no(400, "INVALID_VALUE")),
        (json!({"assigned_agent_id": other}), no(400, "INVALID_VALUE")),
        (json!({"status": "resolved", "channel_id": CHANNEL}), no(400, "INVALID_VALUE")),
        (json!({"status": "assigned", "assigned_agent_id": "x"}), no(404, "AGENT_NOT_FOUND")),
    ] {
        assert_eq!(refused(chat.put(&path, body.clone())), expected, "{body}");
    }
    assert_eq!(refused(chat.put("/conversations/x", json!({"status": "resolved"}))), no(404, "CONVERSATION_NOT_FOUND"));
    assert_eq!(refused(chat.get(&format!("/users/{user}/conversations?status=new"))), no(400, "INVALID_VALUE"));
}

#[test]
fn a_conversation_that_is_wrong_is_not_begun() {
    let mut chat = Chat::new();
    let gone = chat.freshchat.hire("Kiruba", "kiruba@example.com");
    chat.freshchat.deactivate_agent(&gone);
    let bad_message = chat.message(json!({"actor_id": gone}));
    for (over, expected) in [
        (json!({"channel_id": "x"}), no(404, "CHANNEL_NOT_FOUND")),
        (json!({"channel_id": null}), no(400, "INVALID_VALUE")),
        (json!({"users": [{"id": "x"}]}), no(404, "USER_NOT_FOUND")),
        (json!({"users": []}), no(400, "INVALID_VALUE")),
        (json!({"assigned_agent_id": gone}), no(404, "AGENT_NOT_FOUND")),
        (json!({"assigned_agent_id": null}), no(400, "INVALID_VALUE")),
        (json!({"status": "open"}), no(400, "INVALID_VALUE")),
        (json!({"messages": []}), no(400, "INVALID_VALUE")),
        (json!({"messages": [bad_message]}), no(404, "AGENT_NOT_FOUND")),
        (json!({"messages": [chat.message(json!({"channel_id": "x"}))]}), no(400, "INVALID_VALUE")),
        (json!({"subject": "x"}), no(400, "INVALID_VALUE")),
    ] {
        assert_eq!(refused(chat.post("/conversations", chat.conversation(over.clone()))), expected, "{over}");
    }
    chat.freshchat.settings.begins_private = false;
    assert_eq!(refused(chat.post("/conversations", chat.conversation(json!({})))), no(400, "INVALID_VALUE"));
    assert_eq!(chat.freshchat.conversations().count(), 0);
}

#[test]
fn messages_are_added_and_never_edited() {
    let mut chat = Chat::new();
    let id = chat.begin();
    let path = format!("/conversations/{id}/messages");
    let (status, shown) = chat.post(&path, chat.message(json!({"message_parts": [{"text": {"content": "34s"}}]})));
    assert_eq!((status, &shown["message_type"]), (200, &json!("private")));
    let message = shown["id"].as_str().unwrap().to_owned();
    let edit = chat.asked(Method::PUT, &format!("{path}/{message}"), "application/json", "{}".to_owned());
    assert_eq!(refused(edit), no(404, "NOT_FOUND"));
    chat.freshchat.say(&id, "see you", "private", chat.now);
    let records = chat.freshchat.records();
    assert_eq!(
        records.iter().map(|one| one.text.as_str()).collect::<Vec<_>>(),
        ["Incoming call\nCallSid: 1a2b", "34s"]
    );
    assert_eq!((records[0].contact.as_ref(), records[0].agent.as_ref()), (Some(&chat.user), Some(&chat.agent)));
    assert!(records.iter().all(|one| !one.public) && chat.freshchat.told_customers().is_empty());

    let user = chat.user.clone();
    for (over, expected) in [
        (json!({"message_parts": []}), no(400, "INVALID_VALUE")),
        (json!({"message_parts": [{"text": {"content": " "}}]}), no(400, "INVALID_VALUE")),
        (json!({"message_parts": [{"text": {"content": "x".repeat(5001)}}]}), no(400, "INVALID_VALUE")),
        (json!({"message_parts": [{"image": {"url": "x"}}]}), no(400, "INVALID_VALUE")),
        (json!({"message_type": "public"}), no(400, "INVALID_VALUE")),
        (json!({"actor_type": "system"}), no(400, "INVALID_VALUE")),
        (json!({"actor_id": null}), no(400, "INVALID_VALUE")),
        (json!({"actor_id": "x"}), no(404, "AGENT_NOT_FOUND")),
        (json!({"actor_type": "user", "actor_id": user}), no(400, "INVALID_VALUE")),
        (json!({"actor_type": "user", "actor_id": "x", "message_type": "normal"}), no(404, "USER_NOT_FOUND")),
        (json!({"subject": "x"}), no(400, "INVALID_VALUE")),
    ] {
        assert_eq!(refused(chat.post(&path, chat.message(over.clone()))), expected, "{over}");
    }
    assert_eq!(
        refused(chat.post("/conversations/x/messages", chat.message(json!({})))),
        no(404, "CONVERSATION_NOT_FOUND")
    );
}

/// The trap: what is not called private goes to the customer.
#[test]
fn a_message_that_is_not_private_is_told() {
    let mut chat = Chat::new();
    let id = chat.begin();
    for kind in [json!("normal"), json!(null)] {
        let body = chat.message(json!({"message_type": kind}));
        assert_eq!(chat.post(&format!("/conversations/{id}/messages"), body).0, 200);
    }
    let first = chat.message(json!({"message_type": null}));
    chat.post("/conversations", chat.conversation(json!({"messages": [first]})));
    assert_eq!(chat.freshchat.told_customers().len(), 3);
    assert_eq!(chat.freshchat.records().iter().filter(|one| one.public).count(), 3);
}

#[test]
fn a_resolved_conversation_stays_so_for_a_private_message_or_takes_none() {
    let mut chat = Chat::new();
    let id = chat.begin();
    let path = format!("/conversations/{id}/messages");
    chat.freshchat.resolve(&id);
    assert_eq!(chat.post(&path, chat.message(json!({}))).0, 200);
    assert_eq!(chat.get(&format!("/conversations/{id}")).1["status"], "resolved");
    chat.freshchat.settings.resolved_takes_messages = false;
    assert_eq!(refused(chat.post(&path, chat.message(json!({})))), no(400, "INVALID_VALUE"));
    chat.freshchat.delete_conversation(&id);
    assert_eq!(refused(chat.post(&path, chat.message(json!({})))), no(404, "CONVERSATION_NOT_FOUND"));
}

#[test]
fn messages_are_listed_in_pages_either_way() {
    let mut chat = Chat::new();
    let id = chat.begin();
    for number in 1..5 {
        let body = chat.message(json!({"message_parts": [{"text": {"content": format!("m{number}")}}]}));
        chat.post(&format!("/conversations/{id}/messages"), body);
    }
    let path = format!("/conversations/{id}/messages?items_per_page=2");
    assert_eq!(listed(&mut chat, &path), ["m4", "m3"]);
    let link = chat.get(&path).1["link"]["href"].as_str().unwrap().to_owned();
    assert!(link.contains("page=1&items_per_page=2&from_time="), "{link}");
    assert_eq!(listed(&mut chat, link.strip_prefix("/v2").unwrap()), ["m2", "m1"]);
    chat.freshchat.settings.newest_first = false;
    assert_eq!(listed(&mut chat, &path), ["Incoming call\nCallSid: 1a2b", "m1"]);
    let link = chat.get(&path).1["link"]["href"].as_str().unwrap().to_owned();
    assert_eq!(listed(&mut chat, link.strip_prefix("/v2").unwrap()), ["m2", "m3"]);
    chat.freshchat.settings.links_messages = false;
    assert!(chat.get(&path).1["link"].is_null());
    assert_eq!(listed(&mut chat, &format!("{path}&page=3")), ["m4"]);
    for wrong in ["&page=0", "&from_time=now", "&order=asc"] {
        assert_eq!(refused(chat.get(&format!("{path}{wrong}"))), no(400, "INVALID_VALUE"), "{wrong}");
    }
    assert_eq!(refused(chat.get("/conversations/x/messages")), no(404, "CONVERSATION_NOT_FOUND"));
}
