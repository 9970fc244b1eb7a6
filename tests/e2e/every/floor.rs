//! One account with an integration with every CRM, and a way to look into each.

use std::{net::SocketAddr, sync::MutexGuard, time::Duration};

use jiff::Timestamp;
use patchbay_sandbox::{Crm, Faults, HeldContact, HeldRecord, Server};

use crate::rig::{Rig, SID};

/// A CRM on its server, whichever it is.
pub(crate) trait Standing: Send + Sync {
    fn url(&self) -> String;
    fn records(&self) -> Vec<HeldRecord>;
    fn contacts(&self) -> Vec<HeldContact>;
    fn add_contact(&self, name: &str, number: &str) -> String;
    fn add_agent(&self, name: &str, email: &str) -> String;
    fn lag(&self, by: Duration);
    fn expire_tokens(&self) -> bool;
    fn fail_inside(&self, writes: u32) -> bool;
    fn faults(&self) -> MutexGuard<'_, Faults>;
    fn requests(&self) -> u64;
}

impl<S: Crm> Standing for Server<S> {
    fn url(&self) -> String {
        self.url()
    }
    fn records(&self) -> Vec<HeldRecord> {
        self.with(|crm| crm.records())
    }
    fn contacts(&self) -> Vec<HeldContact> {
        self.with(|crm| crm.contacts())
    }
    fn add_contact(&self, name: &str, number: &str) -> String {
        // Long ago, so that an index that lags knows him.
        let then = Timestamp::now() - jiff::SignedDuration::from_hours(24);
        self.with(|crm| crm.add_contact(name, number, then))
    }
    fn add_agent(&self, name: &str, email: &str) -> String {
        self.with(|crm| crm.add_agent(name, email))
    }
    fn lag(&self, by: Duration) {
        self.with(|crm| crm.lag(by));
    }
    fn expire_tokens(&self) -> bool {
        self.with(Crm::expire_tokens)
    }
    fn fail_inside(&self, writes: u32) -> bool {
        self.with(|crm| crm.fail_inside(writes))
    }
    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults()
    }
    fn requests(&self) -> u64 {
        self.request_count()
    }
}

/// One integration, and what its CRM does otherwise than the rest.
pub(super) struct Seat {
    /// The integration's name.
    pub(super) name: &'static str,
    pub(super) crm: Box<dyn Standing>,
    /// The agent who answers, as this CRM knows him.
    pub(super) agent: String,
    pub(super) shape: Shape,
    toml: String,
}

/// How a call stands in a CRM.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// A recording is a record of its own (a message), not a note on the call's.
    pub(super) recording_apart: bool,
    /// The record has a field for how long they talked.
    pub(super) talk: bool,
    /// Callers become contacts.
    pub(super) contacts: bool,
    /// The record shows its agent.
    pub(super) agent: bool,
    /// Its search shows all contacts of a number, not the one it likes best.
    pub(super) several: bool,
}

pub(super) const TICKET: Shape =
    Shape { recording_apart: false, talk: false, contacts: true, agent: true, several: true };
pub(super) const FIELDS: Shape = Shape { talk: true, ..TICKET };

impl Seat {
    pub(super) fn new<S: Crm>(name: &'static str, sandbox: S, shape: Shape, settings: impl Fn(&str) -> String) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::start(loopback, sandbox, Faults::none()).expect("the sandbox starts");
        let agent = Standing::add_agent(&server, "Avnish Gupta", "avnish@example.com");
        let toml = format!(
            "[[account.integration]]\nname = \"{name}\"\nquota = 1000000\n{}\n",
            settings(&Standing::url(&server))
        );
        Self { name, crm: Box::new(server), agent, shape, toml }
    }

    /// Records that are about a call.
    pub(super) fn of(&self, call_sid: &str) -> Vec<HeldRecord> {
        self.crm.records().into_iter().filter(|record| record.text.contains(call_sid)).collect()
    }
}

/// The service with all of them.
pub(super) struct Floor {
    pub(super) rig: Rig,
    pub(super) seats: Vec<Seat>,
}

impl Floor {
    /// Not started yet.
    pub(super) fn new(seats: Vec<Seat>) -> Self {
        let mut rig = Rig::new();
        rig.more = seats.iter().map(|seat| seat.toml.as_str()).collect();
        rig.agent_email = Some("avnish@example.com".to_owned());
        Self { rig, seats }
    }

    pub(super) fn started(seats: Vec<Seat>) -> Self {
        let mut floor = Self::new(seats);
        floor.rig.start();
        floor
    }

    /// Waits until every CRM is told everything.
    pub(super) async fn settled(&self) {
        self.rig.settled().await;
    }

    /// What waits in an integration's lane, as text for a message.
    pub(super) async fn standing(&self, seat: &Seat) -> String {
        let path = format!("/api/v1/accounts/{SID}/deliveries?integration={}&limit=20", seat.name);
        let (_, answer) = self.rig.get(&path).await;
        format!("{answer:#}")
    }
}
