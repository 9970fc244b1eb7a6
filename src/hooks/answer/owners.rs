//! Whose caller it is, as the CRMs say: remembered, served while it is stale, and asked for anew behind the caller's back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use actix_web::web::Data;
use futures_util::future::join_all;
use jiff::Timestamp;
use patchbay_kit::{Agent, PhoneNumber, RecordRef};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::Instant as Clock,
};

use crate::{
    app::Services,
    call::{
        Stage, phone,
        route::{Owner, Sighting, Source, Step},
    },
    config::Account,
    context::{Fact, KnownOwner, OWNER_FRESH},
    directory::{self, Roster},
    store::{CallRef, LaneRef},
};

/// Questions to CRMs that may be under way at once: those that are too slow for their caller go on for the next one, and
/// a CRM that hangs must not pile them up, …
const ASKING: usize = 64;
/// … nor take the others' places.
const ASKING_ONE: usize = 16;
/// How long a CRM's list of agents is taken to be current.
const AGENTS_FRESH: Duration = Duration::from_secs(600);
/// Pages of agents that are read.
const AGENT_PAGES: usize = 50;
/// An agent whose call was never heard to end is free after that: Exotel ends conversations after 75 minutes.
const BUSY: Duration = Duration::from_secs(80 * 60);
/// Agents who are remembered to be busy.
const BUSY_AGENTS: usize = 20_000;

/// What a question came to; `None` while it is under way. Nobody, or a CRM that did not say: no numbers.
type Said = Option<Vec<String>>;
type Asked = (LaneRef, PhoneNumber);
/// By id in the CRM, and since when.
type Listed = (Instant, Arc<HashMap<String, Agent>>);

/// What this node remembers for callers on the line beside the context. None of it is the truth.
#[derive(Debug)]
pub struct Answers {
    /// One question about one number at a time.
    asking: Mutex<HashMap<Asked, watch::Receiver<Said>>>,
    places: Arc<Semaphore>,
    places_of: Mutex<HashMap<LaneRef, Arc<Semaphore>>>,
    rosters: Mutex<HashMap<LaneRef, Listed>>,
    /// Who is in which call, since when, by account and number.
    busy: Mutex<HashMap<(String, String), (String, Instant)>>,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            asking: Mutex::default(),
            places: Arc::new(Semaphore::new(ASKING)),
            places_of: Mutex::default(),
            rosters: Mutex::default(),
            busy: Mutex::default(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answers {
    /// Room for one more question to this CRM.
    pub fn place(&self, lane: &LaneRef) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let own = {
            let mut places = lock(&self.places_of);
            Arc::clone(places.entry(lane.clone()).or_insert_with(|| Arc::new(Semaphore::new(ASKING_ONE))))
        };
        Some((own.try_acquire_owned().ok()?, Arc::clone(&self.places).try_acquire_owned().ok()?))
    }

    /// Whether this agent is in another call than this, as far as popups have said.
    pub(super) fn is_busy(&self, account: &str, number: &str, call_sid: Option<&str>) -> bool {
        let busy = lock(&self.busy);
        let found = busy.get(&(account.to_owned(), number.to_owned()));
        found.is_some_and(|(call, since)| since.elapsed() < BUSY && Some(call.as_str()) != call_sid)
    }

    fn hear_of(&self, account: String, number: String, call_sid: String, is_busy: bool) {
        let mut busy = lock(&self.busy);
        let key = (account, number);
        if is_busy {
            if busy.len() >= BUSY_AGENTS {
                busy.retain(|_, (_, since)| since.elapsed() < BUSY);
            }
            if busy.len() < BUSY_AGENTS {
                busy.insert(key, (call_sid, Instant::now()));
            }
        } else if busy.get(&key).is_some_and(|(call, _)| *call == call_sid) {
            busy.remove(&key);
        }
    }

    fn over(&self, account: &str, call_sid: &str) {
        lock(&self.busy).retain(|(of, _), (call, _)| of != account || call != call_sid);
    }
}

/// What comes of it by then.
pub(super) async fn in_time<T>(deadline: Clock, what: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout_at(deadline, what).await.ok()
}

/// The account's CRMs that can say whose a caller is, in its order.
fn lanes(services: &Services, account: &Account) -> Vec<LaneRef> {
    let all = account
        .integrations
        .iter()
        .map(|integration| LaneRef { account: account.sid.clone(), integration: integration.name.clone() });
    all.filter(|lane| services.lane(lane).is_some_and(|lane| lane.driver().connector.owners().is_some())).collect()
}

/// The caller's owners, in the order of the account's CRMs. Who is remembered is named at once, and asked for anew if
/// that was long ago; where nobody is, the CRMs are asked, all at once, and the first that knows one is waited for.
pub async fn of(
    services: &Data<Services>,
    account: &Account,
    number: &PhoneNumber,
    deadline: Clock,
    may_ask: bool,
) -> Vec<Owner> {
    let lanes = lanes(services, account);
    let remembered = lanes.iter().map(|lane| in_time(deadline, services.context.owner(lane, number)));
    let remembered = join_all(remembered).await;
    let now = Timestamp::now();
    let (mut owners, mut questions) = (Vec::new(), Vec::new());
    for (lane, known) in lanes.into_iter().zip(remembered) {
        let known = known.flatten();
        let fresh = known.as_ref().is_some_and(|known| known.is_fresh(now));
        let integration = lane.integration.clone();
        if !fresh && may_ask {
            questions.push((integration.clone(), ask(services, lane, number.clone())));
        }
        if let Some(known) = known.filter(|known| !known.numbers.is_empty()) {
            let source = if fresh { Source::Cache } else { Source::Stale };
            owners.push(Owner { integration, numbers: known.numbers, source });
        }
    }
    if !owners.is_empty() {
        return owners;
    }
    for (integration, mut question) in questions {
        let said = in_time(deadline, question.wait_for(Option::is_some)).await;
        let numbers = said.and_then(Result::ok).and_then(|said| said.clone()).unwrap_or_default();
        if !numbers.is_empty() {
            return vec![Owner { integration, numbers, source: Source::Asked }];
        }
    }
    Vec::new()
}

/// Whether a CRM named an owner of this number, ever.
pub(super) async fn any_known(
    services: &Data<Services>,
    account: &Account,
    number: &PhoneNumber,
    deadline: Clock,
) -> bool {
    !of(services, account, number, deadline, false).await.is_empty()
}

/// A question that is over is asked again the next time, however it ended.
struct Over(Data<Services>, Asked);

impl Drop for Over {
    fn drop(&mut self) {
        lock(&self.0.answers.asking).remove(&self.1);
    }
}

/// Asks one CRM, or joins who is asking the same already. The question goes on when nobody waits for it any more.
fn ask(services: &Data<Services>, lane: LaneRef, number: PhoneNumber) -> watch::Receiver<Said> {
    let asked = (lane, number);
    let mut asking = lock(&services.answers.asking);
    if let Some(question) = asking.get(&asked) {
        return question.clone();
    }
    let (tell, question) = watch::channel(None);
    let Some(place) = services.answers.place(&asked.0) else {
        tell.send_replace(Some(Vec::new()));
        return question;
    };
    asking.insert(asked.clone(), question.clone());
    drop(asking);
    let over = Over(Data::clone(services), asked);
    tokio::spawn(async move {
        let _place = place;
        let (lane, number) = &over.1;
        let numbers = question_one(&over.0, lane, number).await;
        tell.send_replace(Some(numbers));
    });
    question
}

/// What one CRM says, remembered. That it knows nobody is remembered, too; that it did not answer is not.
async fn question_one(services: &Services, lane: &LaneRef, number: &PhoneNumber) -> Vec<String> {
    let (Some(handle), Some(account)) = (services.lane(lane), services.account(&lane.account)) else {
        return Vec::new();
    };
    let driver = handle.driver();
    let Some(owners) = driver.connector.owners() else { return Vec::new() };
    let owner = match driver.run(owners.of(number), &mut Vec::new()).await {
        Ok(owner) => owner,
        Err(stop) => {
            tracing::info!(
                code = %stop.code(), %lane, reason = stop.told(),
                "the CRM does not say who owns a caller; the last known owner is dialled"
            );
            return Vec::new();
        }
    };
    let numbers = match owner {
        Some(owner) => numbers_of(services, &account, lane, owner.at.as_ref(), &owner.numbers).await,
        None => Some(Vec::new()),
    };
    // There is an owner, and it cannot be said now who he is: whoever was known before stays it.
    let Some(numbers) = numbers else { return Vec::new() };
    let owner = KnownOwner { numbers: numbers.clone(), learnt_at: Timestamp::now() };
    services.context.learn_owner(lane, number, owner);
    numbers
}

/// An owner's numbers: as the CRM says, as the user mapping has them for his id there, or for his e-mail address. `None`:
/// the CRM does not say now who its agents are.
async fn numbers_of(
    services: &Services,
    account: &Account,
    lane: &LaneRef,
    owner: Option<&RecordRef>,
    numbers: &[String],
) -> Option<Vec<String>> {
    let agents = services.agents.of(&lane.account);
    let dialled = |owner, numbers: &[String]| dialled(&agents, &account.country, &lane.integration, owner, numbers);
    let named = dialled(owner, numbers);
    let Some(owner) = owner.filter(|_| named.is_empty()) else { return Some(named) };
    let roster = roster(services, lane).await?;
    let Some(agent) = roster.get(&owner.id) else { return Some(named) };
    let mapped = agents.with_email(agent.email.as_deref().unwrap_or_default());
    Some(match mapped.filter_map(|agent| agent.profile.number.clone()).next() {
        Some(number) => vec![number],
        None => dialled(None, &agent.numbers),
    })
}

/// What people call an agent by whom a CRM names: as the user mapping has him, else as the CRM has.
pub async fn agent_called(services: &Services, lane: &LaneRef, agent: &RecordRef) -> Option<String> {
    if agent.kind != "agent" {
        return None;
    }
    let is_he = |user: Option<&String>| user == Some(&agent.id);
    let agents = services.agents.of(&lane.account);
    let mapped = agents.agents().find(|one| is_he(one.profile.crm_user.get(&lane.integration)));
    let label = |agent: &directory::Agent| Some(agent.profile.label().to_owned()).filter(|label| !label.is_empty());
    if let Some(label) = mapped.and_then(label) {
        return Some(label);
    }
    let roster = roster(services, lane).await?;
    let listed = roster.get(&agent.id)?;
    Some(listed.name.clone()).filter(|name| !name.is_empty()).or_else(|| listed.email.clone())
}

/// The CRM's agents by id; those of before where it does not say who they are now. A CRM without a list of agents has none.
async fn roster(services: &Services, lane: &LaneRef) -> Option<Arc<HashMap<String, Agent>>> {
    let known = lock(&services.answers.rosters).get(lane).cloned();
    match known {
        Some((since, roster)) if since.elapsed() < AGENTS_FRESH => Some(roster),
        known => listed(services, lane).await.or(known.map(|(_, roster)| roster)),
    }
}

async fn listed(services: &Services, lane: &LaneRef) -> Option<Arc<HashMap<String, Agent>>> {
    let handle = services.lane(lane)?;
    let driver = handle.driver();
    let Some(agents) = driver.connector.agents() else { return Some(Arc::default()) };
    let mut by_id = HashMap::new();
    let mut from = None;
    for _ in 0..AGENT_PAGES {
        let page = driver.run(agents.list(from.as_ref()), &mut Vec::new()).await.ok()?;
        by_id.extend(page.items.into_iter().filter(|one| one.active).map(|one| (one.at.id.clone(), one)));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    let roster = Arc::new(by_id);
    lock(&services.answers.rosters).insert(lane.clone(), (Instant::now(), Arc::clone(&roster)));
    Some(roster)
}

/// Makes use of what is seen elsewhere, so that the next caller need not wait. Runs until the service stops.
pub async fn look_ahead(services: Data<Services>, mut seen: mpsc::Receiver<Sighting>) {
    loop {
        let sighting = tokio::select! {
            sighting = seen.recv() => sighting,
            () = services.stopping.cancelled() => None,
        };
        let Some(sighting) = sighting else { return };
        match sighting {
            Sighting::Ringing { account, customer } => ringing(&services, &account, &customer).await,
            Sighting::Owner { account, integration, external_id, owner } => {
                contact(&services, LaneRef { account, integration }, &external_id, &owner).await;
            }
            Sighting::Agent { account, call_sid, agent, busy } => {
                let Some(of) = services.account(&account) else { continue };
                let Some(number) = dialable(&agent, &of.country) else { continue };
                if !busy {
                    // Whoever asks for this call again asks for the next one.
                    let call = CallRef { account: account.clone(), call_sid: call_sid.clone() };
                    let fact = Fact::Agent { agent: number.clone(), stage: Stage::Ended };
                    services.context.note(&call, fact, Timestamp::now()).await;
                }
                services.answers.hear_of(account, number, call_sid, busy);
            }
            Sighting::Over { account, call_sid } => services.answers.over(&account, &call_sid),
        }
    }
}

/// His flow may soon ask whose he is.
async fn ringing(services: &Data<Services>, account: &str, customer: &str) {
    let Some(account) = services.account(account) else { return };
    let rules = &account.routing;
    let outside = rules.hours.iter().flat_map(|hours| &hours.outside);
    if !rules.ahead || !rules.order.iter().chain(outside).any(|step| *step == Step::Owner) {
        return;
    }
    let Some(number) = phone::parse(customer, &account.country) else { return };
    for lane in lanes(services, &account) {
        let known = services.context.owner(&lane, &number).await;
        if !known.is_some_and(|known| known.is_fresh(Timestamp::now())) {
            // Whoever needs the answer joins the question, or finds it remembered.
            drop(ask(services, lane, number.clone()));
        }
    }
}

/// A contact was found for a record, and with him his owner. What the CRM was asked for itself is newer.
async fn contact(services: &Data<Services>, lane: LaneRef, external_id: &str, owner: &RecordRef) {
    let Some(account) = services.account(&lane.account).filter(|_| owner.kind == "agent") else { return };
    let number = external_id.strip_prefix("exotel:").and_then(|raw| phone::parse(raw, &account.country));
    let Some(number) = number.filter(|_| lanes(services, &account).contains(&lane)) else { return };
    if services.context.owner(&lane, &number).await.is_some() {
        return;
    }
    let Some(place) = services.answers.place(&lane) else { return };
    let (services, owner) = (Data::clone(services), owner.clone());
    tokio::spawn(async move {
        let _place = place;
        let Some(account) = services.account(&lane.account) else { return };
        let numbers = numbers_of(&services, &account, &lane, Some(&owner), &[]).await.unwrap_or_default();
        if !numbers.is_empty() {
            // Of no certain age: he is dialled, and asked for anew when he is.
            let learnt_at = Timestamp::now() - OWNER_FRESH;
            services.context.learn_owner(&lane, &number, KnownOwner { numbers, learnt_at });
        }
    });
}

/// A number as Exotel can dial it.
pub(super) fn dialable(raw: &str, country: &str) -> Option<String> {
    match phone::parse(raw, country) {
        Some(number) => Some(number.e164),
        None => phone::is_sip(raw).then(|| raw.trim().to_owned()),
    }
}

/// An owner's numbers as Exotel can dial them; of one without any, those that the user mapping has for him.
fn dialled(
    agents: &Roster,
    country: &str,
    integration: &str,
    owner: Option<&RecordRef>,
    numbers: &[String],
) -> Vec<String> {
    let mapped = agents.agents().map(|agent| &agent.profile).filter(|agent| {
        let user = agent.crm_user.get(integration);
        user.is_some() && user == owner.map(|owner| &owner.id)
    });
    let mut dialled: Vec<String> = Vec::new();
    let mut add = |number: String| {
        if !dialled.contains(&number) {
            dialled.push(number);
        }
    };
    numbers.iter().filter_map(|raw| dialable(raw, country)).for_each(&mut add);
    if dialled.is_empty() {
        dialled.extend(mapped.filter_map(|agent| agent.number.clone()));
    }
    dialled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Profile;

    #[test]
    fn an_owner_is_dialled_where_the_crm_says_or_else_the_mapping() {
        let agents = Roster::of([Profile {
            number: Some("+919945476362".to_owned()),
            crm_user: [("crm".to_owned(), "77".to_owned())].into(),
            ..Profile::default()
        }]);
        let of = |id: &str, numbers: &[&str]| {
            let numbers: Vec<String> = numbers.iter().map(|&number| number.to_owned()).collect();
            dialled(&agents, "IN", "crm", Some(&RecordRef::new("user", id)), &numbers)
        };
        assert_eq!(of("77", &["097115 81199", "+91-9711581199", "sip:ravi"]), ["+919711581199", "sip:ravi"]);
        assert_eq!(of("77", &["", "ext. 12"]), ["+919945476362"]);
        assert!(of("78", &[]).is_empty());
        assert!(dialled(&agents, "IN", "crm", None, &[]).is_empty());
    }

    #[test]
    fn an_agent_is_busy_until_his_call_is_over() {
        let answers = Answers::default();
        let hear = |call: &str, busy| answers.hear_of("acme1".into(), "+911".into(), call.into(), busy);
        let busy = |call| answers.is_busy("acme1", "+911", call);
        assert!(!busy(None));
        hear("a", true);
        assert!(busy(None) && busy(Some("b")) && !busy(Some("a")));
        assert!(!answers.is_busy("acme2", "+911", None) && !answers.is_busy("acme1", "+912", None));
        // The end of an attempt in another call says nothing of this one.
        hear("b", false);
        assert!(busy(None));
        hear("a", false);
        assert!(!busy(None));
        hear("a", true);
        answers.over("acme2", "a");
        assert!(busy(None));
        answers.over("acme1", "a");
        assert!(!busy(None));
    }

    #[test]
    fn a_crm_that_hangs_leaves_places_to_the_others() {
        let answers = Answers::default();
        let lane = |name: &str| LaneRef { account: "acme1".to_owned(), integration: name.to_owned() };
        let places: Vec<_> = (0..ASKING).filter_map(|_| answers.place(&lane("hung"))).collect();
        assert_eq!(places.len(), ASKING_ONE);
        assert!(answers.place(&lane("other")).is_some());
        drop(places);
        assert!(answers.place(&lane("hung")).is_some());
    }
}
