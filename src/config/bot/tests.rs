//! A bot of the file is read whole, and what it cannot be is told without its secrets.

use super::super::{Account, parse};
use secrecy::ExposeSecret;

fn read(more: &str) -> Result<Account, String> {
    let text = format!("[[account]]\nsid = \"acme1\"\napi_key = \"k\"\napi_token = \"t\"\n{more}");
    let config = parse("test", &text, &Default::default()).map_err(|error| error.to_string())?;
    Ok(config.accounts.into_iter().next().expect("an account"))
}

const SALES: &str = r#"
    [[account.bot]]
    id = "sales"
    token = "tok-0123456789abcdef"
    backend = "openai_realtime"
    url = "wss://api.openai.com/v1/realtime?model=gpt-realtime"
    api_key = "hunter2"
    headers = { X-Team = "hunter3" }
    instructions = "Be brief."
    sample_rate = 16000
    exophones = ["08047494574", "+918047494575"]
    greeting = "Hello."
    options = { session = { audio = { output = { voice = "cedar" } } }, key = "hunter4" }
    transfer_to = "support"
    record = true
    [[account.bot.tool]]
    name = "order_status"
    description = "Looks up an order."
    parameters = '{"type":"object","properties":{"order":{"type":"string"}}}'
    url = "http://127.0.0.1:9000/orders?key=hunter5"
    headers = { X-Key = "hunter6" }
    timeout = "5s"
    [[account.bot.tool]]
    name = "open_door"
    description = "Opens the door."
    parameters = { type = "object" }
    url = "https://doors.example.com/"
    method = "PUT"
"#;

#[test]
fn a_bot_is_read_whole_and_its_exophones_are_dids() {
    let account = read(SALES).expect("an account");
    let bot = &account.bots[0];
    assert_eq!((bot.id.as_str(), bot.backend.as_str(), bot.sample_rate), ("sales", "openai_realtime", 16_000));
    assert_eq!(bot.headers["x-team"].expose_secret(), "hunter3");
    assert_eq!((bot.greeting.as_deref(), bot.transfer_to.as_deref()), (Some("Hello."), Some("support")));
    assert!(bot.record && bot.options["session"]["audio"]["output"]["voice"] == "cedar");
    let [order, door] = &bot.tools[..] else { panic!("{:?}", bot.tools) };
    assert_eq!((order.parameters["properties"]["order"]["type"].as_str(), order.timeout_seconds), (Some("string"), 5));
    assert_eq!((order.headers["x-key"].as_str(), order.method.as_str()), ("hunter6", "POST"));
    assert_eq!((door.method.as_str(), door.timeout_seconds), ("PUT", 10));
    let numbers: Vec<_> = account.dids.iter().map(|did| did.number.as_str()).collect();
    assert_eq!(numbers, ["+918047494574", "+918047494575"]);
    let shown = format!("{account:?}");
    assert!(!shown.contains("hunter") && !shown.contains("tok-") && !shown.contains("8047494574"), "{shown}");
    let flow = "https://my.exotel.com/acme1/exoml/start_voice/7";
    let did = format!("{SALES}\n[[account.did]]\nnumber = \"08047494574\"\nlabel = \"Sales\"\nflow_url = \"{flow}\"\n");
    let account = read(&did).expect("an account");
    let both = &account.dids[0];
    assert_eq!((both.bot_id.as_deref(), both.label.as_deref()), (Some("sales"), Some("Sales")));
    assert_eq!((both.flow_url.as_deref(), account.dids.len()), (Some(flow), 2), "one number is one DID");
}

#[test]
fn what_a_bot_cannot_be_is_told_without_its_secrets() {
    for (was, is, told) in [
        ("backend = \"openai_realtime\"", "backend = \"openai\"", "there are: exotel, twilio, openai_realtime"),
        ("backend = \"openai_realtime\"", "", "backend: is missing"),
        ("backend = \"openai_realtime\"", "backend = \"echo\"", "url: is not used by echo"),
        ("token = \"tok-0123456789abcdef\"", "token = \"hunter2\"", "token: must be at least 16"),
        ("wss://api.openai.com", "wss://a:hunter2@api.openai.com", "url: is not an address"),
        ("wss://api", "https://api", "url: is not an address"),
        ("16000", "44100", "sample_rate: must be 8000, 16000, 24000, is 44100"),
        ("X-Team", "Host", "headers.Host: is not a header"),
        ("id = \"sales\"", "id = \"a b\"", "id: must be 1 to 64"),
        ("id = \"sales\"", "id = \"dial-up\"", "id: must be none of answer, callback, dial-up"),
        ("08047494574", "12", "exophones[0]: is not a phone number"),
        ("instructions", "instruction", "did you mean \"instructions\"?"),
        ("options = { session", "options = 7 #", "options: must be a table, or an object in JSON"),
        ("name = \"order_status\"", "name = \"end_call\"", "tool[0].name: is a tool that every bot has"),
        ("name = \"order_status\"", "name = \"7up\"", "tool[0].name: must be 1 to 64"),
        ("name = \"order_status\"", "name = \"open_door\"", "tool[1].name: \"open_door\" is the name of another"),
        ("description = \"Looks up an order.\"", "", "tool[0].description: is missing"),
        ("parameters = '{\"type\":\"object\",", "parameters = '{", "tool[0].parameters: must be a JSON Schema"),
        ("http://127.0.0.1", "http://a:hunter2@127.0.0.1", "tool[0].url: is not an address"),
        ("X-Key", "Host", "tool[0].headers.host: is not a header"),
        ("\"5s\"", "\"5m\"", "tool[0].timeout: must be 1 to 60"),
        ("\"PUT\"", "\"GET\"", "tool[1].method: must be POST"),
    ] {
        let error = read(&SALES.replacen(was, is, 1)).expect_err(told);
        assert!(error.contains(told) && !error.contains("hunter"), "{told}: {error}");
    }
    let echo = "[[account.bot]]\nid = \"e\"\nbackend = \"echo\"\n";
    assert_eq!(read(echo).expect("it").bots[0].sample_rate, 8000);
    for (more, told) in [
        (format!("{SALES}{SALES}"), "is the id of another bot"),
        (format!("{SALES}{echo}exophones = [\"08047494574\"]\n"), "given to another bot as well"),
        ("[[account.did]]\nnumber = \"08047494574\"\n".repeat(2), "did[1].number: is the number of another DID"),
        ("[[account.did]]\nnumber = \"08047494574\"\nflow_url = \"7\"\n".to_owned(), "not the address of a flow"),
        ("[[account.did]]\nnumber = \"08047494574\"\nbot = \"e\"\n".to_owned(), "there is no such key"),
    ] {
        let error = read(&more).expect_err(told);
        assert!(error.contains(told), "{told}: {error}");
    }
}
