//! Whose call it is: one contact per caller, found under every writing of the number, made once if nobody is there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use patchbay_kit::{Contact, Contacts, Kind, NewContact, PhoneNumber, Rendering, Safety};

use super::driver::{Driver, Stop};
use crate::{call::Caller, store::ExchangeLog};

/// Contacts kept in memory beside the store's; more are looked up again.
const RECENT: usize = 10_000;

/// How long it is remembered that a writing of a number found nobody. A search that a limit breaks off goes on from
/// there; begun anew each time, many of them at once would use the limit up and none would ever end.
const MISSES_FRESH: Duration = Duration::from_secs(180);

/// What an integration knows of callers. Lives as long as its lane.
#[derive(Debug, Default)]
pub(super) struct ContactBook {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By the caller's external id.
    contacts: HashMap<String, Contact>,
    /// One search per caller at a time: a thousand simultaneous first calls make one contact.
    searching: HashMap<String, Weak<tokio::sync::Mutex<()>>>,
    /// A creation whose answer was lost may still be carried out until then; nobody searches before.
    unsure: HashMap<String, Timestamp>,
    /// Writings of a caller's number that found nobody, since then.
    misses: HashMap<String, (Instant, Vec<Rendering>)>,
    /// How often each writing found somebody: the likeliest is asked for first.
    hits: HashMap<Rendering, u64>,
}

impl ContactBook {
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
    ) -> Result<Contact, Stop> {
        if let Some(contact) = stored {
            return Ok(contact);
        }
        let search = {
            let mut known = self.known();
            known.searching.retain(|_, search| search.strong_count() > 0);
            let search = known.searching.entry(caller.external_id.clone()).or_default();
            search.upgrade().unwrap_or_else(|| {
                let fresh = Arc::new(tokio::sync::Mutex::new(()));
                *search = Arc::downgrade(&fresh);
                fresh
            })
        };
        let _turn = search.lock().await;
        {
            let mut known = self.known();
            if let Some(contact) = known.contacts.get(&caller.external_id) {
                return Ok(contact.clone());
            }
            match known.unsure.get(&caller.external_id) {
                Some(until) if *until > Timestamp::now() => return Err(Stop::Throttled { until: *until }),
                Some(_) => {
                    known.unsure.remove(&caller.external_id);
                }
                None => {}
            }
        }
        let contact = match self.find(driver, contacts, caller, trace).await? {
            Some(contact) => contact,
            None => self.make(driver, contacts, caller, ambiguous_wait, trace).await?,
        };
        let mut known = self.known();
        if known.contacts.len() >= RECENT {
            known.contacts.clear();
        }
        known.misses.remove(&caller.external_id);
        known.contacts.insert(caller.external_id.clone(), contact.clone());
        Ok(contact)
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
    ) -> Result<Option<Contact>, Stop> {
        let Some(number) = &caller.number else {
            return match contacts.find_created(&caller.external_id) {
                Some(exchange) => driver.run(exchange, trace).await,
                None => Ok(None),
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
            if let Some(contact) = choose(matching(driver.run(search, trace).await?, number)) {
                return Ok(Some(contact));
            }
            self.known().misses.insert(caller.external_id.clone(), (Instant::now(), Vec::new()));
        }
        let missed = missed.unwrap_or_default();
        for (rendering, text) in self.renderings(driver.connector.manifest().phone, number) {
            if missed.contains(&rendering) {
                continue;
            }
            let found = driver.run(contacts.find(&text), trace).await?;
            if let Some(contact) = choose(matching(found, number)) {
                *self.known().hits.entry(rendering).or_default() += 1;
                return Ok(Some(contact));
            }
            let mut known = self.known();
            let fresh = || (Instant::now(), Vec::new());
            known.misses.entry(caller.external_id.clone()).or_insert_with(fresh).1.push(rendering);
        }
        Ok(None)
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
            Err(Stop::Lost { sent: true, safety: Safety::Creates, .. }) => {
                let until = Timestamp::now() + ambiguous_wait;
                self.known().unsure.insert(caller.external_id.clone(), until);
            }
            _ => {}
        }
        made
    }
}

/// CRMs answer with more than was asked for: only who has this number counts.
fn matching(found: Vec<Contact>, number: &PhoneNumber) -> impl Iterator<Item = Contact> {
    found.into_iter().filter(|one| one.numbers.iter().any(|stored| number.matches(stored)))
}

/// Of several contacts with the number, the one changed last; of equals, the one with the lowest id.
fn choose(found: impl Iterator<Item = Contact>) -> Option<Contact> {
    found.min_by(|a, b| {
        b.updated_at.cmp(&a.updated_at).then(a.at.id.len().cmp(&b.at.id.len())).then_with(|| a.at.id.cmp(&b.at.id))
    })
}

#[cfg(test)]
mod tests {
    use patchbay_kit::RecordRef;

    use super::*;

    #[test]
    fn of_several_the_last_changed_is_taken() {
        let contact = |id: &str, second: Option<i64>| Contact {
            at: RecordRef::new("contact", id),
            name: String::new(),
            numbers: Vec::new(),
            updated_at: second.and_then(|second| Timestamp::from_second(second).ok()),
        };
        let taken = choose([contact("9", Some(5)), contact("10", Some(7)), contact("8", None)].into_iter());
        assert_eq!(taken.map(|one| one.at.id), Some("10".to_owned()));
        let taken = choose([contact("10", None), contact("9", None)].into_iter());
        assert_eq!(taken.map(|one| one.at.id), Some("9".to_owned()));
    }
}
