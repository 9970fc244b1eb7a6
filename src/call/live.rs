//! Where each agent whom a call tried stands in it now: a fold of its events, by Exotel's clock, that does not care about
//! the order they come in. What is told to an agent is the difference between before and after, so an `Answered` that
//! overtakes its `Ringing` is not taken back by it.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use patchbay_kit::{Digits, Direction, Party, PhoneNumber, mask};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    event::{CallEvent, EventKind},
    phone,
    plan::PlanRules,
    state::{self, CallState},
};

/// How old an event may be that is told as news: later, the call is not ringing any more.
const FRESH: Duration = Duration::from_secs(10);
/// More agents than these are not tried in one call; a hostile request may say otherwise.
const MAX_AGENTS: usize = 64;

/// How far ringing one agent has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Dialing,
    Ringing,
    Answered,
    Ended,
}

impl Stage {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dialing => "dialing",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Ended => "ended",
        }
    }
}

/// Why an agent's part in a call is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// His own attempt ended.
    Attempt,
    /// Another agent took the call.
    TakenElsewhere,
    /// The call ended.
    Call,
}

/// One agent's part in a call.
#[derive(Clone, PartialEq, Eq)]
pub struct LiveAgent {
    /// As Exotel wrote it.
    pub agent: String,
    pub email: Option<String>,
    pub stage: Stage,
    /// Since when, by Exotel's clock.
    pub since: Timestamp,
    pub over: Option<Over>,
    /// He may be rung more than once in a call: which time this is, from 1.
    round: u32,
}

impl fmt::Debug for LiveAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveAgent({} {:?} {:?})", mask::number(&self.agent), self.stage, self.over)
    }
}

/// What one event says. Ordered: of one second, the further step is the later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// The part of the flow that dials agents is over. Another may follow, even within the second: what is new then is its.
    Concluded,
    At(Stage),
    /// The call is over, whatever any clock says.
    Over,
}

fn step(event: &CallEvent) -> Option<(Step, Option<&String>)> {
    let agent = event.facts.agent.as_ref();
    let rung = |stage| agent.map(|agent| (Step::At(stage), Some(agent)));
    match event.kind {
        EventKind::Dialing | EventKind::Placed => rung(Stage::Dialing),
        EventKind::Ringing => rung(Stage::Ringing),
        EventKind::Answered => rung(Stage::Answered),
        EventKind::AttemptEnded => rung(Stage::Ended),
        EventKind::Completed | EventKind::Missed | EventKind::FlowEnded | EventKind::Voicemail => {
            Some((Step::Concluded, None))
        }
        EventKind::StatusChanged | EventKind::Detailed | EventKind::Listed if state::says_over(event) => {
            Some((Step::Over, None))
        }
        EventKind::StatusChanged => placed(event),
        _ => None,
    }
}

/// `answered` comes once for each leg of a placed call: with the first the agent is there and the customer is rung, with
/// the second they talk (exotel-api §3).
fn placed(event: &CallEvent) -> Option<(Step, Option<&String>)> {
    let agent = state::placed_for(event)?;
    let speaks = |at: usize| {
        let status = event.facts.legs.get(at).and_then(|leg| leg.status.as_deref());
        status.is_some_and(|status| status.eq_ignore_ascii_case("in-progress"))
    };
    let stage = match (speaks(0), speaks(1)) {
        (_, true) => Stage::Answered,
        (true, false) => Stage::Ringing,
        (false, false) => return None,
    };
    Some((Step::At(stage), Some(agent)))
}

/// Where the agents of a call stand, in the order they were first tried.
pub fn live<'a>(events: impl IntoIterator<Item = &'a CallEvent>) -> Vec<LiveAgent> {
    let said = |event: &'a CallEvent| {
        let (step, agent) = step(event)?;
        Some((event.at.unwrap_or(event.received_at), step, agent, event))
    };
    let mut steps: Vec<_> = events.into_iter().filter_map(said).collect();
    steps.sort_by_key(|(at, step, agent, _)| (*at, *step, *agent));
    let mut agents: Vec<LiveAgent> = Vec::new();
    for (at, step, agent, event) in &steps {
        match (step, agent) {
            (Step::At(stage), Some(agent)) => reach(&mut agents, agent, *stage, *at, event),
            (Step::Concluded, _) => agents.iter_mut().for_each(|agent| end(agent, Over::Call, *at)),
            _ => {}
        }
    }
    if let Some((at, ..)) = steps.iter().find(|(_, step, ..)| *step == Step::Over) {
        agents.iter_mut().for_each(|agent| end(agent, Over::Call, *at));
    }
    agents
}

fn reach(agents: &mut Vec<LiveAgent>, agent: &str, stage: Stage, at: Timestamp, event: &CallEvent) {
    let over = (stage == Stage::Ended).then_some(Over::Attempt);
    let place = match agents.iter().position(|known| phone::same(&known.agent, agent)) {
        Some(place) => place,
        None if agents.len() >= MAX_AGENTS => return,
        None => {
            agents.push(LiveAgent { agent: agent.to_owned(), email: None, stage, since: at, over, round: 1 });
            agents.len() - 1
        }
    };
    let known = &mut agents[place];
    known.email = known.email.take().or_else(|| event.facts.agent_email.clone());
    let again = known.stage == Stage::Ended
        && stage != Stage::Ended
        && at > known.since
        // His phone may go on ringing for a moment after somebody else's was picked up.
        && !(stage == Stage::Ringing && known.over == Some(Over::TakenElsewhere));
    if again {
        known.round += 1;
    }
    if again || stage > known.stage {
        (known.stage, known.since, known.over) = (stage, at, over);
    }
    if stage == Stage::Answered && agents[place].stage == Stage::Answered {
        let rung = |known: &&mut LiveAgent| matches!(known.stage, Stage::Dialing | Stage::Ringing);
        agents.iter_mut().filter(rung).for_each(|other| end(other, Over::TakenElsewhere, at));
    }
}

fn end(agent: &mut LiveAgent, over: Over, at: Timestamp) {
    if agent.stage != Stage::Ended {
        (agent.stage, agent.since, agent.over) = (Stage::Ended, at, Some(over));
    }
}

/// What an agent is to be told of a call, before it is known who he is.
#[derive(Clone, PartialEq, Eq)]
pub struct LiveHint {
    pub call_sid: String,
    pub agent: LiveAgent,
    pub agent_number: Party,
    /// The account's integrations, which may know the customer.
    pub integrations: Vec<String>,
    pub direction: Direction,
    pub customer: Party,
    pub exophone: Party,
    /// Of the customer's number only the end is shown.
    pub masked: bool,
    /// The customer's number, for asking what is known of him; not to be shown.
    pub known_by: Option<PhoneNumber>,
    /// Under which the customer's contact is known.
    pub external_id: String,
    pub digits: Vec<Digits>,
    pub started_at: Option<Timestamp>,
    pub talk_seconds: Option<u32>,
    /// It is no news any more.
    pub late: bool,
    /// He was told before, and it is said once more in case that got lost.
    pub again: bool,
}

impl fmt::Debug for LiveHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveHint({} {:?})", self.call_sid, self.agent)
    }
}

/// What is news to the agents of a call: `before` is what was known, `fresh` has just come, `state` is what all of it comes
/// to. An end is always told, however late: nobody may be left with a call that is over on his screen.
pub fn live_news(
    before: &[&CallEvent],
    fresh: &[&CallEvent],
    state: &CallState,
    rules: &PlanRules,
    now: Timestamp,
) -> Vec<LiveHint> {
    let was = live(before.iter().copied());
    let is = live(before.iter().chain(fresh).copied());
    let late = !fresh.iter().any(|event| event.received_at + FRESH > now);
    let over = fresh.iter().any(|event| state::says_over(event));
    let masked = rules.integrations.iter().any(|integration| integration.mask_numbers);
    let caller = super::plan::caller(state, &rules.country);
    let customer = match (masked, &state.customer) {
        (true, Some(customer)) => Party { written: mask::number(customer), number: None },
        _ => phone::party(state.customer.as_deref(), &rules.country),
    };
    let hint = |agent: LiveAgent| {
        let told = was.iter().find(|was| phone::same(&was.agent, &agent.agent));
        let ended = agent.stage == Stage::Ended;
        let (news, again) = match told {
            Some(was) => {
                let news = was.stage != agent.stage || (was.round < agent.round && !ended);
                (news, over && ended && !news)
            }
            // That it ended is no news to whom it was not told to begin.
            None => (!ended, false),
        };
        (news || again).then(|| LiveHint {
            call_sid: state.call_sid.clone(),
            late: late && !ended,
            agent_number: phone::party(Some(&agent.agent), &rules.country),
            integrations: rules.integrations.iter().map(|integration| integration.name.clone()).collect(),
            agent,
            direction: state.direction,
            customer: customer.clone(),
            exophone: phone::party(state.exophone.as_deref(), &rules.country),
            masked,
            known_by: caller.number.clone(),
            external_id: caller.external_id.clone(),
            digits: state.digits.clone(),
            started_at: state.started_at,
            talk_seconds: state.talk_seconds.filter(|_| ended),
            again,
        })
    };
    is.into_iter().filter_map(hint).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::call::{
        Hook,
        tests::{integration, read, rules},
    };
    use patchbay_kit::TextFormat;

    const A: &str = "09711581199";
    const B: &str = "09945476362";
    /// When all of it is received.
    const NOW: i64 = 1_703_660_000;

    fn said(query: &str, second: u32) -> CallEvent {
        let query = format!(
            "CallSid=c1&CallFrom=09052161119&CallTo=08046801234&CurrentTime=2023-12-27+12%3A17%3A{second:02}&{query}"
        );
        read(Hook::CallEvents, &query, None, "", NOW)
    }

    fn pop(event_type: &str, agent: &str, second: u32) -> CallEvent {
        said(&format!("event=pop&EventType={event_type}&DialWhomNumber={agent}"), second)
    }

    fn status(status: &str, legs: [&str; 2]) -> CallEvent {
        let query = format!(
            "CallSid=c1&Status={status}&Direction=outbound-api&From={A}&To=09052161119&PhoneNumberSid=08046801234\
             &EventTime=2023-12-27+12%3A17%3A20&Legs%5B0%5D%5BStatus%5D={}&Legs%5B1%5D%5BStatus%5D={}",
            legs[0], legs[1]
        );
        read(Hook::Status, &query, None, "", NOW)
    }

    /// Agents with their stages.
    type Stages = Vec<(String, Stage)>;

    /// Each agent's stage at the end, and what was told on the way, one event at a time.
    fn told(events: &[CallEvent]) -> (Stages, Stages) {
        let rules = rules(vec![integration("support", TextFormat::Html, true)]);
        let now = Timestamp::from_second(NOW).unwrap();
        let mut told = Vec::new();
        for at in 0..events.len() {
            let (before, fresh) = (events[..at].iter().collect::<Vec<_>>(), [&events[at]]);
            let state = CallState::fold(&events[..=at]).unwrap();
            let news = live_news(&before, &fresh, &state, &rules, now);
            told.extend(news.into_iter().filter(|hint| !hint.again).map(|hint| (hint.agent.agent, hint.agent.stage)));
        }
        let stands = live(events).into_iter().map(|agent| (agent.agent, agent.stage)).collect();
        (stands, told)
    }

    fn of(agent: &str, told: &[(String, Stage)]) -> Vec<Stage> {
        told.iter().filter(|(of, _)| of == agent).map(|(_, stage)| *stage).collect()
    }

    #[test]
    fn an_agent_is_told_each_step_once_and_none_that_was_overtaken() {
        use Stage::{Answered, Dialing, Ended, Ringing};
        let [dial, ringing, answered, over] =
            [("Dial", 2), ("Ringing", 4), ("Answered", 9), ("Terminal", 20)].map(|(what, at)| pop(what, A, at));
        let in_order = [&dial, &ringing, &answered, &answered, &over].map(Clone::clone);
        assert_eq!(of(A, &told(&in_order).1), [Dialing, Ringing, Answered, Ended]);
        let overtaken = [&answered, &ringing, &dial, &over].map(Clone::clone);
        assert_eq!(of(A, &told(&overtaken).1), [Answered, Ended]);
        // An end of what was never seen to begin is no news, nor what comes behind it.
        assert_eq!(of(A, &told(&[over, ringing, dial]).1), []);
    }

    #[test]
    fn of_two_who_are_rung_at_once_the_loser_is_let_go() {
        use Stage::{Answered, Dialing, Ended, Ringing};
        let rung = [pop("Dial", A, 2), pop("Dial", B, 2), pop("Ringing", A, 3), pop("Ringing", B, 3)];
        let taken = [&rung[..], &[pop("Answered", B, 5), pop("Ringing", A, 6)]].concat();
        let (stands, heard) = told(&taken);
        assert_eq!(stands, [(A.to_owned(), Ended), (B.to_owned(), Answered)]);
        assert_eq!(of(A, &heard), [Dialing, Ringing, Ended], "a phone that rings on for a moment is not rung anew");
        assert_eq!(of(B, &heard), [Dialing, Ringing, Answered]);
        assert_eq!(live(&taken)[0].over, Some(Over::TakenElsewhere));
        // He is dialled again later, when it is a call for two.
        assert_eq!(of(A, &told(&[&taken[..], &[pop("Dial", A, 30)]].concat()).1), [Dialing, Ringing, Ended, Dialing]);
    }

    #[test]
    fn the_end_of_the_call_ends_it_for_all() {
        use Stage::{Answered, Dialing, Ended};
        let missed = [pop("Dial", A, 2), pop("Dial", B, 2), said("event=missed", 30)];
        let (stands, heard) = told(&missed);
        assert_eq!(stands, [(A.to_owned(), Ended), (B.to_owned(), Ended)]);
        assert_eq!((of(A, &heard), of(B, &heard)), (vec![Dialing, Ended], vec![Dialing, Ended]));
        // The flow goes on and dials others, even within the second.
        let on = [&missed[..], &[pop("Dial", "09811112222", 30), pop("Answered", A, 40)]].concat();
        let (stands, _) = told(&on);
        assert_eq!(stands.iter().map(|(_, stage)| *stage).collect::<Vec<_>>(), [Answered, Ended, Ended]);
        let over =
            read(Hook::Details, "", Some("application/json"), r#"{"Call":{"Sid":"c1","Status":"completed"}}"#, NOW);
        let (stands, heard) = told(&[&on[..], std::slice::from_ref(&over)].concat());
        assert!(stands.iter().all(|(_, stage)| *stage == Ended), "{stands:?}");
        assert_eq!(of(A, &heard), [Dialing, Ended, Answered, Ended]);
        // Whoever did not hear of it hears it once more; whoever was never rung hears nothing.
        let rules = rules(vec![integration("support", TextFormat::Html, true)]);
        let state = CallState::fold(&missed).unwrap();
        let again = live_news(&missed.iter().collect::<Vec<_>>(), &[&over], &state, &rules, Timestamp::MAX);
        assert!(again.len() == 2 && again.iter().all(|hint| hint.again && !hint.late), "{again:?}");
        assert!(live_news(&[], &[&over], &state, &rules, Timestamp::MAX).is_empty());
    }

    #[test]
    fn a_placed_call_rings_the_agent_then_the_customer() {
        use Stage::{Answered, Ended, Ringing};
        let answered =
            [status("in-progress", ["in-progress", ""]), status("in-progress", ["in-progress", "in-progress"])];
        let all = [&answered[..], &[status("completed", ["completed", "completed"])]].concat();
        assert_eq!(of(A, &told(&all).1), [Ringing, Answered, Ended]);
    }

    #[test]
    fn what_is_late_is_said_to_be_so_but_an_end_is_told() {
        let rules = rules(vec![integration("support", TextFormat::Html, true)]);
        let [dial, over] = [pop("Dial", A, 2), pop("Terminal", A, 20)];
        let late = Timestamp::from_second(NOW + 11).unwrap();
        let state = CallState::fold([&dial]).unwrap();
        let hints = live_news(&[], &[&dial], &state, &rules, late);
        assert!(hints.len() == 1 && hints[0].late, "{hints:?}");
        let fresh = Timestamp::from_second(NOW + 9).unwrap();
        assert!(!live_news(&[], &[&dial], &state, &rules, fresh)[0].late);
        let hints = live_news(&[&dial], &[&over], &state, &rules, late);
        assert!(hints.len() == 1 && !hints[0].late, "{hints:?}");
    }

    #[test]
    fn a_masked_number_is_shown_to_nobody() {
        let mut of_crm = integration("support", TextFormat::Html, true);
        let dial = pop("Dial", A, 2);
        let state = CallState::fold([&dial]).unwrap();
        let mut hint = |mask_numbers| {
            of_crm.mask_numbers = mask_numbers;
            let now = Timestamp::from_second(NOW).unwrap();
            live_news(&[], &[&dial], &state, &rules(vec![of_crm.clone()]), now).remove(0)
        };
        assert_eq!(hint(false).customer.number.map(|number| number.e164).as_deref(), Some("+919052161119"));
        let masked = hint(true);
        assert!(
            masked.customer.number.is_none() && !masked.customer.written.contains("905216"),
            "{:?}",
            masked.customer
        );
        let shown = format!("{:?} {:?}", hint(false), live([&dial]));
        assert!(!shown.contains("9711581199") && !shown.contains("9052161119"), "{shown}");
    }

    proptest! {
        /// However callbacks overtake each other: of one attempt nobody hears a step after a later one, and all end up
        /// where the clock says.
        #[test]
        fn nothing_is_taken_back(order in Just((0..9usize).collect::<Vec<_>>()).prop_shuffle()) {
            let events = [
                pop("Dial", A, 2), pop("Dial", B, 2), pop("Ringing", A, 4), pop("Ringing", B, 5), pop("Answered", A, 9),
                pop("Terminal", B, 9), pop("Terminal", A, 30), said("event=answered", 31), pop("Answered", A, 9),
            ];
            let shuffled: Vec<CallEvent> = order.iter().map(|at| events[*at].clone()).collect();
            let (stands, heard) = told(&shuffled);
            for agent in [A, B] {
                let heard = of(agent, &heard);
                prop_assert!(heard.is_sorted(), "{heard:?}");
                prop_assert!(heard.windows(2).all(|two| two[0] != two[1]), "{heard:?}");
                prop_assert!(stands.contains(&(agent.to_owned(), Stage::Ended)));
            }
        }
    }
}
