//! `patchbay demo` as a person runs it: the real program, from its first line to its exit.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Output, Stdio},
};

fn demo(args: &[&str]) -> (Command, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_patchbay"));
    command.arg("demo").args(args).env("TMPDIR", dir.path()).env_remove("PATCHBAY__LOG__LEVEL");
    (command, dir)
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn every_call_becomes_exactly_its_records() {
    let (mut command, dir) = demo(&["--once"]);
    let output = command.output().expect("the demo runs");
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{out}\n{err}");
    for line in [
        "1. Answered; the recording becomes available late",
        "whom Freshdesk knows as Asha Rao",
        "the outcome is known (missed): its ticket is due",
        "the outcome is known (voicemail): its ticket is due",
        "│ Incoming Call from 09876543210",
        "│ requester: Asha Rao, 919876543210   assigned to: Avnish Gupta",
        "assigned to: Meera Nair",
        "│ Call Duration: 8s",
        "│ lang_english: \"3\"",
    ] {
        assert!(out.contains(line), "{line:?} is missing in\n{out}");
    }
    let last = out.lines().last().unwrap_or_default();
    assert!(last.ends_with("contacts; nothing lost, nothing twice"), "{last}");
    // Not a terminal: no colours; and no line of a call's story is wider than 100, but for a link.
    assert!(!out.contains('\x1b'));
    for line in out.lines().filter(|line| !line.contains("/r/demo/") && *line != last) {
        assert!(line.chars().count() <= 100, "{} wide: {line}", line.chars().count());
    }
    // What is invented here would be a customer's number elsewhere.
    assert!(!err.contains("98765"), "{err}");
    assert_eq!(std::fs::read_dir(dir.path()).expect("the directory").count(), 0, "something was left behind");
}

#[cfg(unix)]
#[test]
fn without_once_it_stays_up_with_its_api_until_it_is_told_to_end() {
    let (mut command, dir) = demo(&[]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the demo starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let told = lines.by_ref().map(|line| line.expect("a line")).find(|line| line.contains("Ctrl-C ends it"));
    let told = told.expect("the demo says that it stays up");
    let between = |from: &str, to: &str| {
        let (_, rest) = told.split_once(from).expect("the address and the token");
        rest.split(to).next().unwrap_or_default().to_owned()
    };
    let (addr, token) = (between("http://", ","), between("admin token ", "."));
    let mut stream = TcpStream::connect(&addr).expect("the API listens");
    let request = format!(
        "GET /api/v1/accounts/demo/calls HTTP/1.1\r\nHost: {addr}\r\nAuthorization: Bearer {token}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"outcome\":\"voicemail\""), "{answer}");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert_eq!(std::fs::read_dir(dir.path()).expect("the directory").count(), 0, "something was left behind");
}

#[test]
fn a_taken_address_is_told_and_fails() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("an address").to_string();
    let output = demo(&["--once", "--listen", &addr]).0.output().expect("the demo runs");
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains(&format!("cannot listen on {addr}")), "{err}");
}
