//! Whom a caller on the line is put through to: a function of the account's rules, of what is known of the call, and of a
//! clock reading.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, Time},
    tz::Offset,
};
use patchbay_kit::RecordRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{applet::Applets, phone};

/// A question that comes again so soon, and tells of nothing new, is the same question: to ring somebody without success
/// takes longer.
pub const REPEATED_WITHIN: SignedDuration = SignedDuration::from_secs(2);
/// The rule of an answer that was given before.
const REPEATED: &str = "repeated";

/// One place where somebody to dial is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Whom a bot named for this call.
    HandOver,
    /// The caller's owner in the CRM.
    Owner,
    /// The agent who spoke with him last.
    Sticky,
    Group(String),
    /// Fixed numbers.
    Fallback,
}

impl Step {
    /// As the configuration writes it.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "hand_over" => Some(Self::HandOver),
            "owner" => Some(Self::Owner),
            "sticky" => Some(Self::Sticky),
            "fallback" => Some(Self::Fallback),
            _ => text.strip_prefix("group:").map(|name| Self::Group(name.trim().to_owned())),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HandOver => f.write_str("hand_over"),
            Self::Owner => f.write_str("owner"),
            Self::Sticky => f.write_str("sticky"),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Fallback => f.write_str("fallback"),
        }
    }
}

/// Agents who are dialled for one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    /// Numbers in E.164, `sip:…`, or e-mail addresses of the user mapping.
    pub members: Vec<String>,
    /// All at once; else one after the other.
    pub together: bool,
}

/// When the account is open, by its own clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    pub utc_offset: Offset,
    /// From Monday.
    pub days: [bool; 7],
    /// From and until; one that ends before it begins goes on past midnight.
    pub spans: Vec<(Time, Time)>,
    pub holidays: BTreeSet<Date>,
    /// Where somebody is looked for while it is closed.
    pub outside: Vec<Step>,
}

impl Hours {
    pub fn open(&self, now: Timestamp) -> bool {
        let here = self.utc_offset.to_datetime(now);
        let (today, time) = (here.date(), here.time());
        let works = |day: Date| {
            let weekday = usize::try_from(day.weekday().to_monday_zero_offset()).unwrap_or_default();
            self.days[weekday % 7] && !self.holidays.contains(&day)
        };
        self.spans.iter().any(|&(from, until)| {
            if from < until {
                works(today) && from <= time && time < until
            } else {
                // What began yesterday goes on until then.
                (works(today) && from <= time) || (time < until && today.yesterday().is_ok_and(works))
            }
        })
    }
}

/// An account's rules for callers on the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routing {
    pub order: Vec<Step>,
    pub groups: Vec<Group>,
    /// E.164, or `sip:…`.
    pub fallback: Vec<String>,
    /// How long ago a conversation may be that binds a caller to its agent.
    pub sticky: Duration,
    /// How long ago a ticket may have been made that counts as open.
    pub ticket_open: Duration,
    /// `None`: always open.
    pub hours: Option<Hours>,
    pub record: bool,
    /// How long one agent is rung; Exotel's 30 s if `None`.
    pub ring_seconds: Option<u32>,
    /// CRMs are asked for a caller's owner as soon as his call is heard of, before a Connect applet asks.
    pub ahead: bool,
    pub applets: Applets,
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            order: vec![Step::HandOver, Step::Owner, Step::Fallback],
            groups: Vec::new(),
            fallback: Vec::new(),
            sticky: Duration::from_secs(30 * 86_400),
            ticket_open: Duration::from_secs(7 * 86_400),
            hours: None,
            record: true,
            ring_seconds: None,
            ahead: false,
            applets: Applets::default(),
        }
    }
}

impl Routing {
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.hours.as_ref().is_none_or(|hours| hours.open(now))
    }

    /// Where somebody is looked for now.
    pub fn steps(&self, now: Timestamp) -> &[Step] {
        match &self.hours {
            Some(hours) if !hours.open(now) => &hours.outside,
            _ => &self.order,
        }
    }

    fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }
}

/// A caller's owner, as one integration names him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub integration: String,
    /// Likeliest first.
    pub numbers: Vec<String>,
    pub source: Source,
}

/// Where a number came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Known from before.
    Cache,
    /// Known from long before; it is being asked for anew.
    Stale,
    /// The CRM was asked while the caller waited.
    Asked,
    /// The calls that are stored.
    Calls,
    /// What a bot left for this call.
    Call,
    Configuration,
}

/// What is known of a call when its Connect applet asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Whom a bot named: a number, `sip:…`, an agent's e-mail address, or a group.
    pub hand_over: Option<String>,
    pub owners: Vec<Owner>,
    pub sticky: Option<String>,
    /// The numbers this call's applets were given before, in order.
    pub offered: Vec<String>,
    /// The last number that was dialled.
    pub last_dialled: Option<String>,
    /// The request says that an attempt was made, and failed.
    pub failed: bool,
    /// Numbers of agents by their e-mail addresses in lower case.
    pub agents: BTreeMap<String, String>,
}

impl Known {
    /// What was dialled without success. Of a list the applet comes back at once for, everything after the number it
    /// dialled last is still to be tried.
    fn tried(&self) -> Vec<&str> {
        let last = self.last_dialled.as_deref();
        let reached = last.and_then(|last| self.offered.iter().position(|number| phone::same(number, last)));
        let offered = match reached {
            Some(at) => &self.offered[..=at],
            None => &self.offered[..],
        };
        let failed = last.filter(|_| self.failed);
        offered.iter().map(String::as_str).chain(failed).collect()
    }
}

/// What a Connect applet's question says of the attempt before it.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attempt {
    /// The last number that was dialled.
    pub dialled: Option<String>,
    /// It failed.
    pub failed: bool,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attempt({}, failed: {})", if self.dialled.is_some() { "somebody" } else { "nobody" }, self.failed)
    }
}

/// An answer that named somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub applet: String,
    pub at: Timestamp,
    /// As its question said.
    pub after: Attempt,
    pub decision: Decision,
    /// Somebody of it has been rung since, and is so no more.
    pub tried: bool,
}

/// The last answer, if this question is the one that it was given to, once more: whoever did not hear an answer asks
/// again, and gets the same one. Who asks because an attempt failed says so, or comes later.
pub fn repeats<'a>(given: &'a [Given], applet: &str, after: &Attempt, now: Timestamp) -> Option<&'a Given> {
    let last = given.last()?;
    let soon = now.duration_since(last.at) < REPEATED_WITHIN;
    (soon && !last.tried && last.applet == applet && last.after == *after).then_some(last)
}

/// Who is to be dialled, and why.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Decision {
    /// In order; E.164 or `sip:…`.
    pub numbers: Vec<String>,
    /// All at once.
    pub together: bool,
    /// There are others, should none of these answer.
    pub more: bool,
    /// The step that named them; `nobody`, `tried_all`, or `repeated` where none did.
    pub rule: String,
    pub source: Source,
    pub integration: Option<String>,
    pub outside_hours: bool,
}

impl Decision {
    /// The answer of before, as it is told of once more.
    #[must_use]
    pub fn repeated(self) -> Self {
        Self { rule: REPEATED.to_owned(), ..self }
    }
}

impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decision({} numbers by {})", self.numbers.len(), self.rule)
    }
}

/// What was answered last, as far as it can still be told.
fn repeated(rules: &Routing, known: &Known, steps: &[Step]) -> Offer {
    let Some(last) = known.offered.last() else { return Offer::default() };
    let mut offers = steps.iter().flat_map(|step| offers(rules, known, step));
    let of_last = offers.rfind(|offer| offer.numbers.iter().any(|number| phone::same(number, last)));
    match of_last {
        Some(offer) => Offer { numbers: left(&offer, &[]), ..offer },
        None => Offer::of(vec![last.clone()], Source::Call),
    }
}

/// What one step has to offer.
struct Offer {
    numbers: Vec<String>,
    together: bool,
    source: Source,
    integration: Option<String>,
}

impl Default for Offer {
    fn default() -> Self {
        Self::of(Vec::new(), Source::Configuration)
    }
}

impl Offer {
    fn of(numbers: Vec<String>, source: Source) -> Self {
        Self { numbers, together: false, source, integration: None }
    }
}

/// Whether somebody has to be asked before the first step that surely names someone: owners, and the last agent.
pub fn wants(rules: &Routing, known: &Known, now: Timestamp) -> (bool, bool) {
    let (mut owner, mut sticky) = (false, false);
    let tried = known.tried();
    for step in rules.steps(now) {
        match step {
            Step::Owner => owner = true,
            Step::Sticky => sticky = true,
            _ => {
                let offers = offers(rules, known, step);
                if offers.iter().any(|offer| !left(offer, &tried).is_empty()) {
                    break;
                }
            }
        }
    }
    (owner, sticky)
}

/// The first step that names somebody who was not tried yet decides. Asked again for the same call, the next one does.
pub fn route(rules: &Routing, known: &Known, now: Timestamp) -> Decision {
    let steps = rules.steps(now);
    let outside_hours = !rules.is_open(now);
    let tried = known.tried();
    let mut decision: Option<Decision> = None;
    for step in steps {
        for offer in offers(rules, known, step) {
            let left = left(&offer, &tried);
            match &mut decision {
                _ if left.is_empty() => {}
                None => {
                    decision = Some(Decision {
                        together: offer.together && left.len() > 1,
                        numbers: left,
                        more: false,
                        rule: step.to_string(),
                        source: offer.source,
                        integration: offer.integration,
                        outside_hours,
                    });
                }
                Some(decision) => {
                    let new = |number: &String| !decision.numbers.iter().any(|given| phone::same(given, number));
                    decision.more |= left.iter().any(new);
                }
            }
        }
    }
    decision.unwrap_or_else(|| {
        // The same request twice gets the same answer twice; one that comes after a failed attempt gets an end.
        let repeats = !known.failed && known.last_dialled.is_none() && !known.offered.is_empty();
        let rule = match (repeats, known.offered.is_empty()) {
            (true, _) => REPEATED,
            (false, true) => "nobody",
            (false, false) => "tried_all",
        };
        let again = if repeats { repeated(rules, known, steps) } else { Offer::default() };
        Decision {
            together: again.together && again.numbers.len() > 1,
            numbers: again.numbers,
            more: false,
            rule: rule.to_owned(),
            source: again.source,
            integration: again.integration,
            outside_hours,
        }
    })
}

fn offers(rules: &Routing, known: &Known, step: &Step) -> Vec<Offer> {
    match step {
        Step::HandOver => {
            known.hand_over.as_deref().map(|target| hand_over(rules, known, target)).into_iter().collect()
        }
        Step::Owner => known
            .owners
            .iter()
            .map(|owner| Offer {
                numbers: owner.numbers.clone(),
                together: false,
                source: owner.source,
                integration: Some(owner.integration.clone()),
            })
            .collect(),
        Step::Sticky => vec![Offer::of(known.sticky.iter().cloned().collect(), Source::Calls)],
        Step::Group(name) => rules.group(name).map(|group| members(group, known)).into_iter().collect(),
        Step::Fallback => vec![Offer::of(rules.fallback.clone(), Source::Configuration)],
    }
}

fn members(group: &Group, known: &Known) -> Offer {
    let numbers = group.members.iter().filter_map(|member| agent(member, known)).collect();
    Offer { together: group.together, ..Offer::of(numbers, Source::Configuration) }
}

/// A number, `sip:…` or an agent's e-mail address, as it is dialled.
fn agent(named: &str, known: &Known) -> Option<String> {
    if named.contains('@') && !phone::is_sip(named) {
        return known.agents.get(&named.trim().to_lowercase()).cloned();
    }
    Some(named.to_owned())
}

fn hand_over(rules: &Routing, known: &Known, target: &str) -> Offer {
    match rules.group(target.strip_prefix("group:").unwrap_or(target)) {
        Some(group) => Offer { source: Source::Call, ..members(group, known) },
        None => Offer::of(agent(target, known).into_iter().collect(), Source::Call),
    }
}

/// The numbers that were not tried, each once. Of those who are rung together one that was tried stands for all.
fn left(offer: &Offer, tried: &[&str]) -> Vec<String> {
    let was = |number: &String| tried.iter().any(|tried| phone::same(tried, number));
    if offer.together && offer.numbers.iter().any(was) {
        return Vec::new();
    }
    let mut left: Vec<String> = Vec::new();
    for number in &offer.numbers {
        if !was(number) && !left.iter().any(|other| phone::same(other, number)) {
            left.push(number.clone());
        }
    }
    left
}

/// What an applet was told, for the call's timeline: the body of a receipt, written once the answer is given.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Routed {
    /// `dialwhom`, `decide`, …
    pub applet: String,
    /// What decided it: a step, a rule, or an entry of the configuration.
    pub rule: String,
    /// Whom to dial.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<String>,
    /// Of applets that dial nobody: what was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integration: Option<String>,
    #[serde(default)]
    pub outside_hours: bool,
    pub took_ms: u64,
}

/// It holds agents' numbers.
impl fmt::Debug for Routed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Routed({} by {})", self.applet, self.rule)
    }
}

/// Something seen elsewhere that spares the next caller a wait.
#[derive(Clone)]
pub enum Sighting {
    /// A call has come in, and is not over.
    Ringing { account: String, customer: String },
    /// A CRM's contact, and whose he is.
    Owner { account: String, integration: String, external_id: String, owner: RecordRef },
    /// An agent is being rung, or speaks, in this call; or does so no more.
    Agent { account: String, call_sid: String, agent: String, busy: bool },
    /// A call is over.
    Over { account: String, call_sid: String },
}

impl fmt::Debug for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ringing { .. } => "Ringing",
            Self::Owner { .. } => "Owner",
            Self::Agent { .. } => "Agent",
            Self::Over { .. } => "Over",
        })
    }
}

#[cfg(test)]
mod tests;
