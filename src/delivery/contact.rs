//! Whose call it is: one contact per caller, found under every writing of the number, made once if nobody is there.
//!
//! # Whose call it is
//!
//! `delivery/contact.rs` asks the CRM's search, if it has one, then for each writing of the number in turn; of what
//! comes back only who has this number counts. Several: the account's `contact_choice` takes the one changed last, the
//! first in the CRM's order, or nobody, and then the delivery is held with the candidates. What was taken and what not
//! stands in the timeline. A person's choice is an event of the call and stands above all of it. A caller has one turn
//! for the search and one for writing: of two calls that end together the second finds what the first made.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use patchbay_kit::{Contact, Contacts, Kind, NewContact, PhoneNumber, Rendering, Safety};

use super::driver::{Driver, Stop};
use crate::{
    call::{Caller, ContactChoice},
    store::ExchangeLog,
};

/// Contacts kept in memory beside the store's; more are looked up again.
const RECENT: usize = 10_000;

/// How long it is remembered that a writing of a number found nobody. A search that a limit breaks off goes on from
/// there; begun anew each time, many of them at once would use the limit up and none would ever end.
const MISSES_FRESH: Duration = Duration::from_secs(180);

/// The caller's contact, and who else has his number.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    pub contact: Contact,
    pub others: Vec<Contact>,
}

impl Resolved {
    fn alone(contact: Contact) -> Self {
        Self { contact, others: Vec::new() }
    }

    /// For the timeline: that there were several, and which was taken why.
    pub(super) fn remark(&self, choice: ContactChoice) -> Option<String> {
        if self.others.is_empty() {
            return None;
        }
        let others: Vec<String> = self.others.iter().map(|one| one.at.to_string()).collect();
        Some(format!(
            "{} contacts have this number: {} was taken ({}), not {}",
            others.len() + 1,
            self.contact.at,
            choice.as_str().replace('_', " "),
            others.join(", ")
        ))
    }
}

/// What an integration knows of callers. Lives as long as its lane.
#[derive(Debug, Default)]
pub(super) struct ContactBook {
    choice: ContactChoice,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By the caller's external id.
    contacts: HashMap<String, Contact>,
    /// One search per caller at a time: a thousand simultaneous first calls make one contact.
    searching: HashMap<String, Weak<tokio::sync::Mutex<()>>>,
    /// One record per caller at a time: of two calls that end together the second finds what the first began (an open
    /// conversation, an open ticket).
    writing: HashMap<String, Weak<tokio::sync::Mutex<()>>>,
    /// A creation whose answer was lost may still be carried out until then; nobody searches before.
    unsure: HashMap<String, Timestamp>,
    /// Writings of a caller's number that found nobody, since then.
    misses: HashMap<String, (Instant, Vec<Rendering>)>,
    /// How often each writing found somebody: the likeliest is asked for first.
    hits: HashMap<Rendering, u64>,
}

impl ContactBook {
    pub(super) fn new(choice: ContactChoice) -> Self {
        Self { choice, known: Mutex::default() }
    }

    pub(super) fn choice(&self) -> ContactChoice {
        self.choice
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The caller's contact: `stored` if there is one, else found in the CRM, else made.
    pub(super) async fn resolve(
        &self,
        driver: &Driver,
        contacts: &dyn Contacts,
        caller: &Caller,
        stored: Option<Contact>,
        ambiguous_wait: Duration,
        trace: &mut Vec<ExchangeLog>,
    ) -> Result<Resolved, Stop> {
        if let Some(contact) = stored {
            return Ok(Resolved::alone(contact));
        }
        let search = turn(&mut self.known().searching, &caller.external_id);
        let _turn = search.lock().await;
        {
            let mut known = self.known();
            if let Some(contact) = known.contacts.get(&caller.external_id) {
                return Ok(Resolved::alone(contact.clone()));
            }
            match known.unsure.get(&caller.external_id) {
                Some(until) if *until > Timestamp::now() => return Err(Stop::Throttled { until: *until }),
                Some(_) => {
                    known.unsure.remove(&caller.external_id);
                }
                None => {}
            }
        }
        let resolved = match self.choose(self.find(driver, contacts, caller, trace).await?)? {
            Some(resolved) => resolved,
            None => Resolved::alone(self.make(driver, contacts, caller, ambiguous_wait, trace).await?),
        };
        let mut known = self.known();
        if known.contacts.len() >= RECENT {
            known.contacts.clear();
        }
        known.misses.remove(&caller.external_id);
        known.contacts.insert(caller.external_id.clone(), resolved.contact.clone());
        Ok(resolved)
    }

    /// Forgets who was met and who was looked for in vain: another process may have made or merged contacts since.
    pub(super) fn renew(&self) {
        let mut known = self.known();
        known.contacts.clear();
        known.misses.clear();
    }

    /// Waits until no other record of this caller's is being written.
    pub(super) async fn turn(&self, caller: &Caller) -> tokio::sync::OwnedMutexGuard<()> {
        let mine = turn(&mut self.known().writing, &caller.external_id);
        mine.lock_owned().await
    }

    /// A person chose this contact for the caller.
    pub(super) fn learn(&self, caller: &Caller, contact: &Contact) {
        self.known().contacts.insert(caller.external_id.clone(), contact.clone());
    }

    /// The caller's contact, for somebody who cannot wait: one search where the CRM has one, and nobody is made. Nothing is
    /// remembered of it: whose call it is, is found out when it is over.
    pub(super) async fn look_up(
        &self,
        driver: &Driver,
        contacts: &dyn Contacts,
        number: &PhoneNumber,
        trace: &mut Vec<ExchangeLog>,
    ) -> Result<Option<Contact>, Stop> {
        let mut found = Vec::new();
        if let Some(search) = contacts.search(number) {
            found = matching(driver.run(search, trace).await?, number);
        } else {
            let manifest = driver.connector.manifest();
            for some in self.renderings(manifest.phone, number).chunks(manifest.writings_per_find.max(1)) {
                let texts: Vec<String> = some.iter().map(|(_, text)| text.clone()).collect();
                found = matching(driver.run(contacts.find(&texts), trace).await?, number);
                if !found.is_empty() {
                    break;
                }
            }
        }
        Ok(self.choose(found)?.map(|resolved| resolved.contact))
    }

    /// The contact of a caller whom this process has met.
    pub(super) fn recall(&self, external_id: &str) -> Option<Contact> {
        self.known().contacts.get(external_id).cloned()
    }

    /// One of those found, by the account's policy.
    fn choose(&self, mut found: Vec<Contact>) -> Result<Option<Resolved>, Stop> {
        if found.len() < 2 {
            return Ok(found.pop().map(Resolved::alone));
        }
        let at = match self.choice {
            ContactChoice::MostRecent => latest(&found),
            ContactChoice::Priority => 0,
            ContactChoice::Ask => {
                return Err(Stop::Several { candidates: found.into_iter().map(|one| one.at).collect() });
            }
        };
        let contact = found.remove(at);
        Ok(Some(Resolved { contact, others: found }))
    }

    /// The CRM says this contact is not there any more.
    pub(super) fn forget(&self, caller: &Caller) {
        let mut known = self.known();
        known.contacts.remove(&caller.external_id);
        // The search may go on for minutes to find who is gone: only the filters are asked now.
        known.misses.insert(caller.external_id.clone(), (Instant::now(), Vec::new()));
    }

    async fn find(
        &self,
        driver: &Driver,
        contacts: &dyn Contacts,
        caller: &Caller,
        trace: &mut Vec<ExchangeLog>,
    ) -> Result<Vec<Contact>, Stop> {
        let Some(number) = &caller.number else {
            return match contacts.find_created(&caller.external_id) {
                Some(exchange) => Ok(driver.run(exchange, trace).await?.into_iter().collect()),
                None => Ok(Vec::new()),
            };
        };
        let missed = {
            let mut known = self.known();
            known.misses.retain(|_, (since, _)| since.elapsed() < MISSES_FRESH);
            known.misses.get(&caller.external_id).map(|(_, missed)| missed.clone())
        };
        // Who was looked for a moment ago was searched for then.
        if missed.is_none()
            && let Some(search) = contacts.search(number)
        {
            let found = matching(driver.run(search, trace).await?, number);
            if !found.is_empty() {
                return Ok(found);
            }
            self.known().misses.insert(caller.external_id.clone(), (Instant::now(), Vec::new()));
        }
        let missed = missed.unwrap_or_default();
        let manifest = driver.connector.manifest();
        let mut left = self.renderings(manifest.phone, number);
        left.retain(|(rendering, _)| !missed.contains(rendering));
        for some in left.chunks(manifest.writings_per_find.max(1)) {
            let (renderings, texts): (Vec<Rendering>, Vec<String>) = some.iter().cloned().unzip();
            let found = matching(driver.run(contacts.find(&texts), trace).await?, number);
            let mut known = self.known();
            if !found.is_empty() {
                for (rendering, text) in some {
                    if found.iter().any(|one| one.numbers.contains(text)) {
                        *known.hits.entry(*rendering).or_default() += 1;
                    }
                }
                return Ok(found);
            }
            let fresh = || (Instant::now(), Vec::new());
            known.misses.entry(caller.external_id.clone()).or_insert_with(fresh).1.extend(renderings);
        }
        Ok(Vec::new())
    }

    /// The manifest's writings, those that have found somebody before first.
    fn renderings(&self, declared: &[Rendering], number: &PhoneNumber) -> Vec<(Rendering, String)> {
        let mut order: Vec<Rendering> = declared.to_vec();
        let known = self.known();
        order.sort_by_key(|rendering| std::cmp::Reverse(known.hits.get(rendering).copied().unwrap_or_default()));
        let mut texts: Vec<(Rendering, String)> = Vec::new();
        for rendering in order {
            let text = number.render(rendering);
            if texts.iter().all(|(_, other)| *other != text) {
                texts.push((rendering, text));
            }
        }
        texts
    }

    async fn make(
        &self,
        driver: &Driver,
        contacts: &dyn Contacts,
        caller: &Caller,
        ambiguous_wait: Duration,
        trace: &mut Vec<ExchangeLog>,
    ) -> Result<Contact, Stop> {
        let new = NewContact {
            number: caller.number.clone(),
            name: caller.name.clone(),
            external_id: caller.external_id.clone(),
        };
        let made = driver.run(contacts.create(&new), trace).await;
        match &made {
            Err(Stop::Refused { failure, .. }) if failure.kind == Kind::Conflict => {
                // It exists, by its external id: made by an earlier try whose answer was lost, or by another node.
                if let Some(exchange) = contacts.find_created(&caller.external_id)
                    && let Some(contact) = driver.run(exchange, trace).await?
                {
                    return Ok(contact);
                }
            }
            Err(stop) => {
                let (may_exist, still_running) = left_behind(stop, false);
                let mut known = self.known();
                if may_exist {
                    // That nobody was found before he may have been made, says nothing of now.
                    known.misses.insert(caller.external_id.clone(), (Instant::now(), Vec::new()));
                }
                if still_running {
                    known.unsure.insert(caller.external_id.clone(), Timestamp::now() + ambiguous_wait);
                }
            }
            Ok(_) => {}
        }
        made
    }
}

/// Whether a creation that came to no result may have made somebody all the same, and whether it may still do so.
fn left_behind(stop: &Stop, created: bool) -> (bool, bool) {
    match stop {
        Stop::AfterCreation(stop) => left_behind(stop, true),
        Stop::Lost { sent: true, safety: Safety::Creates, .. } => (true, true),
        // A service that fails may have made him first; what a gateway gave up waiting for may still be at it.
        Stop::Refused { failure, safety: Safety::Creates, status }
            if matches!(failure.kind, Kind::Unavailable | Kind::Malformed) =>
        {
            (true, matches!(status, 502 | 504))
        }
        _ => (created, false),
    }
}

/// The lock of one caller among those in use.
fn turn(turns: &mut HashMap<String, Weak<tokio::sync::Mutex<()>>>, caller: &str) -> Arc<tokio::sync::Mutex<()>> {
    turns.retain(|_, turn| turn.strong_count() > 0);
    let turn = turns.entry(caller.to_owned()).or_default();
    turn.upgrade().unwrap_or_else(|| {
        let fresh = Arc::new(tokio::sync::Mutex::new(()));
        *turn = Arc::downgrade(&fresh);
        fresh
    })
}

/// CRMs answer with more than was asked for: only who has this number counts, each once, in the CRM's order.
fn matching(found: Vec<Contact>, number: &PhoneNumber) -> Vec<Contact> {
    let mut matching: Vec<Contact> = Vec::new();
    for one in found {
        let his = one.numbers.iter().any(|stored| number.matches(stored));
        if his && matching.iter().all(|other| other.at != one.at) {
            matching.push(one);
        }
    }
    matching
}

/// The place of the one changed last; of equals, of the one with the lowest id.
fn latest(found: &[Contact]) -> usize {
    let order = |a: &Contact, b: &Contact| {
        b.updated_at.cmp(&a.updated_at).then(a.at.id.len().cmp(&b.at.id.len())).then_with(|| a.at.id.cmp(&b.at.id))
    };
    (0..found.len()).min_by(|a, b| order(&found[*a], &found[*b])).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use patchbay_kit::RecordRef;

    use super::*;

    fn contact(id: &str, second: Option<i64>) -> Contact {
        Contact {
            at: RecordRef::new("contact", id),
            name: String::new(),
            numbers: Vec::new(),
            updated_at: second.and_then(|second| Timestamp::from_second(second).ok()),
            owner: None,
        }
    }

    #[test]
    fn of_several_the_policy_takes_one_and_says_so() {
        let several = vec![contact("9", Some(5)), contact("10", Some(7)), contact("8", None)];
        let chosen = |choice| ContactBook::new(choice).choose(several.clone());
        let taken = chosen(ContactChoice::MostRecent).expect("one").expect("one");
        assert_eq!(taken.contact.at.id, "10");
        let remark = taken.remark(ContactChoice::MostRecent).expect("told");
        assert_eq!(remark, "3 contacts have this number: contact 10 was taken (most recent), not contact 9, contact 8");
        assert_eq!(chosen(ContactChoice::Priority).expect("one").expect("one").contact.at.id, "9");
        let Err(Stop::Several { candidates }) = chosen(ContactChoice::Ask) else { panic!("nobody was asked") };
        assert_eq!(candidates.len(), 3);
        let one = ContactBook::new(ContactChoice::Ask).choose(vec![contact("9", None)]).expect("one").expect("one");
        assert_eq!(one.remark(ContactChoice::Ask), None);
    }

    #[test]
    fn of_equals_the_lowest_id_is_taken() {
        assert_eq!(latest(&[contact("10", None), contact("9", None)]), 1);
    }
}
