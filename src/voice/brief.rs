//! Who is calling, gathered before the bot's first word: who is remembered is named at once and asked for anew behind the
//! caller's back; else all CRMs are asked at once. What is not there in time is left out, and remembered for the next call.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix_web::web::Data;
use futures_util::future::{join, join_all};
use patchbay_kit::{Contact, PhoneNumber, Ticket};
use patchbay_voice::backend::{self, Brief};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{app::Services, call::phone, delivery::Stop, hooks, store::LaneRef, telemetry::BriefLabels};

/// Open tickets that a bot is told of: what it cannot say in a breath helps nobody.
const TICKETS: usize = 5;
/// Callers who are remembered.
const KNOWN: usize = 20_000;
/// For how long what is known of a caller is taken to be current.
const FRESH: Duration = Duration::from_secs(600);
/// For how long it is better than to keep him waiting.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// That a CRM knows nobody is believed for so long: he may be made a contact any moment.
const NOBODY_FRESH: Duration = Duration::from_secs(60);

/// One CRM, and the caller's number.
type Key = (LaneRef, PhoneNumber);

/// What one CRM has said of a caller so far; `None` where it has not yet, or did not.
#[derive(Clone, Default)]
struct Found {
    contact: Option<Option<Contact>>,
    owner: Option<Option<String>>,
    tickets: Option<Vec<Ticket>>,
    /// It will say no more.
    over: bool,
}

impl Found {
    fn is_whole(&self) -> bool {
        self.contact.is_some() && self.owner.is_some() && self.tickets.is_some()
    }
}

/// What this node remembers of callers. None of it is the truth.
#[derive(Default)]
pub struct Briefs {
    known: Mutex<HashMap<Key, (Instant, Arc<Found>)>>,
    /// One question about one number at a time.
    asking: Mutex<HashMap<Key, watch::Receiver<Found>>>,
}

/// Persons stand in it.
impl fmt::Debug for Briefs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Briefs({} known)", lock(&self.known).len())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Briefs {
    /// What is remembered, and whether it need not be asked for again yet.
    fn remembered(&self, key: &Key, now: Instant) -> Option<(Arc<Found>, bool)> {
        let known = lock(&self.known);
        let (at, found) = known.get(key)?;
        let is_somebody = matches!(found.contact, Some(Some(_)));
        let (kept, fresh) = if is_somebody { (KEPT, FRESH) } else { (NOBODY_FRESH, NOBODY_FRESH) };
        let age = now.duration_since(*at);
        (age < kept).then(|| (Arc::clone(found), age < fresh))
    }

    fn learn(&self, key: &Key, found: Found, now: Instant) {
        let mut known = lock(&self.known);
        if known.len() >= KNOWN {
            known.retain(|_, (at, _)| now.duration_since(*at) < FRESH);
        }
        if known.len() < KNOWN {
            known.insert(key.clone(), (now, Arc::new(found)));
        }
    }
}

/// The brief with whatever is found out about the caller within the budget.
pub(super) async fn gather(services: Data<Services>, account: String, customer: Option<String>, brief: Brief) -> Brief {
    let deadline = Instant::now() + services.config.voicebot.brief_timeout;
    let Some(account) = services.account(&account) else { return brief };
    let Some(number) = customer.as_deref().and_then(|raw| phone::parse(raw, &account.country)) else { return brief };
    let lane = |name: &String| LaneRef { account: account.sid.clone(), integration: name.clone() };
    let lanes = account.integrations.iter().map(|integration| lane(&integration.name));
    let lanes: Vec<LaneRef> = lanes
        .filter(|lane| services.lane(lane).is_some_and(|lane| lane.driver().connector.contacts().is_some()))
        .collect();
    // Whose contact he is, his contact says, too: the CRMs are not asked twice.
    let owners = hooks::owners_of(&services, &account, &number, deadline, lanes.is_empty());
    let questions = lanes.iter().map(|lane| async {
        let mut question = ask(&services, (lane.clone(), number.clone()));
        let _ = timeout_at(deadline, question.wait_for(|found| found.over)).await;
        question.borrow().clone()
    });
    let (owners, found) = join(owners, join_all(questions)).await;
    let agents = services.agents.of(&account.sid);
    let owner = owners.iter().flat_map(|owner| &owner.numbers).find_map(|number| agents.with_number(number));
    let owner = owner.map(|agent| agent.profile.label().to_owned());
    let brief = told(brief, &lanes, &found, owner, &number);
    count(&services, &brief, &found);
    brief
}

/// What the CRMs have found, in the account's order.
fn told(mut brief: Brief, lanes: &[LaneRef], found: &[Found], owner: Option<String>, number: &PhoneNumber) -> Brief {
    for (lane, found) in lanes.iter().zip(found) {
        let Some(contact) = found.contact.iter().flatten().next() else { continue };
        // Whom nobody has given a name yet, is called by his number.
        let name = Some(contact.name.trim()).filter(|name| !name.is_empty() && !number.matches(name));
        let known = backend::Contact {
            name: name.map(str::to_owned),
            integration: lane.integration.clone(),
            id: contact.at.id.clone(),
        };
        match &mut brief.contact {
            None => brief.contact = Some(known),
            Some(first) if first.name.is_none() && known.name.is_some() => *first = known,
            Some(_) => {}
        }
        brief.owner = brief.owner.or_else(|| found.owner.clone().flatten());
        let tickets = found.tickets.iter().flatten().map(|ticket| backend::Ticket {
            integration: lane.integration.clone(),
            id: ticket.number.as_ref().unwrap_or(&ticket.at.id).clone(),
            subject: ticket.subject.clone(),
            status: ticket.status.clone(),
        });
        brief.open_tickets.extend(tickets);
    }
    brief.open_tickets.truncate(TICKETS);
    brief.owner = brief.owner.or(owner);
    brief
}

fn count(services: &Services, brief: &Brief, found: &[Found]) {
    let late = |is_said: fn(&Found) -> bool| !found.iter().all(is_said);
    for (part, is_known, is_late) in [
        ("contact", brief.contact.is_some(), late(|found| found.contact.is_some())),
        ("owner", brief.owner.is_some(), late(|found| found.owner.is_some())),
        ("open_tickets", !brief.open_tickets.is_empty(), late(|found| found.tickets.is_some())),
    ] {
        let outcome = match (is_known, is_late) {
            (true, _) => "known",
            (false, true) => "late",
            (false, false) => "unknown",
        };
        services.metrics.voice_briefs.get_or_create(&BriefLabels { part, outcome }).inc();
    }
}

/// What is remembered, or what will be found; joins who is asking the same already.
fn ask(services: &Data<Services>, key: Key) -> watch::Receiver<Found> {
    let Some((found, is_fresh)) = services.briefs.remembered(&key, Instant::now()) else { return begin(services, key) };
    if !is_fresh {
        drop(begin(services, key));
    }
    watch::channel(Found::clone(&found)).1
}

/// A question that is over is asked again the next time, however it ended.
struct Over(Data<Services>, Key);

impl Drop for Over {
    fn drop(&mut self) {
        lock(&self.0.briefs.asking).remove(&self.1);
    }
}

/// Asks one CRM. The question goes on when nobody waits for it any more: the next call finds it answered.
fn begin(services: &Data<Services>, key: Key) -> watch::Receiver<Found> {
    let mut asking = lock(&services.briefs.asking);
    if let Some(question) = asking.get(&key) {
        return question.clone();
    }
    let (tell, question) = watch::channel(Found::default());
    let Some(place) = services.answers.place(&key.0) else { return question };
    asking.insert(key.clone(), question.clone());
    drop(asking);
    let over = Over(Data::clone(services), key);
    tokio::spawn(async move {
        let _place = place;
        let Over(services, key) = &over;
        if let Err(stop) = question_one(services, key, &tell).await {
            tracing::info!(
                code = %stop.code(), lane = %key.0, reason = stop.told(),
                "a CRM does not say all of who calls a voicebot; the bot goes on with what is known"
            );
        }
        let found = Found { over: true, ..tell.borrow().clone() };
        if found.is_whole() {
            services.briefs.learn(key, found.clone(), Instant::now());
        }
        tell.send_replace(found);
    });
    question
}

async fn question_one(services: &Services, (lane, number): &Key, tell: &watch::Sender<Found>) -> Result<(), Stop> {
    let Some(handle) = services.lane(lane).filter(|handle| !handle.is_down()) else { return Ok(()) };
    let contact = handle.look_up(number).await?;
    tell.send_modify(|found| {
        if contact.is_none() {
            (found.owner, found.tickets) = (Some(None), Some(Vec::new()));
        }
        found.contact = Some(contact.clone());
    });
    let Some(contact) = contact else { return Ok(()) };
    let driver = handle.driver();
    let owner = async {
        let called = match &contact.owner {
            Some(owner) => hooks::agent_called(services, lane, owner).await,
            None => None,
        };
        tell.send_modify(|found| found.owner = Some(called));
    };
    let tickets = async {
        let exchange = driver.connector.open_tickets().and_then(|tickets| tickets.of(&contact.at, TICKETS));
        let open = match exchange {
            Some(exchange) => driver.run(exchange, &mut Vec::new()).await?,
            None => Vec::new(),
        };
        tell.send_modify(|found| found.tickets = Some(open));
        Ok(())
    };
    join(owner, tickets).await.1
}

#[cfg(test)]
mod tests {
    use patchbay_kit::RecordRef;

    use super::*;

    fn number() -> PhoneNumber {
        phone::parse("09052161119", "IN").expect("a number")
    }

    fn lane(name: &str) -> LaneRef {
        LaneRef { account: "acme1".to_owned(), integration: name.to_owned() }
    }

    fn found(name: &str, owner: Option<&str>, tickets: &[&str]) -> Found {
        let contact = Contact {
            at: RecordRef::new("contact", "7"),
            name: name.to_owned(),
            numbers: Vec::new(),
            updated_at: None,
            owner: None,
        };
        let ticket = |subject: &&str| Ticket {
            at: RecordRef::new("ticket", "4500001"),
            number: Some("101".to_owned()),
            subject: (*subject).to_owned(),
            status: "Open".to_owned(),
        };
        Found {
            contact: Some(Some(contact)),
            owner: Some(owner.map(str::to_owned)),
            tickets: Some(tickets.iter().map(ticket).collect()),
            over: true,
        }
    }

    #[test]
    fn the_first_crm_that_names_him_is_believed_and_tickets_are_of_all() {
        let lanes = [lane("desk"), lane("crm"), lane("slow")];
        let said = [
            found("+91 90521 61119", None, &["Refund"]),
            found("Asha", Some("Ravi"), &["Spare part"]),
            Found::default(),
        ];
        let brief = told(Brief::default(), &lanes, &said, Some("Rahil".to_owned()), &number());
        let contact = brief.contact.expect("a contact");
        assert_eq!((contact.name.as_deref(), contact.integration.as_str()), (Some("Asha"), "crm"));
        assert_eq!(brief.owner.as_deref(), Some("Ravi"));
        let tickets: Vec<_> = brief.open_tickets.iter().map(|one| (one.id.as_str(), one.subject.as_str())).collect();
        assert_eq!(tickets, [("101", "Refund"), ("101", "Spare part")]);

        let brief = told(Brief::default(), &lanes[..1], &said[..1], Some("Rahil".to_owned()), &number());
        assert_eq!(brief.contact.expect("a contact").name, None, "a number is no name");
        assert_eq!(brief.owner.as_deref(), Some("Rahil"));
    }

    #[test]
    fn who_is_known_is_kept_for_a_day_and_a_stranger_for_a_minute() {
        let (briefs, then) = (Briefs::default(), Instant::now());
        let (known, stranger) = ((lane("crm"), number()), (lane("desk"), number()));
        briefs.learn(&known, found("Asha", None, &[]), then);
        briefs.learn(&stranger, Found { contact: Some(None), ..found("", None, &[]) }, then);
        let is_fresh = |key: &Key, after| briefs.remembered(key, then + after).map(|(_, is_fresh)| is_fresh);
        let second = Duration::from_secs(1);
        assert_eq!((is_fresh(&known, second), is_fresh(&stranger, second)), (Some(true), Some(true)));
        assert_eq!((is_fresh(&known, FRESH), is_fresh(&stranger, FRESH)), (Some(false), None));
        assert_eq!(is_fresh(&known, KEPT), None);
    }
}
