//! `patchbay simulate voicebot` as a person runs it: its words, its exit codes, and no secret of an address in them.

use std::{net::TcpListener, process::Command};

use futures_util::StreamExt;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

fn voicebot(args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_patchbay"));
    let output = command.args(["simulate", "voicebot"]).args(args).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A server that listens and says nothing, on a thread of its own; it falls on a key that is pressed.
fn mute() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = format!("ws://{}", listener.local_addr().expect("an address"));
    listener.set_nonblocking(true).expect("not blocking");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
                    while let Some(Ok(message)) = socket.next().await {
                        if matches!(&message, Message::Text(text) if text.contains("dtmf")) {
                            return;
                        }
                    }
                    let _ = socket.close(None).await;
                });
            }
        });
    });
    to
}

#[test]
fn the_exit_code_says_whether_a_rule_failed() {
    let to = mute();
    let address = format!("{to}/s3cret?token=t0k");
    let (code, out, err) =
        voicebot(&["--to", &address, "--listen", "100ms", "--at-once", "5", "--only", "no_stop", "--only", "query"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("pass  query ") && out.contains("pass  no_stop"), "{out}");
    assert!(out.ends_with("2 passed, 0 warnings, 0 failed, 0 not applicable\n"), "{out}");
    let (code, out, err) = voicebot(&["--to", &address, "--listen", "100ms", "--only", "dtmf", "--json"]);
    assert_eq!(code, Some(1), "{out}{err}");
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&report["rules"][0]["rule"], &report["rules"][0]["verdict"]), (&"dtmf".into(), &"fail".into()));
    for secret in ["s3cret", "t0k"] {
        assert!(!out.contains(secret) && !err.contains(secret), "{out}{err}");
    }
}

#[test]
fn a_load_says_whether_every_call_was_kept() {
    let (code, out, err) = voicebot(&["--to", &mute(), "--calls", "2", "--seconds", "1"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.starts_with("calls       2 at once for 1 s: 2 taken, 2 kept to their end, 0 heard\n"), "{out}");
}

#[test]
fn wrong_usage_is_told_with_what_would_be_right() {
    for (args, cure) in [
        (&[] as &[&str], "--to"),
        (&["--to", "https://u:s3cret@bot.example.com"], "wss://bot.example.com/path"),
        (&["--to", "ws://127.0.0.1:1", "--only", "nonsense"], "barge_in"),
        (&["--to", "ws://127.0.0.1:1", "--rate", "44100"], "24000"),
        (&["--to", "ws://127.0.0.1:1?sample-rate=44100"], "24000"),
        (&["--to", "ws://127.0.0.1:1", "--header", "none"], "Name: value"),
    ] {
        let (code, out, err) = voicebot(args);
        assert_eq!(code, Some(2), "{args:?}: {out}{err}");
        assert!(err.contains(cure) && !err.contains("s3cret"), "{args:?}: {err}");
    }
    let (code, out, _) = voicebot(&["--list"]);
    assert_eq!((code, out.lines().any(|line| line.starts_with("second "))), (Some(0), true), "{out}");
}
