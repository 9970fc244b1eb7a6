//! Salesforce (REST API) as Patchbay speaks to it: a call is a task, upserted by the CallSid, on the caller's record.
//!
//! Facts carry their source: `[V]` is Salesforce's own documentation (its title, then the section), `[C]` code that
//! others run against it, `[3P]` other people's writing, `[M]` memory that no org has confirmed yet. What is unproven is
//! listed in the README.

mod agents;
mod contacts;
mod errors;
mod facts;
mod follow_ups;
mod manifest;
mod new_contact;
mod objects;
mod open;
mod query;
mod settings;
mod tasks;
mod write;

use std::sync::Arc;

use patchbay_kit::{
    Activities, Agents, Allowance, Connector, Contacts, Exchange, Failure, FollowUps, Identity, Manifest, Notes,
    OpenTickets, Owners, Popups, Request, Response, Settings, StatusCode, Step, Updates,
};
use serde::Deserialize;

pub use manifest::MANIFEST;

use settings::Org;

/// One integration with one org.
#[derive(Debug)]
struct Salesforce {
    org: Arc<Org>,
}

/// Makes the connector. Whatever of the settings [`problems`] objects to is left out.
pub fn build(settings: &Settings) -> Arc<dyn Connector> {
    Arc::new(Salesforce { org: Arc::new(Org::of(settings)) })
}

/// What is wrong with the settings, one line for each: the key and what would be right.
pub fn problems(settings: &Settings) -> Vec<String> {
    settings::problems(settings)
}

impl Connector for Salesforce {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    /// "Object Reference, Organization" \[V\]: one record, which every user of the API can read.
    fn identify(&self) -> Exchange<Identity> {
        #[derive(Deserialize)]
        struct Shown {
            #[serde(rename = "Name")]
            name: Option<String>,
            #[serde(rename = "IsSandbox", default)]
            is_sandbox: bool,
        }
        let set_up = Arc::clone(&self.org);
        self.org.query("org.show", "SELECT Name, IsSandbox FROM Organization LIMIT 1").then(move |reply| {
            let found: query::Records<Shown> = reply.json()?;
            let org = found.records.into_iter().next().ok_or_else(|| errors::unexpected("names no organization"))?;
            let name = org.name.filter(|name| !name.is_empty()).unwrap_or_else(|| "a Salesforce org".to_owned());
            let account = if org.is_sandbox { format!("{name} (a sandbox of it)") } else { name };
            Ok(Step::Then(knows_key(&set_up, Identity { account })))
        })
    }

    fn classify(&self, reply: &Response) -> Failure {
        errors::classify(reply, &self.org)
    }

    /// "REST API Developer Guide, Limit Info Header" \[V\]: `api-usage=18/5000`, and after a semicolon what one app used.
    fn allowance(&self, reply: &Response) -> Option<Allowance> {
        let usage =
            reply.header("sforce-limit-info")?.split(';').find_map(|part| part.trim().strip_prefix("api-usage="))?;
        let (used, limit) = usage.split_once('/')?;
        let (used, limit) = (Allowance::amount(used)?, Allowance::amount(limit)?);
        Allowance::told(Some(limit), Some((limit - used).max(0.0)))
    }

    fn activities(&self) -> &dyn Activities {
        self
    }

    fn updates(&self) -> Option<&dyn Updates> {
        Some(self)
    }

    /// None: recording and duration are fields of the task, and stand in its comments.
    fn notes(&self) -> Option<&dyn Notes> {
        None
    }

    fn contacts(&self) -> Option<&dyn Contacts> {
        Some(self)
    }

    fn agents(&self) -> Option<&dyn Agents> {
        Some(self)
    }

    /// None: a call is shown in the agent's browser only (Open CTI), and so by Patchbay's widget.
    fn popups(&self) -> Option<&dyn Popups> {
        None
    }

    fn owners(&self) -> Option<&dyn Owners> {
        Some(self)
    }

    fn open_tickets(&self) -> Option<&dyn OpenTickets> {
        Some(self)
    }

    fn follow_ups(&self) -> Option<&dyn FollowUps> {
        Some(self)
    }
}

/// Nothing can be written without the field that holds the CallSid: a record that nobody has is asked for by it. "REST
/// API Developer Guide, sObject Rows by External ID" \[V\]; both answers are a 404.
fn knows_key(org: &Arc<Org>, identity: Identity) -> Exchange<Identity> {
    const NONE: &[StatusCode] = &[StatusCode::NOT_FOUND];
    let path = org.path(["sobjects", "Task", &org.call_sid_field, "none"]);
    let org = Arc::clone(org);
    Request::get("org.key", path)
        .query("fields", "Id")
        .done(move |reply| {
            let missing = errors::said(&reply.body).first().is_some_and(errors::Said::misses_key);
            if missing { Err(errors::classify(reply, &org)) } else { Ok(identity.clone()) }
        })
        .accepting(NONE)
}
