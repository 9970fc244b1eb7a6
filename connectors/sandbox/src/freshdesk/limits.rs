//! The limits per minute of a Freshdesk account, and the headers that tell of them (`crm-api.md` §1.b).

use http::{HeaderName, Method};
use jiff::Timestamp;

use crate::{Reply, Request, window::Window};

/// Requests per minute. `None` is unlimited; without a `total`, no headers are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub total: Option<u32>,
    pub ticket_create: Option<u32>,
    pub ticket_update: Option<u32>,
    pub tickets_list: Option<u32>,
    pub contacts_list: Option<u32>,
    /// Headers as decimals, `700.0`, as some accounts give them.
    pub decimals: bool,
}

impl Limits {
    /// No limit and no headers: the instant account of a benchmark.
    pub fn none() -> Self {
        Self::default()
    }

    /// 50 in all: an account on trial.
    pub fn trial() -> Self {
        Self { total: Some(50), ..Self::none() }
    }

    /// The plan Growth.
    pub fn growth() -> Self {
        Self::plan(200, 80, 20)
    }

    /// The plan Pro.
    pub fn pro() -> Self {
        Self::plan(400, 160, 100)
    }

    /// The plan Enterprise.
    pub fn enterprise() -> Self {
        Self::plan(700, 280, 200)
    }

    fn plan(total: u32, ticket_write: u32, list: u32) -> Self {
        Self {
            total: Some(total),
            ticket_create: Some(ticket_write),
            ticket_update: Some(ticket_write),
            tickets_list: Some(list),
            contacts_list: Some(list),
            decimals: false,
        }
    }
}

/// What a request costs, and which limit beside the total it counts against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    part: Option<Part>,
    cost: u32,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    TicketCreate,
    TicketUpdate,
    TicketsList,
    ContactsList,
}

impl Route {
    pub(super) fn of(request: &Request) -> Self {
        let segments = request.segments();
        let ["api", "v2", rest @ ..] = segments.as_slice() else {
            return Self { part: None, cost: 1 };
        };
        let includes = request.param("include").map_or(0, |include| include.split(',').count());
        // `include` costs one more each where one ticket is shown, two more where many are listed.
        let (part, each) = match (&request.method, rest) {
            (&Method::POST, ["tickets"]) => (Some(Part::TicketCreate), 0),
            (&Method::PUT, ["tickets", _]) => (Some(Part::TicketUpdate), 0),
            (&Method::GET, ["tickets"]) => (Some(Part::TicketsList), 2),
            (&Method::GET, ["contacts"]) => (Some(Part::ContactsList), 0),
            (&Method::GET, ["tickets", _]) => (None, 1),
            _ => (None, 0),
        };
        Self { part, cost: u32::try_from(includes).unwrap_or(u32::MAX).saturating_mul(each).saturating_add(1) }
    }
}

/// What the account has used of its limits.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    total: Window,
    parts: [Window; 4],
    left: u32,
    cost: u32,
}

impl Meter {
    /// Books a request, or says in how many seconds it may come again.
    pub(super) fn book(&mut self, limits: &Limits, route: Route, now: Timestamp) -> Result<(), u64> {
        self.cost = route.cost;
        if let Some(limit) = limits.total {
            self.left = self.total.left(limit, now);
            if self.left == 0 {
                return Err(self.total.retry_after_s(now));
            }
        }
        if let Some(part) = route.part {
            let limit = match part {
                Part::TicketCreate => limits.ticket_create,
                Part::TicketUpdate => limits.ticket_update,
                Part::TicketsList => limits.tickets_list,
                Part::ContactsList => limits.contacts_list,
            };
            let window = &mut self.parts[part as usize];
            if let Some(limit) = limit {
                if window.left(limit, now) == 0 {
                    return Err(window.retry_after_s(now));
                }
                window.book(1);
            }
        }
        if limits.total.is_some() {
            self.total.book(route.cost);
            self.left = self.left.saturating_sub(route.cost);
        }
        Ok(())
    }

    /// Puts the headers on the reply to the request booked last.
    pub(super) fn stamp(&self, limits: &Limits, reply: Reply) -> Reply {
        let Some(total) = limits.total else {
            return reply;
        };
        let text = |number: u32| if limits.decimals { format!("{number}.0") } else { number.to_string() };
        reply
            .with(HeaderName::from_static("x-ratelimit-total"), text(total))
            .with(HeaderName::from_static("x-ratelimit-remaining"), text(self.left))
            .with(HeaderName::from_static("x-ratelimit-used-currentrequest"), text(self.cost))
    }
}
