//! The behaviour every connector owes, as one suite: the contract's sentences, each tried on the connector's sandbox.
//!
//! Which cases run follows from the parts a connector holds, so a case is never skipped by a flag. All cases of a
//! connector are run before the suite fails, and after each one everything that could be printed is searched for
//! secrets and phone numbers.

mod describing;
mod people;
mod records;
mod texts;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use jiff::Timestamp;
use patchbay_kit::{About, Connector, Exchange, Failure, Kind, RecordRef, Response, Retry};
use patchbay_sandbox::Sandbox;

use crate::{Credentials, Line, sample};

/// What is counted in a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Activity,
    Note,
    Contact,
}

/// A record as the sandbox holds it. `None` for what this CRM does not keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    pub subject: Option<String>,
    pub body: Option<String>,
    /// The id of the agent it is assigned to.
    pub agent: Option<String>,
    /// Whether only agents see it.
    pub private: Option<bool>,
}

/// One row of a connector's error table: a reply, and what must be made of it.
#[derive(Clone, Debug)]
pub struct ErrorRow {
    pub reply: Response,
    pub kind: Kind,
    pub retry: Retry,
    pub code: Option<&'static str>,
    pub about: Option<About>,
    /// What the person who reads the detail must be told: the field, the setting that mends it.
    pub tells: &'static [&'static str],
}

/// A connector to be tried: how to build it, its sandbox, and how to look into that.
pub trait Subject {
    type Sandbox: Sandbox;

    /// The connector, with settings that fit the sandbox.
    fn build(&self) -> Arc<dyn Connector>;
    /// A new sandbox that knows [`Subject::credentials`], with search lagging as far behind as the real one may.
    fn sandbox(&self) -> Self::Sandbox;
    fn credentials(&self) -> Credentials;
    /// The error table, with at least one row for each code the connector treats differently.
    fn errors(&self) -> Vec<ErrorRow>;

    /// How many of them the sandbox holds.
    fn count(&self, sandbox: &Self::Sandbox, what: What) -> usize;
    /// A call's record or a note, as it is held.
    fn stored(&self, sandbox: &Self::Sandbox, at: &RecordRef) -> Option<Stored>;
    /// Takes a record away as a human would: deletes a call's record or a contact, deactivates an agent. `false`
    /// where this CRM has nothing of the kind, or says nothing of it to who refers to it afterwards.
    fn remove(&self, sandbox: &mut Self::Sandbox, at: &RecordRef, now: Timestamp) -> bool;
    /// The fields in which this CRM keeps numbers; empty without contacts.
    fn number_fields(&self) -> &'static [&'static str];
    /// Adds a contact by hand, with the number as a human wrote it in one of [`Subject::number_fields`].
    fn add_contact(&self, sandbox: &mut Self::Sandbox, field: &str, number: &str) -> RecordRef;
    /// Adds active agents; unused without agents.
    fn add_agents(&self, sandbox: &mut Self::Sandbox, how_many: usize) -> Vec<RecordRef>;
    /// The field of [`Subject::number_fields`] whose contacts can have tickets.
    fn ticket_field(&self) -> &'static str {
        self.number_fields().first().copied().unwrap_or_default()
    }
    /// Adds a ticket of a contact's by hand; unused without open tickets.
    fn add_ticket(
        &self,
        _sandbox: &mut Self::Sandbox,
        _contact: &RecordRef,
        _subject: &str,
        _is_open: bool,
        _now: Timestamp,
    ) -> RecordRef {
        panic!("the connector holds open tickets: say how one is made")
    }
    /// How far this CRM's best way to find a contact lags behind writes.
    fn contact_lag(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
    /// Whether the CRM itself keeps a second contact with the same external id, or number, out.
    fn contacts_are_unique(&self) -> bool {
        true
    }
    /// Whether what is written stays as it is, so that an update is one more entry (messages, say).
    fn appends(&self) -> bool {
        false
    }
    /// Labels that are not sent with this subject's settings, though a quota counts them.
    fn unsent(&self) -> &'static [&'static str] {
        &[]
    }
    /// Whether all agents come in one answer, however many there are.
    fn agents_in_one_answer(&self) -> bool {
        false
    }
    /// More records than the CRM's largest page holds.
    fn more_than_a_page(&self) -> usize {
        120
    }
}

/// A connector on its line, for one case.
struct Bench<'a, S: Subject> {
    subject: &'a S,
    line: Line<S::Sandbox>,
}

impl<'a, S: Subject> Bench<'a, S> {
    fn new(subject: &'a S) -> Self {
        let line = Line::new(subject.build(), subject.sandbox(), subject.credentials(), sample::NOW);
        Self { subject, line }
    }

    /// The connector, apart from the line, so that an exchange can be made and run in one expression.
    fn connector(&self) -> Arc<dyn Connector> {
        Arc::clone(&self.line.connector)
    }

    fn run<T: std::fmt::Debug>(&mut self, exchange: Exchange<T>) -> Result<T, Failure> {
        self.line.run(exchange)
    }

    /// Runs what must succeed.
    #[track_caller]
    fn ok<T: std::fmt::Debug>(&mut self, exchange: Exchange<T>) -> T {
        let label = exchange.request.label;
        match self.line.run(exchange) {
            Ok(value) => value,
            Err(failure) => panic!("{label} failed: {failure}"),
        }
    }

    /// Runs what must fail.
    #[track_caller]
    fn refused<T: std::fmt::Debug>(&mut self, exchange: Exchange<T>) -> Failure {
        let label = exchange.request.label;
        match self.line.run(exchange) {
            Ok(value) => panic!("{label} succeeded: {value:?}"),
            Err(failure) => failure,
        }
    }

    /// The sample caller's contact, where there are contacts.
    #[track_caller]
    fn caller(&mut self) -> Option<RecordRef> {
        let connector = self.connector();
        connector.contacts().map(|contacts| self.ok(contacts.create(&sample::caller())).at)
    }

    /// The record of the sample call.
    #[track_caller]
    fn record(&mut self) -> (patchbay_kit::CallActivity, RecordRef) {
        let call = sample::call(sample::CALL_SID, self.caller());
        let at = self.ok(self.connector().activities().create(&call));
        (call, at)
    }

    fn count(&self, what: What) -> usize {
        self.subject.count(&self.line.sandbox, what)
    }

    #[track_caller]
    fn stored(&self, at: &RecordRef) -> Stored {
        self.subject.stored(&self.line.sandbox, at).unwrap_or_else(|| panic!("the sandbox holds no {at}"))
    }

    /// Fails if anything printed shows a secret or a whole number.
    #[track_caller]
    fn assert_discreet(&self) {
        let number = sample::number();
        for secret in self.line.credentials.secrets().chain([number.national.as_str()]) {
            if let Some(line) = self.line.printed().lines().find(|line| line.contains(secret)) {
                panic!("a secret or a whole number shows in: {}", line.replace(secret, "(here)"));
            }
        }
    }
}

type Case<S> = fn(&mut Bench<'_, S>);

/// Runs every case on the connector.
///
/// # Panics
/// When a case fails; each one's own message is printed before.
pub fn run<S: Subject>(subject: &S) {
    let failed = failures(subject);
    assert!(failed.is_empty(), "{} owes: {}", subject.build().manifest().id, failed.join(", "));
}

/// The names of the cases that fail.
pub fn failures<S: Subject>(subject: &S) -> Vec<&'static str> {
    let fails = |case: &Case<S>| {
        let tried = AssertUnwindSafe(|| {
            let mut bench = Bench::new(subject);
            case(&mut bench);
            bench.assert_discreet();
        });
        catch_unwind(tried).is_err()
    };
    cases::<S>().into_iter().filter(|(_, case)| fails(case)).map(|(name, _)| name).collect()
}

fn cases<S: Subject>() -> Vec<(&'static str, Case<S>)> {
    vec![
        ("the manifest is sane", describing::manifest),
        ("labels name one operation each", describing::labels),
        ("right credentials are recognised", describing::right_credentials),
        ("wrong credentials are recognised", describing::wrong_credentials),
        ("the error table holds", describing::error_table),
        ("unreadable errors are survived", describing::unreadable_errors),
        ("unreadable successes are survived", describing::unreadable_successes),
        ("unknown fields are tolerated", describing::unknown_fields),
        ("a record is found at once after it was made", records::found_after_created),
        ("a record is found beyond page one", records::found_beyond_page_one),
        ("a record is found after its reply was lost", records::found_after_loss),
        ("another call's record is not found", records::others_are_not_found),
        ("finding creates nothing", records::finding_creates_nothing),
        ("an update changes what it says and no more", records::update_changes_only),
        ("an assigned agent arrives", records::agent_arrives),
        ("a record that is gone is told", records::gone_record),
        ("an agent who is gone is told", records::gone_agent),
        ("a contact who is gone is told", people::gone_contact),
        ("notes are private", records::notes_are_private),
        ("an id cannot reach another path", texts::hostile_ids),
        ("awkward texts arrive unchanged", texts::awkward),
        ("texts at the limits are accepted", texts::at_the_limits),
        ("agents are listed page by page", people::agents_paged),
        ("a deactivated agent is not active", people::deactivated_agent),
        ("a contact is found at once after it was made", people::found_after_created),
        ("every writing of a number finds its contact", people::every_rendering),
        ("one search finds all writings", people::searched),
        ("two writings of a number find one contact", people::one_contact),
        ("one external id is one contact", people::created_twice),
        ("a caller without a number gets a contact", people::withheld),
        ("a popup is shown", people::popup),
        ("a caller nobody knows has no owner", people::owner),
        ("what is open of a contact's is named", people::open_tickets),
        ("a follow-up is made and found", people::follow_up),
    ]
}
