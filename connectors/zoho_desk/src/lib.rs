//! Zoho Desk (API v1) as Patchbay speaks to it: a call is a ticket, a missed one a private comment on the caller's open
//! ticket, a recording a private comment on either.
//!
//! Facts carry their source: `[V]` is Zoho's public API documentation (`desk.zoho.com/DeskAPIDocument`), `[S]` Zoho's
//! own OpenAPI description (`zoho/zohodesk-oas`, v1.0), `[C]` code and notes of others who run against it, `[M]` memory
//! that no account has confirmed yet. What is unproven is listed in the README.

mod agents;
mod comments;
mod contacts;
mod defaults;
mod errors;
mod hunt;
mod manifest;
mod open;
mod tickets;
mod wire;

use std::sync::Arc;

use patchbay_kit::{
    Activities, Agents, Allowance, Connector, Contacts, Defaults, Exchange, Failure, FollowUps, Identity, Kind,
    Manifest, Notes, OpenTickets, Owners, Popups, Request, Response, Retry, Settings, StatusCode, Updates,
};
use serde::Deserialize;

pub use manifest::MANIFEST;

/// Items on one page of tickets, contacts and comments, the most Zoho Desk gives ("Pagination" \[V\]).
const PER_PAGE: usize = 100;

/// One integration with one department of one organisation.
#[derive(Debug)]
struct ZohoDesk {
    api: Api,
    defaults: Defaults,
}

/// What every request needs to know.
#[derive(Clone, Debug)]
struct Api {
    org: String,
    department: String,
}

impl Api {
    /// The organisation goes into a header with everything ("Organizations" \[V\]); \[S\] has it in the query.
    fn to(&self, request: Request) -> Request {
        request.header("orgId", &self.org)
    }
}

/// Makes the connector. Whatever of the settings [`problems`] objects to is left out.
pub fn build(settings: &Settings) -> Arc<dyn Connector> {
    let text = |key: &str| settings.text(key).unwrap_or_default().to_owned();
    let api = Api { org: text("org_id"), department: text("department_id") };
    Arc::new(ZohoDesk { api, defaults: Defaults::of(settings, defaults::TABLES) })
}

/// What is wrong with the settings, one line for each: the key and what would be right.
pub fn problems(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    for (key, cure) in [
        ("org_id", "Setup, Developer Space, API: the organisation's id"),
        ("department_id", "the number in the address of the department's page in Setup"),
    ] {
        if settings.text(key).is_some_and(|text| !text.bytes().all(|c| c.is_ascii_digit())) {
            problems.push(format!("{key}: must be digits only ({cure})"));
        }
    }
    let accounts = settings.text("accounts_url").and_then(|url| url.strip_prefix("https://"));
    if accounts.is_some_and(|host| !host.starts_with("accounts.")) {
        problems.push(
            "accounts_url: must be the accounts server of your data centre, as https://accounts.zoho.in".to_owned(),
        );
    }
    problems.extend(defaults::problems(settings));
    problems
}

impl Connector for ZohoDesk {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    /// "Departments: Get department" \[V\]: one request that needs a good token, the right organisation and the right
    /// department.
    fn identify(&self) -> Exchange<Identity> {
        #[derive(Deserialize)]
        struct Shown {
            name: Option<String>,
        }
        const NONE: &[StatusCode] = &[StatusCode::NOT_FOUND, StatusCode::UNPROCESSABLE_ENTITY];
        self.api
            .to(Request::get("department.show", path(["departments", &self.api.department])))
            .done(|reply| {
                if NONE.contains(&reply.status) {
                    return Err(Failure::new(Kind::Invalid, Retry::Never)
                        .because("the organisation has no such department in Zoho Desk; correct `department_id`"));
                }
                let name = reply.json::<Shown>()?.name.unwrap_or_default();
                Ok(Identity { account: format!("department {name}").trim_end().to_owned() })
            })
            .accepting(NONE)
    }

    fn classify(&self, reply: &Response) -> Failure {
        errors::classify(reply, errors::On::Ticket)
    }

    /// "Ratelimit Response Headers" \[V\]: credits that are left today, and how many this request cost. How many there
    /// are in all is in no header.
    fn allowance(&self, reply: &Response) -> Option<Allowance> {
        let cost = reply.number("x-rate-limit-request-weight-v3").unwrap_or(1.0).max(1.0);
        let left = reply.number("x-rate-limit-remaining-v3").map(|left| (left / cost).floor());
        Allowance::told(None, left)
    }

    fn activities(&self) -> &dyn Activities {
        self
    }

    fn updates(&self) -> Option<&dyn Updates> {
        Some(self)
    }

    fn notes(&self) -> Option<&dyn Notes> {
        Some(self)
    }

    fn contacts(&self) -> Option<&dyn Contacts> {
        Some(self)
    }

    fn agents(&self) -> Option<&dyn Agents> {
        Some(self)
    }

    /// None: Zoho shows calls through PhoneBridge, which only providers registered with Zoho may use.
    fn popups(&self) -> Option<&dyn Popups> {
        None
    }

    /// None of its own: whose contact a caller is, is said by the contact.
    fn owners(&self) -> Option<&dyn Owners> {
        None
    }

    fn open_tickets(&self) -> Option<&dyn OpenTickets> {
        Some(self)
    }

    /// None: the ticket is what is to be done.
    fn follow_ups(&self) -> Option<&dyn FollowUps> {
        None
    }
}

fn path<const N: usize>(rest: [&str; N]) -> Vec<String> {
    ["api", "v1"].into_iter().chain(rest).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told_with_its_key() {
        let mut settings = Settings::default();
        for (key, value) in [("org_id", "acme"), ("department_id", "Support"), ("accounts_url", "https://desk.zoho.in")]
        {
            settings.text.insert(key.to_owned(), value.to_owned());
        }
        let told = problems(&settings);
        assert_eq!(told.len(), 3, "{told:?}");
        for key in ["org_id", "department_id", "accounts_url"] {
            assert!(told.iter().any(|line| line.starts_with(&format!("{key}:"))), "{key}: {told:?}");
        }
        for (key, value) in
            [("org_id", "60001280952"), ("department_id", "7000"), ("accounts_url", "https://accounts.zoho.eu")]
        {
            settings.text.insert(key.to_owned(), value.to_owned());
        }
        assert_eq!(problems(&settings), [""; 0]);
    }
}
