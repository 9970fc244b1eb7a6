//! Tells agents and consoles what their calls are doing: takes the news that the journal's reader finds, adds who the agent
//! and the caller are, as far as that is remembered, and publishes it. Nothing waits for it, and nothing of it is kept.
//!
//! # How an agent hears of it from us
//!
//! `call/live.rs` folds a call's events, by Exotel's clock, into where each tried agent stands: dialing, ringing,
//! answered, ended. What is different after a batch is news, so callbacks that overtake each other take nothing back;
//! of agents who are rung at once the others are let go when one answers; the end of the call ends it for all. After
//! the commit the news goes to `live.rs`, which adds the contact (store) and the owner (context) and publishes it in
//! the context, under the agent's id in the user mapping. A stream (`web/live.rs`) begins with `begin`, whether it was
//! resumed, then the last word of each call that goes on, or all since `Last-Event-ID`. With each heartbeat it is
//! looked whether whoever opened it may still hear it, and said that he is there. What is read more than ten seconds
//! late is counted and not told; an end is always told. SIGTERM ends all streams at once.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, future::join_all, stream};
use jiff::Timestamp;
use patchbay_kit::{Contact, Digits, Direction, Party, mask};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    call::{LiveHint, Over, Stage, shape},
    context::{Audience, Context, News},
    directory::{Agent, Agents, Roster},
    store::{LaneRef, Store},
    telemetry::{LiveLabels, Metrics},
};

/// News that may wait to be told; beyond that it would come late, and is let go.
const QUEUE: usize = 2000;
/// News that is being looked up at once; it is told in order all the same.
const AT_ONCE: usize = 8;
/// How long it is looked up who somebody is: what is not known by then is not told.
const LOOK_UP: Duration = Duration::from_millis(150);
/// What the event is called in the stream.
const KIND: &str = "call";

/// A call, as an agent is to see it now.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LiveCall")]
pub struct Picture {
    call_sid: String,
    state: Stage,
    /// Why it ended for him.
    over: Option<Over>,
    #[schemars(with = "shape::DirectionShape")]
    direction: Direction,
    customer: Side,
    exophone: Side,
    agent: Rung,
    /// The customer in each CRM that knows him.
    contacts: Vec<Known>,
    /// Whose contact the customer is.
    owner: Option<Named>,
    /// What the customer has keyed in so far.
    #[schemars(with = "Vec<shape::DigitsShape>")]
    digits: Vec<Digits>,
    started_at: Option<Timestamp>,
    /// Since when the state is this.
    since: Timestamp,
    talk_seconds: Option<u32>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({} {:?})", self.call_sid, self.state)
    }
}

/// One end of a call.
#[derive(Serialize, JsonSchema)]
struct Side {
    /// E.164, where it is a number that may be shown.
    number: Option<String>,
    /// As Exotel wrote it.
    written: String,
}

impl Side {
    fn of(party: &Party) -> Self {
        Self { number: party.number.as_ref().map(|number| number.e164.clone()), written: party.written.clone() }
    }
}

/// The agent whose phone it is.
#[derive(Serialize, JsonSchema)]
struct Rung {
    /// In the user mapping, if he is there.
    id: Option<String>,
    name: Option<String>,
    number: Side,
}

#[derive(Serialize, JsonSchema)]
struct Named {
    id: String,
    name: Option<String>,
}

/// A contact in a CRM.
#[derive(Serialize, JsonSchema)]
struct Known {
    integration: String,
    kind: String,
    id: String,
    name: String,
}

/// An account's news.
#[derive(Debug)]
pub struct Said {
    account: String,
    hint: LiveHint,
}

/// Where the journal's reader leaves its news.
#[derive(Clone, Debug)]
pub struct Live {
    queue: mpsc::Sender<Said>,
    metrics: Arc<Metrics>,
}

impl Live {
    pub fn new(metrics: Arc<Metrics>) -> (Self, mpsc::Receiver<Said>) {
        let (queue, said) = mpsc::channel(QUEUE);
        (Self { queue, metrics }, said)
    }

    /// Tells it, now or never.
    pub fn tell(&self, account: &str, hint: LiveHint) {
        if hint.late {
            count(&self.metrics, account, "late");
        } else if self.queue.try_send(Said { account: account.to_owned(), hint }).is_err() {
            count(&self.metrics, account, "dropped");
        }
    }
}

fn count(metrics: &Metrics, account: &str, outcome: &'static str) {
    metrics.live.get_or_create(&LiveLabels { account: account.to_owned(), outcome }).inc();
}

/// Publishes the news.
#[derive(Debug)]
pub struct Teller {
    pub context: Arc<dyn Context>,
    pub store: Arc<dyn Store>,
    pub agents: Arc<Agents>,
    pub metrics: Arc<Metrics>,
    pub stopping: CancellationToken,
}

impl Teller {
    /// Runs until the service stops.
    pub async fn run(self, said: mpsc::Receiver<Said>) {
        let said = stream::unfold(said, |mut said| async { Some((said.recv().await?, said)) });
        let mut composed = std::pin::pin!(said.map(|said| self.compose(said)).buffered(AT_ONCE));
        loop {
            let news = tokio::select! {
                news = composed.next() => news,
                () = self.stopping.cancelled() => None,
            };
            let Some(news) = news else { return };
            if let Some(news) = news {
                count(&self.metrics, &news.account, "told");
                self.context.publish(news).await;
            }
        }
    }

    /// `None`: it was said before, and heard.
    async fn compose(&self, Said { account, hint }: Said) -> Option<News> {
        let roster = self.agents.of(&account);
        let agent = rung(&roster, &hint);
        let key = hint
            .agent_number
            .number
            .as_ref()
            .map_or_else(|| hint.agent_number.written.trim().to_lowercase(), |number| number.e164.clone());
        let to = Audience::Agent(agent.map_or(key, |agent| agent.id.clone()));
        let call = Some(hint.call_sid.clone());
        if hint.again
            && !self.context.going_on(&account).iter().any(|on| on.told.news.to == to && on.told.news.call == call)
        {
            return None;
        }
        let (contacts, owner) = self.known(&account, &hint, &roster).await;
        let picture = Picture {
            call_sid: hint.call_sid.clone(),
            state: hint.agent.stage,
            over: hint.agent.over,
            direction: hint.direction,
            customer: Side::of(&hint.customer),
            exophone: Side::of(&hint.exophone),
            agent: Rung {
                id: agent.map(|agent| agent.id.clone()),
                name: agent.and_then(|agent| agent.profile.name.clone()),
                number: Side::of(&hint.agent_number),
            },
            contacts,
            owner,
            digits: hint.digits,
            started_at: hint.started_at,
            since: hint.agent.since,
            talk_seconds: hint.talk_seconds,
        };
        // A value of our own always has a JSON form.
        let data = serde_json::to_value(&picture).unwrap_or_default();
        let ends = picture.state == Stage::Ended;
        Some(News { account, to, call, ends, kind: KIND.to_owned(), data })
    }

    /// Who the caller is in the CRMs, and whose: what is remembered, for nobody asks a CRM while the phone rings.
    async fn known(&self, account: &str, hint: &LiveHint, roster: &Roster) -> (Vec<Known>, Option<Named>) {
        let lanes: Vec<LaneRef> = hint
            .integrations
            .iter()
            .map(|name| LaneRef { account: account.to_owned(), integration: name.clone() })
            .collect();
        let contacts = join_all(lanes.iter().map(|lane| self.store.contact(lane, &hint.external_id)));
        let owners = async {
            let Some(number) = &hint.known_by else { return Vec::new() };
            join_all(lanes.iter().map(|lane| self.context.owner(lane, number))).await
        };
        let Ok((contacts, owners)) = tokio::time::timeout(LOOK_UP, async { tokio::join!(contacts, owners) }).await
        else {
            return (Vec::new(), None);
        };
        let shown = |(lane, contact): (&LaneRef, Contact)| {
            // Whoever nobody knew was made a contact with his number for a name.
            let name = if hint.masked { mask::text(&contact.name) } else { contact.name };
            let at = contact.at;
            Known { integration: lane.integration.clone(), kind: at.kind, id: at.id, name }
        };
        let contacts = lanes.iter().zip(contacts).filter_map(|(lane, contact)| Some((lane, contact.ok()??)));
        let numbers = owners.iter().flatten().flat_map(|owner| &owner.numbers);
        let owner = numbers.filter_map(|number| roster.with_number(number)).next();
        let owner = owner.map(|agent| Named { id: agent.id.clone(), name: agent.profile.name.clone() });
        (contacts.map(shown).collect(), owner)
    }
}

/// The agent whose phone it is; Exotel names his e-mail where it knows him.
fn rung<'a>(roster: &'a Roster, hint: &LiveHint) -> Option<&'a Agent> {
    let Party { written, number } = &hint.agent_number;
    let number = number.as_ref().map_or(written.as_str(), |number| &number.e164);
    let by_email = || roster.with_email(hint.agent.email.as_deref()?).next();
    roster.with_number(number).or_else(by_email)
}
