//! What differs from one Freshchat account to the next, and what must not: one open conversation for each agent and
//! customer, and nothing that reaches the customer.

use std::{sync::Arc, time::Duration};

use patchbay_kit::{
    CallActivity, Changed, Connector, Kind, Note, Outcome, RecordRef, Retry, Safety, Settings as Integration,
};
use patchbay_sandbox::{
    Crm as _,
    freshchat::{CHANNEL, Freshchat, Settings, token},
};
use patchbay_testkit::{Credentials, Line, sample};
use serde_json::{Value, json};

fn connector(defaults: Value) -> Arc<dyn Connector> {
    let text = [("channel_id".to_owned(), CHANNEL.to_owned())].into();
    let defaults = defaults.as_object().cloned().unwrap_or_default();
    patchbay_freshchat::build(&Integration { text, defaults, ..Integration::default() })
}

struct Chat {
    line: Line<Freshchat>,
    user: RecordRef,
    agent: RecordRef,
}

impl Chat {
    fn new(settings: Settings) -> Self {
        let mut sandbox = Freshchat::new("the-token");
        sandbox.settings = settings;
        let agent = RecordRef::new("agent", sandbox.add_agent("Hariharan L", "hariharan@example.com"));
        let user = RecordRef::new("user", sandbox.add_contact("Praveen", "+919876543210", sample::NOW));
        let credentials = Credentials::of([("api_key", "the-token")]);
        Self { line: Line::new(connector(json!({})), sandbox, credentials, sample::NOW), user, agent }
    }

    fn call(&self, key: &str, agent: Option<&RecordRef>) -> CallActivity {
        CallActivity { agent: agent.cloned(), ..sample::call(key, Some(self.user.clone())) }
    }

    /// Writes a call down, and yields the conversation it went into.
    fn write(&mut self, key: &str, agent: Option<&RecordRef>) -> (CallActivity, RecordRef, String) {
        let call = self.call(key, agent);
        let at = self.line.run(self.line.connector.activities().create(&call)).expect("a record");
        let conversation = at.id.split(':').next().expect("a conversation").to_owned();
        (call, at, conversation)
    }

    fn find(&mut self, call: &CallActivity) -> Option<RecordRef> {
        let find = self.line.connector.activities().find(call).expect("a way to find it");
        self.line.run(find).expect("an answer")
    }

    fn update(&mut self, at: &RecordRef, call: &CallActivity, changed: Changed) -> RecordRef {
        let connector = Arc::clone(&self.line.connector);
        self.line.run(connector.updates().expect("updates").update(at, call, changed)).expect("an update")
    }

    fn texts(&self) -> usize {
        assert_eq!(self.line.sandbox.told_customers().len(), 0, "a customer was told of a call");
        self.line.sandbox.records().len()
    }
}

const TEXT: Changed = Changed { subject: true, body: true, agent: false, contact: false, facts: false, outcome: false };

/// Also where the list of them is long, runs the wrong way, or says nothing but ids.
#[test]
fn an_agent_and_a_customer_have_one_open_conversation() {
    for lists_details in [false, true] {
        let mut chat = Chat::new(Settings { lists_details, ..Settings::default() });
        let (agent, other) = (chat.agent.clone(), RecordRef::new("agent", chat.line.sandbox.hire("Sanjay", "s@x.in")));
        for number in 0..60 {
            let (_, _, conversation) = chat.write(&format!("old{number}"), Some(&agent));
            chat.line.sandbox.resolve(&conversation);
        }
        let (_, _, first) = chat.write("c1", Some(&agent));
        let (_, _, others) = chat.write("c2", Some(&other));
        let (_, _, nobodys) = chat.write("c3", None);
        let count = chat.line.sandbox.conversations().count();
        assert_eq!((count, chat.texts()), (63, 63));
        for (key, agent, expected) in
            [("c4", Some(&agent), &first), ("c5", Some(&other), &others), ("c6", None, &nobodys)]
        {
            assert_eq!(&chat.write(key, agent).2, expected);
        }
        assert_eq!(chat.line.sandbox.conversations().count(), count);
        chat.line.sandbox.change_conversation(&first, |one| "waiting on customer".clone_into(&mut one.status));
        assert_eq!(chat.write("c7", Some(&agent)).2, first);
        chat.line.sandbox.resolve(&first);
        assert_ne!(chat.write("c8", Some(&agent)).2, first, "what is resolved is over");
        let shown = chat.line.sandbox.conversations().find(|one| one.id == nobodys).expect("it");
        assert_eq!((shown.status.as_str(), &shown.assigned_agent_id), ("new", &None));
    }
}

#[test]
fn a_conversation_of_another_channel_is_left_alone() {
    let mut chat = Chat::new(Settings::default());
    let agent = chat.agent.clone();
    let (_, _, whatsapp) = chat.write("c1", Some(&agent));
    let other = chat.line.sandbox.add_channel("WhatsApp");
    chat.line.sandbox.change_conversation(&whatsapp, |one| one.channel_id = other);
    assert_ne!(chat.write("c2", Some(&agent)).2, whatsapp);
}

/// A private message needs an agent as its author.
#[test]
fn what_no_agent_had_is_written_in_the_name_of_one_who_stands_in() {
    let mut chat = Chat::new(Settings::default());
    chat.write("c1", None);
    let author = |chat: &Chat| chat.line.sandbox.messages().last().and_then(|(_, one)| one.actor_id.clone());
    let first = chat.line.sandbox.agents().next().expect("an agent").id.clone();
    assert_eq!(author(&chat), Some(first.clone()));
    chat.line.sandbox.deactivate_agent(&first);
    chat.write("c2", None);
    assert_eq!(author(&chat), Some(chat.agent.id.clone()));
    chat.line.connector = connector(json!({"actor_id": first, "properties": {"cf_line": "voice"}}));
    let gone = chat.call("c3", None);
    let failure = chat.line.run(chat.line.connector.activities().create(&gone)).unwrap_err();
    assert!(failure.kind == Kind::Invalid && failure.detail.contains("`defaults.actor_id`"), "{failure}");
    chat.line.sandbox.change_agent(&first, |agent| agent.is_deactivated = false);
    chat.line.sandbox.change_conversation(&chat.line.sandbox.messages().last().expect("one").0.id.clone(), |one| {
        "resolved".clone_into(&mut one.status);
    });
    chat.write("c3", None);
    assert_eq!(author(&chat), Some(first));
    assert_eq!(chat.line.sandbox.conversations().last().expect("one").properties["cf_line"], "voice");
    let everybody: Vec<_> = chat.line.sandbox.agents().map(|agent| agent.id.clone()).collect();
    everybody.iter().for_each(|id| chat.line.sandbox.deactivate_agent(id));
    chat.line.connector = connector(json!({}));
    let failure = chat.line.run(chat.line.connector.activities().create(&gone)).unwrap_err();
    assert!(failure.detail.contains("`defaults.actor_id`"), "{failure}");
}

#[test]
fn a_correction_is_one_more_message_and_is_said_once() {
    for newest_first in [true, false] {
        let mut chat = Chat::new(Settings { newest_first, ..Settings::default() });
        let agent = chat.agent.clone();
        let (mut call, at, conversation) = chat.write(sample::CALL_SID, None);
        assert_eq!(chat.update(&at, &call, TEXT), at, "nothing has changed");
        assert_eq!(
            (chat.update(&at, &call, Changed { facts: true, ..Changed::default() }), chat.texts()),
            (at.clone(), 1)
        );

        call.outcome = Outcome::Voicemail;
        "Voicemail from 09876543210".clone_into(&mut call.subject);
        chat.line.loses_creations = true;
        let connector = Arc::clone(&chat.line.connector);
        let updates = connector.updates().expect("updates");
        chat.line.run(updates.update(&at, &call, TEXT)).unwrap_err();
        chat.line.loses_creations = false;
        let again = chat.update(&at, &call, TEXT);
        assert_eq!(chat.texts(), 2, "a correction whose reply was lost was said twice");
        assert_ne!(again, at);
        assert_eq!(chat.find(&call), Some(at.clone()), "the record is where it was");

        // An agent who becomes known gets what is nobody's, and not what is somebody's.
        call.agent = Some(agent.clone());
        let assigned = Changed { agent: true, ..Changed::default() };
        chat.update(&at, &call, assigned);
        let holder = |chat: &Chat| {
            let one = chat.line.sandbox.conversations().find(|one| one.id == conversation).expect("it");
            (one.status.clone(), one.assigned_agent_id.clone())
        };
        assert_eq!(holder(&chat), ("assigned".to_owned(), Some(agent.id.clone())));
        let other = chat.line.sandbox.hire("Sanjay", "s@x.in");
        call.agent = Some(RecordRef::new("agent", other));
        chat.update(&at, &call, assigned);
        assert_eq!(holder(&chat).1, Some(agent.id));
        assert_eq!(chat.texts(), 2);
    }
}

/// It comes minutes after the call; much can have happened.
#[test]
fn a_recording_is_noted_whatever_has_become_of_conversation_and_agent() {
    let mut chat = Chat::new(Settings::default());
    let (agent, note) = (chat.agent.clone(), sample::note(sample::CALL_SID));
    let (call, at, conversation) = chat.write(sample::CALL_SID, Some(&agent));
    chat.line.sandbox.resolve(&conversation);
    chat.line.sandbox.deactivate_agent(&agent.id);
    let connector = Arc::clone(&chat.line.connector);
    let notes = connector.notes().expect("notes");
    let written = chat.line.run(notes.create(&at, &call, &note)).expect("a note");
    assert_eq!(chat.line.sandbox.conversations().next().expect("one").status, "resolved", "nobody is bothered");
    assert_eq!(chat.line.run(notes.update(&written, &call, &note)), Ok(written.clone()));
    assert_eq!(chat.texts(), 2);
    let corrected = Note { body: note.body.replace("34s", "35s"), ..note };
    assert_ne!(chat.line.run(notes.update(&written, &call, &corrected)), Ok(written));
    assert_eq!(chat.texts(), 3);
    assert!(chat.line.sandbox.records().iter().all(|record| !record.public));

    chat.line.sandbox.settings.resolved_takes_messages = false;
    let failure = chat.line.run(notes.create(&at, &call, &sample::note("other"))).unwrap_err();
    assert!(failure.kind == Kind::Invalid && failure.detail.contains("resolved"), "{failure}");
}

#[test]
fn a_conversation_whose_first_message_is_not_shown_is_reference_enough() {
    let mut chat = Chat::new(Settings { shows_messages: false, ..Settings::default() });
    let agent = chat.agent.clone();
    let (mut call, at, conversation) = chat.write(sample::CALL_SID, Some(&agent));
    assert_eq!(at.id, conversation);
    let connector = Arc::clone(&chat.line.connector);
    chat.line.run(connector.notes().expect("notes").create(&at, &call, &sample::note("n"))).expect("a note");
    "Voicemail".clone_into(&mut call.subject);
    chat.update(&at, &call, TEXT);
    assert_eq!(chat.texts(), 3);
    assert!(chat.find(&call).expect("the record").id.starts_with(&format!("{conversation}:")));
}

/// Never in public instead.
#[test]
fn an_account_that_begins_no_conversation_in_private_is_told_of() {
    let mut chat = Chat::new(Settings { begins_private: false, ..Settings::default() });
    let call = chat.call(sample::CALL_SID, Some(&chat.agent.clone()));
    let failure = chat.line.run(chat.line.connector.activities().create(&call)).unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Invalid, Retry::Never));
    assert!(failure.detail.contains("cannot begin with a private message"), "{failure}");
    assert_eq!(chat.texts(), 0);
}

/// Rather a human than a second record.
#[test]
fn a_record_that_cannot_be_looked_for_to_the_end_is_a_humans() {
    let mut chat = Chat::new(Settings::default());
    let agent = chat.agent.clone();
    for number in 0..40 {
        let (_, _, conversation) = chat.write(&format!("c{number}"), Some(&agent));
        chat.line.sandbox.resolve(&conversation);
    }
    let newest = chat.call("c39", Some(&agent));
    assert!(chat.find(&newest).is_some());
    let middle = chat.call("c20", Some(&agent));
    let find = chat.line.connector.activities().find(&middle).expect("a way");
    let failure = chat.line.run(find).unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Unsupported, Retry::Never));
    assert!(failure.detail.contains("CallSid c20"), "{failure}");
    assert!(chat.line.sent().iter().filter(|sent| sent.label == "message.list").all(|one| one.safety == Safety::Read));
}

#[test]
fn a_token_ends_on_its_day() {
    let ends = sample::NOW.checked_add(Duration::from_secs(60)).expect("a time");
    let token = token(ends);
    let credentials = Credentials::of([("api_key", token.as_str())]);
    let mut line = Line::new(connector(json!({})), Freshchat::new(&token), credentials, sample::NOW);
    let identify = |line: &mut Line<Freshchat>| line.run(line.connector.identify());
    assert_eq!(identify(&mut line).expect("an account").account, "account 105337, channel Phone");
    line.now = ends;
    let failure = identify(&mut line).unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Unauthorized, Retry::Never));
    assert!(failure.detail.contains("ended") && failure.detail.contains("`api_key`"), "{failure}");
}

#[test]
fn a_limit_is_waited_for_as_long_as_is_said_or_a_minute() {
    for (says_retry_after, wait) in [(true, 60), (false, 60)] {
        let mut chat = Chat::new(Settings { per_minute: Some(1), says_retry_after, ..Settings::default() });
        let failure = chat.line.run(chat.line.connector.identify()).unwrap_err();
        assert_eq!(failure.kind, Kind::RateLimited);
        assert_eq!(failure.retry, Retry::After(Duration::from_secs(wait)));
    }
}

/// The filter by number may lag; what Patchbay itself has made is known by its reference.
#[test]
fn a_caller_just_made_is_found_by_reference_while_the_filter_lags() {
    let mut chat = Chat::new(Settings { filter_lag: Duration::from_secs(30), ..Settings::default() });
    let connector = Arc::clone(&chat.line.connector);
    let contacts = connector.contacts().expect("contacts");
    let caller = patchbay_kit::NewContact { external_id: "exotel:new".to_owned(), ..sample::caller() };
    let made = chat.line.run(contacts.create(&caller)).expect("a contact");
    assert_eq!(chat.line.run(contacts.find(&["+919876543210".to_owned()])), Ok(Vec::new()));
    let found = chat.line.run(contacts.find_created("exotel:new").expect("a way")).expect("an answer");
    assert_eq!(found.map(|one| one.at), Some(made.at.clone()));
    assert_eq!(chat.line.run(contacts.create(&caller)).map(|one| one.at), Ok(made.at));
    assert_eq!(chat.line.sandbox.users().count(), 2);
}
