//! One attempt at one delivery: what is asked of the CRM, in which order, and what exists afterwards.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use patchbay_kit::{About, CallActivity, Changed, Contact, FollowUp, RecordRef, Safety};

use super::{
    contact::ContactBook,
    driver::{Driver, Stop},
};
use crate::{
    call::{AgentHint, ContactChoice, Content, IntentKind, LogContent, compose::merge},
    store::{Claimed, ExchangeLog, Link, Written},
};

/// How long the CRM's list of agents is taken to be current.
const AGENTS_FRESH: Duration = Duration::from_secs(600);
/// Pages of agents that are read.
const AGENT_PAGES: usize = 50;

/// What a lane remembers between attempts. None of it is the truth: it can be asked again.
#[derive(Debug)]
pub(super) struct Memory {
    pub contacts: ContactBook,
    agents: Mutex<Option<(Instant, HashMap<String, RecordRef>)>>,
}

impl Memory {
    pub(super) fn new(choice: ContactChoice) -> Self {
        Self { contacts: ContactBook::new(choice), agents: Mutex::default() }
    }

    /// Forgets what another process may have changed.
    pub(super) fn renew(&self) {
        self.contacts.renew();
    }
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Ending {
    Written,
    /// The CRM says exactly this already.
    Unchanged,
    /// A human must decide: the record may or may not exist, and the CRM cannot be asked.
    Undecidable,
    Stopped(Stop),
}

/// What exists after an attempt, and how it came to be.
#[derive(Debug)]
pub(super) struct Performed {
    pub ending: Ending,
    pub link: Option<Link>,
    pub contact: Option<(String, Option<Contact>)>,
    /// What a person should know although the attempt succeeded.
    pub remark: String,
    pub trace: Vec<ExchangeLog>,
}

/// Performs a claimed delivery.
pub(super) async fn perform(
    driver: &Driver,
    memory: &Memory,
    claimed: &Claimed,
    ambiguous_wait: Duration,
) -> Performed {
    let mut done =
        Performed { ending: Ending::Unchanged, link: None, contact: None, remark: String::new(), trace: Vec::new() };
    let ended = match &claimed.delivery.content {
        Content::Log(content) => log(driver, memory, claimed, content, ambiguous_wait, &mut done).await,
        Content::Recording(note) => recording(driver, claimed, note, &mut done).await,
        Content::FollowUp(it) => follow_up(driver, claimed, it, &mut done).await,
    };
    done.ending = ended.unwrap_or_else(Ending::Stopped);
    done
}

async fn log(
    driver: &Driver,
    memory: &Memory,
    claimed: &Claimed,
    content: &LogContent,
    ambiguous_wait: Duration,
    done: &mut Performed,
) -> Result<Ending, Stop> {
    let _turn = memory.contacts.turn(&content.caller).await;
    let mut activity = content.activity.clone();
    if let Some(hint) = &content.agent {
        activity.agent = agent(driver, memory, hint, &mut done.trace).await?;
        if activity.agent.is_none() {
            "the answering agent is not in the user mapping and not in the CRM".clone_into(&mut done.remark);
        }
    }
    let stands = record(claimed);
    let mut stored = claimed.contact.clone();
    // Twice more at most: once without a contact that is gone, once without an agent who cannot be assigned.
    for _ in 0..3 {
        activity.contact = match (&content.chosen, stands, driver.connector.contacts()) {
            // A person's choice stands above what we would have found, and above where the record stands now.
            (Some(chosen), ..) => {
                if claimed.contact.is_none() {
                    let contact = known_by_id(chosen.clone());
                    memory.contacts.learn(&content.caller, &contact);
                    done.contact = Some((content.caller.external_id.clone(), Some(contact)));
                }
                Some(chosen.clone())
            }
            // The record stands under its contact already; an agent may have moved it to another. Only a record that
            // was made before anybody knew whose call it is, is moved by us.
            (None, Some((_, was)), _) if was.customer == activity.customer || !was.customer.written.is_empty() => {
                was.contact.clone()
            }
            (None, _, None) => None,
            (None, _, Some(contacts)) => {
                let resolved = memory
                    .contacts
                    .resolve(driver, contacts, &content.caller, stored.take(), ambiguous_wait, &mut done.trace)
                    .await?;
                if let Some(remark) = resolved.remark(memory.contacts.choice()) {
                    done.remark = remark;
                }
                done.contact = Some((content.caller.external_id.clone(), Some(resolved.contact.clone())));
                Some(resolved.contact.at)
            }
        };
        let written = match stands {
            Some((at, was)) => change(driver, at, was, &activity, &mut done.trace).await,
            None => match make(driver, claimed.delivery.probe, &activity, &mut done.trace).await {
                Ok(None) => return Ok(Ending::Undecidable),
                Ok(Some(at)) => Ok((at, Ending::Written)),
                Err(stop) => Err(stop),
            },
        };
        match written {
            Ok((at, ending)) => {
                done.link = Some(Link { at, written: Written::Log(Box::new(activity)) });
                return Ok(ending);
            }
            Err(Stop::Refused { failure, .. }) if failure.about == Some(About::Agent) && activity.agent.is_some() => {
                done.remark = format!("not assigned: {failure}");
                activity.agent = None;
            }
            Err(Stop::Refused { failure, .. })
                if failure.about == Some(About::Contact) && done.contact.is_some() && content.chosen.is_none() =>
            {
                memory.contacts.forget(&content.caller);
                done.contact = Some((content.caller.external_id.clone(), None));
                done.remark = format!("the contact was looked for again: {failure}");
            }
            Err(stop) => return Err(stop),
        }
    }
    Ok(Ending::Undecidable)
}

/// Writes what differs from what was last written to the record that stands there.
async fn change(
    driver: &Driver,
    at: &RecordRef,
    was: &CallActivity,
    activity: &CallActivity,
    trace: &mut Vec<ExchangeLog>,
) -> Result<(RecordRef, Ending), Stop> {
    let manifest = driver.connector.manifest();
    let mut changed = Changed::between(was, activity);
    changed.facts &= manifest.record_facts;
    changed.outcome &= manifest.record_facts;
    if !changed.any() {
        return Ok((at.clone(), Ending::Unchanged));
    }
    let Some(updates) = driver.connector.updates() else {
        // Written once, when all was known; what has come since stays with us.
        return Ok((at.clone(), Ending::Unchanged));
    };
    // What is remembered as written is our own text; the record's has an agent's words in it as well.
    let mut sent = Cow::Borrowed(activity);
    if changed.body
        && let Some(text) = updates.text(at)
    {
        let stands = driver.run(text, trace).await?.0;
        let body = merge(&was.body, &activity.body, &stands, manifest.text.body_chars);
        changed.body = body != stands;
        sent.to_mut().body = body;
    }
    if !changed.any() {
        return Ok((at.clone(), Ending::Written));
    }
    let at = driver.run(updates.update(at, &sent, changed), trace).await?;
    Ok((at, Ending::Written))
}

/// Makes the record; with `probe`, looks first whether a lost try has. `None`: the CRM cannot be asked that.
async fn make(
    driver: &Driver,
    probe: bool,
    activity: &CallActivity,
    trace: &mut Vec<ExchangeLog>,
) -> Result<Option<RecordRef>, Stop> {
    let activities = driver.connector.activities();
    // An upsert finds by itself what a lost one may have left.
    let create = activities.create(activity);
    if probe && create.request.safety != Safety::Idempotent {
        let Some(find) = activities.find(activity) else { return Ok(None) };
        if let Some(at) = driver.run(find, trace).await? {
            // What the lost try wrote is not known; the record is made to say what it should say now.
            let all = Changed {
                subject: true,
                body: true,
                agent: activity.agent.is_some(),
                contact: false,
                facts: true,
                outcome: true,
            };
            return match driver.connector.updates() {
                Some(updates) => driver.run(updates.update(&at, activity, all), trace).await.map(Some),
                None => Ok(Some(at)),
            };
        }
    }
    driver.run(create, trace).await.map(Some)
}

async fn recording(
    driver: &Driver,
    claimed: &Claimed,
    note: &patchbay_kit::Note,
    done: &mut Performed,
) -> Result<Ending, Stop> {
    let (Some(notes), Some((record, of))) = (driver.connector.notes(), record(claimed)) else {
        // Planned when the connector held notes and the record existed; neither can be mended by trying again.
        return Ok(Ending::Undecidable);
    };
    let linked = claimed.links.get(&IntentKind::Recording);
    let written = |at| Some(Link { at, written: Written::Recording(note.clone()) });
    if let Some(link) = linked {
        if matches!(&link.written, Written::Recording(was) if was == note) {
            done.link = Some(link.clone());
            return Ok(Ending::Unchanged);
        }
        done.link = written(driver.run(notes.update(&link.at, of, note), &mut done.trace).await?);
        return Ok(Ending::Written);
    }
    if claimed.delivery.probe {
        let Some(find) = notes.find(record, of, note) else { return Ok(Ending::Undecidable) };
        if let Some(at) = driver.run(find, &mut done.trace).await? {
            done.link = written(driver.run(notes.update(&at, of, note), &mut done.trace).await?);
            return Ok(Ending::Written);
        }
    }
    done.link = written(driver.run(notes.create(record, of, note), &mut done.trace).await?);
    Ok(Ending::Written)
}

/// The call's record, and what was last written to it.
fn record(claimed: &Claimed) -> Option<(&RecordRef, &CallActivity)> {
    let link = claimed.links.get(&IntentKind::Log)?;
    match &link.written {
        Written::Log(of) => Some((&link.at, of)),
        _ => None,
    }
}

/// Made once: what an agent does with it afterwards is his.
async fn follow_up(driver: &Driver, claimed: &Claimed, it: &FollowUp, done: &mut Performed) -> Result<Ending, Stop> {
    let (Some(follow_ups), Some((record, of))) = (driver.connector.follow_ups(), record(claimed)) else {
        return Ok(Ending::Undecidable);
    };
    if let Some(link) = claimed.links.get(&IntentKind::FollowUp) {
        done.link = Some(link.clone());
        return Ok(Ending::Unchanged);
    }
    let written = |at| Some(Link { at, written: Written::FollowUp(it.clone()) });
    let create = follow_ups.create(record, of, it);
    if claimed.delivery.probe && create.request.safety != Safety::Idempotent {
        let Some(find) = follow_ups.find(record, of, it) else { return Ok(Ending::Undecidable) };
        if let Some(at) = driver.run(find, &mut done.trace).await? {
            done.link = written(at);
            return Ok(Ending::Written);
        }
    }
    done.link = written(driver.run(create, &mut done.trace).await?);
    Ok(Ending::Written)
}

/// A contact of which nothing else is known.
fn known_by_id(at: RecordRef) -> Contact {
    Contact { at, name: String::new(), numbers: Vec::new(), updated_at: None, owner: None }
}

/// The CRM's user for the answering agent: by the user mapping, else by e-mail in the CRM's own list.
pub(super) async fn agent(
    driver: &Driver,
    memory: &Memory,
    hint: &AgentHint,
    trace: &mut Vec<ExchangeLog>,
) -> Result<Option<RecordRef>, Stop> {
    if let Some(id) = &hint.crm_user {
        return Ok(Some(RecordRef::new("agent", id)));
    }
    let (Some(agents), Some(email)) = (driver.connector.agents(), &hint.email) else { return Ok(None) };
    let email = email.to_lowercase();
    {
        let known = memory.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, by_email)) = known.as_ref()
            && at.elapsed() < AGENTS_FRESH
        {
            return Ok(by_email.get(&email).cloned());
        }
    }
    let mut by_email = HashMap::new();
    let mut from = None;
    for _ in 0..AGENT_PAGES {
        let page = driver.run(agents.list(from.as_ref()), trace).await?;
        for one in page.items.into_iter().filter(|one| one.active) {
            if let Some(email) = &one.email {
                by_email.insert(email.to_lowercase(), one.at);
            }
        }
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    let found = by_email.get(&email).cloned();
    *memory.agents.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), by_email));
    Ok(found)
}
