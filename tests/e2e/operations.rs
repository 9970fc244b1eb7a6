//! Running it: start, stop, health, configuration, check.

use std::time::Duration;

use patchbay_sandbox::{Fault, On};

use crate::rig::{AGENT, Call, Rig};

#[tokio::test(flavor = "multi_thread")]
async fn health_readiness_and_metrics() {
    let rig = Rig::started();
    let call = Call::new(1);
    rig.hook(&call.missed()).await;
    rig.ticket(&call.sid).await;
    rig.settled().await;
    assert_eq!(rig.get("/healthz").await.0, 200);
    let (status, ready) = rig.get("/readyz").await;
    assert_eq!((status, ready["status"].as_str()), (200, Some("ready")), "{ready}");
    let metrics = rig.http.get(rig.url("/metrics")).send().await.expect("metrics").text().await.expect("text");
    for line in [
        "patchbay_hook_answers_total{hook=\"call_events\",status=\"200\"} 1",
        "patchbay_exchanges_total{connector=\"freshdesk\",label=\"ticket.create\",status=\"201\"} 1",
        "patchbay_deliveries{account=\"acme1\",integration=\"support\",state=\"done\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_what_is_under_way() {
    let mut rig = Rig::started();
    let slow = Fault::StallAfter(Duration::from_millis(700));
    rig.freshdesk.faults().push(On::exactly(http::Method::POST, "/api/v2/tickets"), slow);
    let call = Call::new(1);
    rig.hook(&call.missed()).await;
    rig.ticket(&call.sid).await;
    assert!(rig.terminate(), "it ends well: {:?}", rig.logs().last());
    rig.start();
    rig.settled().await;
    assert_eq!(rig.tickets(&call.sid).len(), 1);
    let file = rig.account(&format!("/calls/{}", call.sid)).await;
    // It was settled before the end, not found again after it.
    assert!(!file.to_string().contains("ticket.find"), "{file:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_before_a_crash_is_delivered_after_it() {
    let mut rig = Rig::started();
    rig.freshdesk.faults().go_down();
    let calls: Vec<Call> = (0..20).map(Call::new).collect();
    for call in &calls {
        rig.hook(&call.missed()).await;
    }
    rig.kill();
    rig.freshdesk.faults().lift();
    rig.start();
    for call in &calls {
        rig.ticket(&call.sid).await;
    }
    rig.settled().await;
    assert_eq!(rig.freshdesk.with(|desk| desk.tickets().count()), calls.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_removed_takes_no_callback() {
    let rig = Rig::started();
    let call = Call::new(1);
    assert_eq!(rig.hook(&call.missed()).await, 200);
    std::fs::remove_file(rig.path("patchbay.db")).expect("removed");
    let mut last = 0;
    rig.until_async("a refusal", async || {
        last = rig.hook(&Call::new(2).missed()).await;
        last == 503
    })
    .await;
    let (status, ready) = rig.get("/readyz").await;
    assert_eq!((status, ready["status"].as_str()), (503, Some("unready")), "{ready}");
    assert!(ready.to_string().contains("removed or replaced"), "{ready}");
    let told = || rig.logs().iter().filter(|line| line.contains("callbacks cannot be made durable")).count();
    // The log comes by a pipe, behind the answers.
    rig.until("it is told", || (told() > 0).then_some(())).await;
    assert_eq!(rig.hook(&Call::new(3).missed()).await, 503);
    let (_, ready) = rig.get("/readyz").await;
    assert_eq!(ready["status"], "unready");
    assert_eq!(told(), 1, "once, not for every callback");
}

/// As on a disk without room: no file of the process can grow beyond what it has, while calls come in and records go out.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_room_refuses_callbacks_and_loses_none() {
    let mut rig = Rig::new();
    // Else the system would end whoever writes beyond the limit, where a full disk only says no.
    rig.by = vec!["env", "--ignore-signal=XFSZ"];
    rig.start();
    let room = |bytes: &str| {
        let (pid, limit) = (rig.pid().to_string(), format!("--fsize={bytes}:unlimited"));
        let told = std::process::Command::new("prlimit").args(["--pid", &pid, &limit]).status();
        assert!(told.expect("prlimit of util-linux runs").success());
    };
    let (mut taken, mut refused, mut n) = (Vec::new(), Vec::new(), 0);
    room("400000");
    while refused.len() < 5 {
        let call = Call { talk_s: 0, ..Call::new(n) };
        rig.simulate(&call);
        match rig.hook(&call.missed()).await {
            200 => taken.push(call),
            503 => refused.push(call),
            other => panic!("{other}"),
        }
        n += 1;
        assert!(n < 5000, "the limit is met by no callback");
    }
    assert!(taken.len() > 5, "only {} were taken before", taken.len());
    let (status, ready) = rig.get("/readyz").await;
    assert_eq!((status, ready["store"]["ok"].as_bool()), (503, Some(false)), "{ready}");

    // There is room again, and nobody restarts anything; what was refused is sent again, as Exotel does not.
    room("unlimited");
    for call in &refused {
        rig.until_async("callbacks are taken again", async || rig.hook(&call.missed()).await == 200).await;
    }
    for call in taken.iter().chain(&refused) {
        rig.ticket(&call.sid).await;
    }
    rig.settled().await;
    for call in taken.iter().chain(&refused) {
        assert_eq!(rig.tickets(&call.sid).len(), 1, "{}", call.sid);
    }
    println!("{} taken, then {} refused; {} calls, as many tickets", taken.len(), refused.len(), n);
    assert_eq!(rig.get("/readyz").await.0, 200);
    assert!(rig.terminate());
}

#[test]
fn a_wrong_configuration_is_told_whole() {
    let rig = tokio::runtime::Runtime::new().expect("a runtime").block_on(async { Rig::new() });
    let path = rig.path("wrong.toml");
    let text = r#"
        [server]
        listn = "127.0.0.1:8080"
        admin_token = "short"
        [delivery]
        retry = ["5 parsecs"]
        [[account]]
        sid = "acme1"
        region = "mars"
        api_key = "${NO_SUCH_VARIABLE}"
        [[account.integration]]
        connector = "freshdsk"
        [[account.integration]]
        connector = "freshdesk"
        name = "two"
        api_key = "x"
        templates = { "missed.subjekt" = "x" }
        defaults = { requester_id = 5 }
    "#;
    std::fs::write(&path, text).expect("written");
    for command in ["serve", "check"] {
        let output = rig.command(&[command, "--config", &path.display().to_string()]).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        for expected in [
            " mistakes (config_invalid)",
            "server.listn: there is no such key; did you mean \"listen\"?",
            "server.admin_token: has 5 characters",
            "delivery.retry[0]: \"5 parsecs\" is not a duration",
            "account[0].region: must be \"singapore\" or \"mumbai\"",
            "account[0].api_key: the environment variable NO_SUCH_VARIABLE is not set",
            "account[0].api_token: is missing",
            "account[0].integration[0].connector: \"freshdsk\" is not built into this version",
            "did you mean \"freshdesk\"?",
            "account[0].integration[1].domain: is missing",
            "missed.subjekt",
            "account[0].integration[1].defaults.requester_id: comes from the call and cannot be set",
        ] {
            assert!(told.contains(expected), "{expected:?} is not in\n{told}");
        }
    }
}

/// Whatever a check finds can be looked up in docs/ERRORS.md.
fn have_codes(told: &str) {
    for line in told.lines().filter(|line| line.starts_with("warn  ") || line.starts_with("FAIL  ")) {
        let code = |text: &str| patchbay::codes::TABLE.iter().any(|row| text.split(' ').next() == Some(row.word));
        let parts = line[6..].split(": ").take(2);
        assert!(parts.into_iter().any(code), "no code: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_cause_and_cure() {
    let rig = Rig::new();
    let config = rig.config().display().to_string();
    let check = || {
        let output = rig.command(&["check", "--config", &config]).output().expect("it runs");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        have_codes(&told);
        (output.status.code(), told)
    };
    let (code, told) = tokio::task::block_in_place(check);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("Exotel at 127.0.0.1 knows the key"), "{told}");
    assert!(told.contains("/v2/accounts/acme1/call-events?event=automated_answered"), "{told}");
    rig.freshdesk.with(patchbay_sandbox::freshdesk::Freshdesk::revoke_key);
    let (code, told) = tokio::task::block_in_place(check);
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains("FAIL  acme1/support")
            && told.contains("crm_unauthorized [")
            && told.contains("take a new one from the profile settings and set `api_key`"),
        "{told}"
    );
    rig.exotel.with(patchbay_sandbox::exotel::Exotel::revoke_key);
    let (code, told) = tokio::task::block_in_place(check);
    assert_eq!(code, Some(1), "{told}");
    let failed = told.lines().find(|line| line.contains("FAIL  acme1:")).unwrap_or_default();
    assert!(failed.contains("exotel_unauthorized: Exotel refuses the account's credentials (401)"), "{told}");
    assert!(failed.contains("copy API key and token anew") && failed.contains("my.in.exotel.com: mumbai"), "{told}");
}

/// A region that is wrong is found out by asking the others, which are not on this machine: `check/exotel.rs` tries that.
#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_is_off_in_the_account_and_what_to_write_to_exotels_support() {
    let mut rig = Rig::new();
    rig.more = "[[account.bot]]\nid = \"sales\"\nbackend = \"echo\"".to_owned();
    rig.start();
    let check = |rig: &Rig| {
        let config = rig.config().display().to_string();
        let run = || rig.command(&["check", "--config", &config]).output().expect("it runs");
        let output = tokio::task::block_in_place(run);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        have_codes(&told);
        assert_eq!(output.status.code(), Some(0), "nothing of it is a wrong configuration: {told}");
        let letter =
            told.split_once("To send to Exotel's support").map(|(_, letter)| letter.to_owned()).unwrap_or_default();
        (told, letter)
    };
    let ringing = "\"Ringing\" and \"Answered\"";
    let (enable, see) = ("Please enable for this account:", "Please see whether this is enabled");
    // Nothing came yet: popup events can only be asked about; voicebots and the clock are seen.
    rig.exotel.with(|exotel| exotel.settings.clock_ahead_s = 300);
    let (told, letter) = check(&rig);
    assert!(told.contains("s behind Exotel's: set it, by NTP") && told.contains("voicebots are not enabled"), "{told}");
    let (asked, seen) = letter.split_once(see).expect("both parts");
    assert!(
        asked.contains("Account SID: acme1") && asked.contains(enable) && asked.contains("Voicebot applet"),
        "{letter}"
    );
    assert!(seen.contains(ringing) && !seen.contains("Voicebot"), "{letter}");
    rig.exotel.with(|exotel| (exotel.settings.clock_ahead_s, exotel.settings.streams) = (0, Some(50)));
    // Conversations, and no popup of any.
    let calls: Vec<Call> = (1..=5).map(Call::new).collect();
    for call in &calls {
        rig.simulate(call);
        assert_eq!(rig.hook(&call.answered()).await, 200);
        rig.ticket(&call.sid).await;
    }
    let (told, letter) = check(&rig);
    assert!(told.contains("popup events are not enabled: none came with 5 answered calls"), "{told}");
    assert!(
        told.contains("clock agrees with Exotel's") && told.contains("voicebots are enabled, 50 at once"),
        "{told}"
    );
    assert!(!letter.contains(enable) && letter.contains(ringing) && !letter.contains("Voicebot"), "{letter}");
    // Those that every account gets come, the others do not.
    for call in &calls {
        assert_eq!(rig.hook(&call.pop("Dial", AGENT, 2)).await, 200);
    }
    rig.until_async("popups", async || check(&rig).0.contains("popup events are not all enabled")).await;
    let (_, letter) = check(&rig);
    let (asked, seen) = letter.split_once(see).expect("both parts");
    assert!(asked.contains(enable) && asked.contains(ringing) && !seen.contains(ringing), "{letter}");
    // Without the service it looks into the store itself, and says the same.
    assert!(rig.terminate());
    assert_eq!(check(&rig).1, letter);
    rig.start();
    assert_eq!(rig.hook(&calls[0].pop("Ringing", AGENT, 3)).await, 200);
    rig.until_async("popups", async || check(&rig).0.contains("popup events come")).await;
    assert!(!check(&rig).1.contains(ringing));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_version_is_refused() {
    let mut rig = Rig::started();
    rig.terminate();
    let connection = rusqlite::Connection::open(rig.path("patchbay.db")).expect("the database");
    connection.pragma_update(None, "user_version", 9_999).expect("changed");
    drop(connection);
    let config = rig.config().display().to_string();
    let output = rig.command(&["serve", "--config", &config]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("schema version 9999") && told.contains("newer Patchbay") && told.contains("(cannot_start)"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_mistakes_exit_2() {
    let rig = Rig::new();
    for args in [&["serve"][..], &["nonsense"], &["check", "--config"]] {
        let output = rig.command(args).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
    let output = rig.command(&["connectors", "--json"]).output().expect("it runs");
    let table: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let ids: Vec<_> = table.as_array().expect("a list").iter().map(|one| one["id"].clone()).collect();
    assert!(ids.contains(&"freshdesk".into()) && ids.contains(&"hubspot".into()), "{ids:?}");
}

#[test]
fn a_reader_who_stops_early_is_no_mistake() {
    use std::process::Stdio;
    for args in [&["connectors"][..], &["connectors", "--json"]] {
        // The pipe is closed before the first byte: writing into it is refused at once.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_patchbay"));
        let output = command.args(args).stdout(writer).stderr(Stdio::piped()).output().expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_read_enough_of_it_may_close_the_pipe() {
    let rig = Rig::new();
    let config = rig.config().display().to_string();
    for args in [&["check", "--config", &config][..], &["connectors"]] {
        let mut child = rig
            .command(args)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("it runs");
        // As `head` does, only sooner.
        drop(child.stdout.take());
        let output = tokio::task::block_in_place(|| child.wait_with_output()).expect("it ends");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), told.as_str()), (Some(0), ""), "{args:?}");
    }
}
