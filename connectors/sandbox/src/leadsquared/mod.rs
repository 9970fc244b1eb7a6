//! A strict LeadSquared: one organisation with its leads, users and call activities, behind the v2 API (two keys) and
//! behind the capability URLs of one Universal Telephony Connector.
//!
//! Facts are from `crm-api.md` §4 (a to g) unless a comment names another source; `[M]` marks, as there, what rests on
//! memory. What the public material leaves open is a public setting, so that each form can be tried. What LeadSquared has
//! beyond what is played here (opportunities, tasks, lists) is refused as an unknown route.

mod activities;
mod auth;
mod body;
mod held;
mod leads;
mod limits;
mod model;
mod phone;
mod refusal;
mod settings;
mod telephony;
mod users;

use http::{Method, StatusCode};
use jiff::Timestamp;

use self::{
    limits::Meter,
    model::{SEEDED_AT, guid},
    refusal::{Answer, Refusal},
};
pub use self::{
    model::{Activity, Lead, Popup, User},
    settings::{LogReply, NoRoute, PhoneSearch, RouteReply, Settings},
};
use crate::{Reply, Request, Sandbox};

/// The id of the one connector that is set up in the organisation's Universal Telephony Connector.
pub const CONNECTOR: &str = "2ef86c44-06b8-41eb-a4e9-759ccc459e0a";

/// One LeadSquared organisation with one user's keys and one telephony connector.
#[derive(Clone, Debug)]
pub struct LeadSquared {
    /// Open to tests and the demo, also between two requests.
    pub settings: Settings,
    access_key: String,
    secret_key: String,
    org_key: String,
    revoked: bool,
    meter: Meter,
    made: u64,
    owner: String,
    users: Vec<User>,
    leads: Vec<Lead>,
    activities: Vec<Activity>,
    popups: Vec<Popup>,
    fields: std::collections::BTreeMap<String, bool>,
    failing_inside: u32,
}

impl LeadSquared {
    /// An organisation whose keys belong to its first user, "Key Owner"; `org_key` is the secret part of its capability
    /// URLs.
    pub fn new(access_key: impl Into<String>, secret_key: impl Into<String>, org_key: impl Into<String>) -> Self {
        let mut account = Self {
            settings: Settings::default(),
            access_key: access_key.into(),
            secret_key: secret_key.into(),
            org_key: org_key.into(),
            revoked: false,
            meter: Meter::default(),
            made: 0,
            owner: String::new(),
            users: Vec::new(),
            leads: Vec::new(),
            activities: Vec::new(),
            popups: Vec::new(),
            fields: leads::standard_fields(),
            failing_inside: 0,
        };
        account.owner = account.add_user("Key Owner", "owner@example.com");
        account
    }

    /// The path of a capability URL of this organisation: `path("LogCallComplete")`.
    pub fn path(&self, operation: &str) -> String {
        let org = if self.settings.org_segment { "ORG76235/" } else { "" };
        format!("/1/api/Telephony/{operation}/{org}{}/{CONNECTOR}", self.org_key)
    }

    /// Revokes keys and capability URLs alike: every request is refused until [`LeadSquared::set_keys`].
    pub fn revoke_keys(&mut self) {
        self.revoked = true;
    }

    /// Gives new keys; the capability URLs work again as they were.
    pub fn set_keys(&mut self, access_key: impl Into<String>, secret_key: impl Into<String>) {
        self.access_key = access_key.into();
        self.secret_key = secret_key.into();
        self.revoked = false;
    }

    /// Adds an active user; yields the id.
    pub fn add_user(&mut self, name: &str, email: &str) -> String {
        let id = self.next_id(0xa);
        self.users.push(User::new(&id, name, email));
        id
    }

    /// Alters a user, to give them a phone number for instance.
    pub fn change_user(&mut self, id: &str, change: impl FnOnce(&mut User)) {
        if let Some(user) = self.users.iter_mut().find(|user| user.id == id) {
            change(user);
        }
    }

    /// Takes a user out of service: listed as inactive, and nothing can be given to them.
    pub fn deactivate_user(&mut self, id: &str) {
        self.change_user(id, |user| user.active = false);
    }

    /// Adds a lead that has been there for long. Nothing is checked: an old account holds such things too.
    pub fn add_lead_with(&mut self, fill: impl FnOnce(&mut Lead)) -> String {
        let id = self.next_id(0xb);
        let mut lead = Lead::new(&id, &self.owner, SEEDED_AT);
        fill(&mut lead);
        self.leads.push(lead);
        id
    }

    /// Alters a lead as a person would.
    pub fn change_lead(&mut self, id: &str, now: Timestamp, change: impl FnOnce(&mut Lead)) {
        if let Some(lead) = self.leads.iter_mut().find(|lead| lead.id == id) {
            change(lead);
            lead.modified_on = now;
        }
    }

    /// Deletes a lead with all its activities.
    pub fn delete_lead(&mut self, id: &str) {
        self.leads.retain(|lead| lead.id != id);
        self.activities.retain(|activity| activity.lead != id);
    }

    /// Deletes an activity.
    pub fn delete_activity(&mut self, id: &str) {
        self.activities.retain(|activity| activity.id != id);
    }

    /// Defines a custom field of leads (`mx_…`); an undefined one is refused.
    pub fn define_field(&mut self, schema_name: &str) {
        self.fields.entry(schema_name.to_owned()).or_insert(false);
    }

    /// Makes a field of leads mandatory: creating a lead without it is refused.
    pub fn require_field(&mut self, schema_name: &str) {
        self.fields.insert(schema_name.to_owned(), true);
    }

    /// All leads, oldest first.
    pub fn leads(&self) -> &[Lead] {
        &self.leads
    }

    /// One lead.
    pub fn lead(&self, id: &str) -> Option<&Lead> {
        self.leads.iter().find(|lead| lead.id == id)
    }

    /// All call activities, oldest first.
    pub fn activities(&self) -> &[Activity] {
        &self.activities
    }

    /// One call activity.
    pub fn activity(&self, id: &str) -> Option<&Activity> {
        self.activities.iter().find(|activity| activity.id == id)
    }

    /// All users, inactive ones too.
    pub fn users(&self) -> &[User] {
        &self.users
    }

    /// What was broadcast to agents' screens, oldest first.
    pub fn popups(&self) -> &[Popup] {
        &self.popups
    }

    fn next_id(&mut self, kind: u32) -> String {
        self.made += 1;
        guid(kind, self.made)
    }

    fn route(&mut self, request: &Request, now: Timestamp) -> Answer {
        let segments = request.segments();
        match segments.as_slice() {
            ["v2", rest @ ..] => self.api(request, rest, now),
            ["1", "api", "Telephony", operation, key @ ..] => {
                self.telephony_connector(key)?;
                self.capability(request, operation, now)
            }
            _ => Err(Refusal::NotFound),
        }
    }

    /// The v2 API, with keys.
    fn api(&mut self, request: &Request, path: &[&str], now: Timestamp) -> Answer {
        self.authorise(request)?;
        if path == ["Authentication.svc", "UserByAccessKey.Get"] {
            return only(request, &Method::GET).map(|()| self.show_key_owner());
        }
        self.right_region()?;
        self.meter.book(&self.settings, now)?;
        let method = match path {
            ["LeadManagement.svc", "RetrieveLeadByPhoneNumber"]
            | ["UserManagement.svc", "Users.Get"]
            | ["UserManagement.svc", "User", "Retrieve", "ByUserId"] => Method::GET,
            ["LeadManagement.svc", "Leads.Get" | "Lead.Create" | "Lead.CreateOrUpdate"]
            | ["Telephony.svc", "LogCall" | "ShowAgentPopup"]
            | ["Telephony.svc", "PhoneCallActivity", "Update"]
            | ["ProspectActivity.svc", "Retrieve"]
            | ["ProspectActivity.svc", "CustomActivity", "RetrieveByActivityEvent"] => Method::POST,
            _ => return Err(Refusal::NotFound),
        };
        only(request, &method)?;
        let writes = matches!(path, [_, "Lead.Create" | "Lead.CreateOrUpdate" | "LogCall", ..] | [_, _, "Update"]);
        self.fails_inside(writes)?;
        match path {
            [_, "RetrieveLeadByPhoneNumber"] => self.lead_by_phone(request),
            [_, "Leads.Get"] => self.leads_by_field(request, now),
            [_, "Lead.Create"] => self.create_lead(request, now),
            [_, "Lead.CreateOrUpdate"] => self.create_or_update_lead(request, now),
            [_, "LogCall"] => self.log_call(request, now),
            [_, "ShowAgentPopup"] => self.show_popup(request, true),
            [_, "PhoneCallActivity", "Update"] => self.update_call(request, now),
            [_, "Retrieve"] => self.activities_of_lead(request),
            [_, _, "RetrieveByActivityEvent"] => self.activities_by_event(request, now),
            [_, "Users.Get"] => Ok(self.list_users()),
            _ => self.show_user(request),
        }
    }

    /// The capability URLs: whoever knows them may use them.
    fn capability(&mut self, request: &Request, operation: &str, now: Timestamp) -> Answer {
        match operation {
            "LeadRouteV2" => only(request, &Method::GET).and_then(|()| self.route_lead(request)),
            "AgentPopup" => only(request, &Method::POST).and_then(|()| self.show_popup(request, false)),
            "LogCallComplete" => {
                only(request, &Method::POST)?;
                self.fails_inside(true)?;
                self.log_call(request, now)
            }
            _ => Err(Refusal::NotFound),
        }
    }

    fn fails_inside(&mut self, writes: bool) -> Result<(), Refusal> {
        if writes && self.failing_inside > 0 {
            self.failing_inside -= 1;
            return Err(Refusal::limit(&self.settings, true));
        }
        Ok(())
    }
}

fn only(request: &Request, method: &Method) -> Result<(), Refusal> {
    if request.method == *method { Ok(()) } else { Err(Refusal::Method) }
}

impl Sandbox for LeadSquared {
    fn handle(&mut self, request: &Request, now: Timestamp) -> Reply {
        let status = self.settings.error_status;
        self.route(request, now).unwrap_or_else(|refusal| refusal.into_reply(status))
    }

    /// No `Retry-After` is documented, so none is given.
    fn refuse(&self, _request: &Request, status: StatusCode, _retry_after_s: Option<u64>) -> Reply {
        Refusal::of_status(&self.settings, status).into_reply(status)
    }
}
