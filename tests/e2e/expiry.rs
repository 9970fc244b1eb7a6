//! A credential that names its own end: `check` says when, the service warns once, and a metric can be watched.

use jiff::{Timestamp, ToSpan};
use patchbay_sandbox::{
    Faults, Server,
    freshchat::{CHANNEL, Freshchat, token},
};

use crate::rig::Rig;

/// A rig whose account has a Freshchat beside Freshdesk, with a token that ends then.
fn rig(ends: Timestamp) -> (Rig, Server<Freshchat>, String) {
    let mut rig = Rig::new();
    let token = token(ends);
    let chat = Freshchat::new(token.as_str());
    let chat = Server::start(([127, 0, 0, 1], 0).into(), chat, Faults::none()).expect("a Freshchat sandbox");
    rig.integration.push_str(&format!(
        "
        [[account.integration]]
        connector = \"freshchat\"
        name = \"chat\"
        base_url = \"{}\"
        channel_id = \"{CHANNEL}\"
        api_key = \"{token}\"",
        chat.url()
    ));
    (rig, chat, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_token_is_told_before_it_comes() {
    let now = Timestamp::now();
    for (ends, code, told, warned) in [
        (now + (200 * 24).hours(), 0, "ok    acme1/chat: `api_key` is good until 2", None),
        (
            now + (9 * 24 + 1).hours(),
            0,
            "warn  acme1/chat: credential_ends: `api_key` ends in 9 days, on 2",
            Some("ends in 9 days"),
        ),
        (now - 1.hours(), 1, "`api_key` ended on 2", Some("ended on")),
    ] {
        let (mut rig, chat, token) = rig(ends);
        let config = rig.config().display().to_string();
        let check = || rig.command(&["check", "--config", &config]).output().expect("it runs");
        let output = tokio::task::block_in_place(check);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(told), "{said}");
        assert_eq!(said.contains("FAIL  acme1/chat: credential_ends: Freshchat"), code == 1, "{said}");

        rig.start();
        let metrics = rig.http.get(rig.url("/metrics")).send().await.expect("metrics").text().await.expect("text");
        let (account, integration) = ("account=\"acme1\"", "integration=\"chat\"");
        let ends = ends.as_second();
        let line = format!("patchbay_credential_expires_seconds{{{account},{integration}}} {ends}\n");
        assert!(metrics.contains(&line), "{metrics}");
        assert_eq!(metrics.matches("patchbay_credential_expires_seconds{").count(), 1, "Freshdesk's key names no end");
        // One that has ended is somebody's to mend at once.
        let level = if ends < Timestamp::now().as_second() { "ERROR" } else { "WARN" };
        let logs = rig.logs();
        let lines = logs.iter().filter(|line| line.contains("`api_key`")).collect::<Vec<_>>();
        assert_eq!(lines.len(), usize::from(warned.is_some()), "{lines:?}");
        assert!(
            lines.iter().all(|line| line.contains(warned.unwrap_or_default()) && line.contains(level)),
            "{lines:?}"
        );
        // Nothing of the token, not even the part that says when it ends.
        for part in token.split('.') {
            assert!(!said.contains(part) && !logs.iter().any(|line| line.contains(part)), "a token is shown");
        }
        drop(chat);
    }
}
