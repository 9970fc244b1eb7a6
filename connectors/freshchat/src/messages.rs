//! A call's record: a private message in the conversation that its agent and its customer have.

use std::{collections::VecDeque, sync::Arc};

use jiff::Timestamp;
use patchbay_kit::{
    About, Activities, CallActivity, Changed, Exchange, Failure, Kind, RecordRef, Request, Retry, Step, Text, Updates,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    Account, Freshchat, NOT_FOUND,
    agents::stand_in,
    conversations::{self, Listed, Shown, show},
    errors::{classify, gone, speaks},
    path,
    scan::{Ended, Scan, Want},
};

/// Requests that an operation spends on looking; with those before and after, it stays below twenty.
pub(crate) const LOOKS: usize = 14;

/// What a message is to a call.
pub(crate) const MESSAGE: &str = "message";

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
struct Begun {
    conversation_id: String,
    #[serde(default)]
    messages: Vec<Id>,
}

/// Where a message is: `conversation:message`, or the conversation alone, where its first message has not been shown.
pub(crate) fn at(kind: &str, conversation: &str, message: Option<&str>) -> RecordRef {
    match message {
        Some(message) => RecordRef::new(kind, format!("{conversation}:{message}")),
        None => RecordRef::new(kind, conversation),
    }
}

/// The conversation a message is in. What has not the form of [`at`] is taken whole, and so for nothing that is there.
pub(crate) fn conversation_of(at: &RecordRef) -> &str {
    match at.id.split_once(':') {
        Some((conversation, message)) if crate::is_id(conversation) && crate::is_id(message) => conversation,
        _ => &at.id,
    }
}

/// A message as it is sent. `private` is said always: without it, it would go to the customer.
fn private(text: &str, author: &str) -> Map<String, Value> {
    Map::from_iter([
        ("message_parts".to_owned(), json!([{"text": {"content": text}}])),
        ("message_type".to_owned(), json!("private")),
        ("actor_type".to_owned(), json!("agent")),
        ("actor_id".to_owned(), json!(author)),
    ])
}

/// A message has no subject, so it is the first line.
fn text_of(call: &CallActivity) -> String {
    format!("{}\n{}", call.subject, call.body)
}

/// "Freshchat API, Conversations: Send a message to a conversation" \[V\].
pub(crate) fn say(kind: &'static str, conversation: &str, text: &str, author: &str) -> Exchange<RecordRef> {
    let id = conversation.to_owned();
    Request::post("message.create", path(["conversations", conversation, "messages"]))
        .json(Value::Object(private(text, author)))
        .done(move |reply| Ok(at(kind, &id, Some(&reply.json::<Id>()?.id))))
}

/// The same in the name of an agent who may be out of service by now, and then in another's: what is said of a call must
/// not be lost with him.
pub(crate) fn say_for(
    account: &Arc<Account>,
    kind: &'static str,
    conversation: &str,
    text: &str,
    author: Option<&str>,
) -> Exchange<RecordRef> {
    let (id, text) = (conversation.to_owned(), text.to_owned());
    let Some(author) = author else {
        return stand_in(account, move |author| say(kind, &id, &text, author));
    };
    let account = Arc::clone(account);
    let said = say(kind, conversation, &text, author);
    let request = said.request.clone();
    request
        .then(move |reply| {
            if !NOT_FOUND.contains(&reply.status) {
                return said.parse(reply);
            }
            let failure = classify(reply);
            if failure.about != Some(About::Agent) {
                return Err(if speaks(reply) { gone() } else { failure });
            }
            let (id, text) = (id.clone(), text.clone());
            Ok(Step::Then(stand_in(&account, move |author| say(kind, &id, &text, author))))
        })
        .accepting(NOT_FOUND)
}

/// A call on its way to its conversation.
struct Writing {
    account: Arc<Account>,
    /// Whose conversations they are; without a contact there are none.
    user: Option<String>,
    /// Whose call it was; nobody's goes into the conversation that is nobody's.
    agent: Option<String>,
    text: String,
}

impl Writing {
    /// Looks at the candidates in turn. When the looking has to end, another conversation is begun: that is one too many
    /// in the inbox, not one record too many.
    fn choose(self: Arc<Self>, mut candidates: VecDeque<Listed>, left: usize) -> Exchange<RecordRef> {
        let Some(Listed { id, .. }) = candidates.pop_front().filter(|_| left > 0) else {
            return self.begin();
        };
        show(&id)
            .then(move |reply| {
                let next = || Ok(Step::Then(Arc::clone(&self).choose(candidates.clone(), left - 1)));
                if NOT_FOUND.contains(&reply.status) {
                    return if speaks(reply) { next() } else { Err(classify(reply)) };
                }
                if !reply.json::<Shown>()?.takes(&self.account.channel, self.agent.as_deref()) {
                    return next();
                }
                Ok(Step::Then(match &self.agent {
                    // An agent who cannot write is told of: the core then does without him.
                    Some(agent) => say(MESSAGE, &id, &self.text, agent),
                    None => say_for(&self.account, MESSAGE, &id, &self.text, None),
                }))
            })
            .accepting(NOT_FOUND)
    }

    fn begin(self: Arc<Self>) -> Exchange<RecordRef> {
        match &self.agent {
            Some(agent) => self.begun_by(agent),
            None => stand_in(&Arc::clone(&self.account), move |author| self.begun_by(author)),
        }
    }

    /// "Freshchat API, Conversations: Create a conversation" \[V\], with a private first message \[C\].
    fn begun_by(&self, author: &str) -> Exchange<RecordRef> {
        let channel = &self.account.channel;
        let mut message = private(&self.text, author);
        message.insert("channel_id".to_owned(), json!(channel));
        let users: Vec<Value> = self.user.iter().map(|id| json!({"id": id})).collect();
        let mut fields = Map::from_iter([
            ("channel_id".to_owned(), json!(channel)),
            ("messages".to_owned(), json!([message])),
            ("users".to_owned(), json!(users)),
        ]);
        match &self.agent {
            Some(agent) => {
                fields.insert("status".to_owned(), json!("assigned"));
                fields.insert("assigned_agent_id".to_owned(), json!(agent));
            }
            None => {
                fields.insert("status".to_owned(), json!("new"));
            }
        }
        Request::post("conversation.create", path(["conversations"]))
            .json(self.account.defaults.conversation(fields))
            .done(|reply| {
                let Begun { conversation_id, messages } = reply.json()?;
                Ok(at(MESSAGE, &conversation_id, messages.first().map(|first| first.id.as_str())))
            })
    }
}

/// A call's message, looked for in one conversation of the customer's after the other.
struct Search {
    key: String,
    since: Option<Timestamp>,
}

impl Search {
    fn within(
        self: Arc<Self>,
        mut candidates: VecDeque<Listed>,
        left: usize,
    ) -> Result<Step<Option<RecordRef>>, Failure> {
        let Some(Listed { id, .. }) = candidates.pop_front() else {
            return Ok(Step::Done(None));
        };
        if left == 0 {
            return Err(too_long(&self.key));
        }
        let scan = Scan { conversation: id.clone(), want: Want::First { key: self.key.clone() }, since: self.since };
        // The page that is being read is one of them.
        Ok(Step::Then(scan.read(left - 1, move |ended, left| match ended {
            Ended::Found(message) => Ok(Step::Done(Some(at(MESSAGE, &id, Some(&message))))),
            Ended::NotThere | Ended::Gone => Arc::clone(&self).within(candidates.clone(), left),
            Ended::TooLong => Err(too_long(&self.key)),
        })))
    }
}

/// Rather a human than a second record.
pub(crate) fn too_long(key: &str) -> Failure {
    Failure::new(Kind::Unsupported, Retry::Never).because(format!(
        "the customer has more conversations or messages than can be looked through; search them for the CallSid {key}"
    ))
}

impl Activities for Freshchat {
    /// Looks through the messages of the customer's conversations in the channel, those that are open first. Lists and
    /// messages are read as they are stored; Freshchat's search has no part in it.
    fn find(&self, call: &CallActivity) -> Option<Exchange<Option<RecordRef>>> {
        let user = &call.contact.as_ref()?.id;
        let search = Arc::new(Search { key: call.key.0.clone(), since: call.started_at });
        let account = Arc::clone(&self.account);
        Some(conversations::of(user, move |mut listed| {
            listed.retain(|one| one.is_in(&account.channel));
            Arc::clone(&search).within(listed, LOOKS)
        }))
    }

    fn create(&self, call: &CallActivity) -> Exchange<RecordRef> {
        let user = call.contact.as_ref().map(|contact| contact.id.clone());
        let agent = call.agent.as_ref().map(|agent| agent.id.clone());
        let writing = Writing { account: Arc::clone(&self.account), user, agent, text: text_of(call) };
        let writing = Arc::new(writing);
        let Some(user) = writing.user.clone() else {
            return writing.begin();
        };
        conversations::of(&user, move |mut listed| {
            listed.retain(|one| one.is_in(&writing.account.channel) && one.may_be_open());
            Ok(Step::Then(Arc::clone(&writing).choose(listed, LOOKS)))
        })
    }
}

impl Updates for Freshchat {
    /// There is no operation that edits a message, so what has changed is said in one more, once: where the same was said
    /// already, by a try whose reply was lost, nothing is added. An agent who becomes known gets the conversation if it
    /// is nobody's; one that somebody else has stays his.
    fn update(&self, at: &RecordRef, call: &CallActivity, changed: Changed) -> Exchange<RecordRef> {
        let id = conversation_of(at).to_owned();
        let agent = call.agent.as_ref().map(|agent| agent.id.clone());
        let text = (changed.subject || changed.body).then(|| text_of(call));
        let (account, was, since) = (Arc::clone(&self.account), at.clone(), call.started_at);
        show(&id)
            .then(move |reply| {
                if NOT_FOUND.contains(&reply.status) {
                    return Err(if speaks(reply) { gone() } else { classify(reply) });
                }
                let shown: Shown = reply.json()?;
                let author = agent.clone().or_else(|| shown.agent().map(str::to_owned));
                let say = {
                    let (account, id, text, was) = (Arc::clone(&account), id.clone(), text.clone(), was.clone());
                    move || match &text {
                        Some(text) => Step::Then(say_once(&account, MESSAGE, &id, text, author.clone(), since)),
                        None => Step::Done(was.clone()),
                    }
                };
                let takes = changed.agent && shown.is_open() && shown.agent().is_none();
                Ok(match agent.as_deref().filter(|_| takes) {
                    Some(agent) => Step::Then(assign(&id, agent).then(move |_| Ok(say()))),
                    None => say(),
                })
            })
            .accepting(NOT_FOUND)
    }

    /// What was said is not written over: what is new is one more message.
    fn text(&self, _: &RecordRef) -> Option<Exchange<Text>> {
        None
    }
}

/// "Freshchat API, Conversations: Update a conversation" \[V\].
fn assign(id: &str, agent: &str) -> Request {
    Request::put("conversation.assign", path(["conversations", id]))
        .json(json!({"status": "assigned", "assigned_agent_id": agent}))
}

/// Says something unless it has been said.
pub(crate) fn say_once(
    account: &Arc<Account>,
    kind: &'static str,
    conversation: &str,
    text: &str,
    author: Option<String>,
    since: Option<Timestamp>,
) -> Exchange<RecordRef> {
    let (account, id, text) = (Arc::clone(account), conversation.to_owned(), text.to_owned());
    let scan = Scan { conversation: id.clone(), want: Want::Text(text.clone()), since };
    scan.read(LOOKS - 2, move |ended, _| match ended {
        Ended::Found(message) => Ok(Step::Done(at(kind, &id, Some(&message)))),
        Ended::Gone => Err(gone()),
        // A correction that stands twice is better than one that is missing.
        Ended::NotThere | Ended::TooLong => Ok(Step::Then(say_for(&account, kind, &id, &text, author.as_deref()))),
    })
}
