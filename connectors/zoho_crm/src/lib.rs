//! Zoho CRM (API v8, PhoneBridge v3) as Patchbay speaks to it: a call is a record under Calls, an unknown caller a lead.
//!
//! Facts carry their source: `[V]` is Zoho's own documentation (the page's title, then the version; "Kaizen" is Zoho's
//! series for developers), `[C]` code that others run against it, `[M]` memory that no account has confirmed yet. What
//! is unproven is listed in the README.

mod agents;
mod bridge;
mod calls;
mod contacts;
mod custom;
mod errors;
mod follow_ups;
mod manifest;
mod query;
mod write;

use std::sync::Arc;

use patchbay_kit::{
    Activities, Agents, Allowance, Connector, Contacts, Exchange, Failure, FollowUps, Identity, Kind, Manifest, Notes,
    OpenTickets, Owners, Popups, Request, Response, Retry, Settings, StatusCode, Step, Updates,
};
use serde_json::Value;

pub use manifest::MANIFEST;

use custom::Custom;
use errors::{On, Refusal};

/// One integration with one organisation.
#[derive(Debug)]
struct ZohoCrm {
    custom: Custom,
}

/// Makes the connector. Whatever of the settings [`problems`] objects to is left out.
pub fn build(settings: &Settings) -> Arc<dyn Connector> {
    Arc::new(ZohoCrm { custom: Custom::of(settings) })
}

/// What is wrong with the settings, one line for each: the key and what would be right.
pub fn problems(settings: &Settings) -> Vec<String> {
    custom::problems(settings)
}

/// The statuses of a missing scope ("Status Codes and Errors", v8 \[V\]; 403 \[C\]).
const SCOPE: &[StatusCode] = &[StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];

impl ZohoCrm {
    /// That Calls have the field for the CallSid. Whoever's consent does not cover looking is believed.
    fn fields(&self, who: String) -> Exchange<Identity> {
        let field = self.custom.call_sid_field.clone();
        Request::get("call.fields", path(["settings", "fields"]))
            .query("module", "Calls")
            .done(move |reply| {
                let account = |account: String| Ok(Identity { account });
                match Refusal::in_reply(reply) {
                    Some(refusal) if refusal.code == "OAUTH_SCOPE_MISMATCH" => return account(who.clone()),
                    Some(_) if !reply.status.is_success() => return Err(errors::classify(reply, On::Call)),
                    Some(refusal) => return Err(refusal.failure(On::Call)),
                    None if !reply.status.is_success() => return Err(errors::classify(reply, On::Call)),
                    None => {}
                }
                let body: Value = reply.json()?;
                let fields = body.get("fields").and_then(Value::as_array).ok_or_else(errors::malformed)?;
                let Some(found) = fields.iter().find(|one| one.get("api_name").is_some_and(|name| *name == *field))
                else {
                    return Err(Failure::new(Kind::Invalid, Retry::Never).because(format!(
                        "Calls have no field `{field}`; make it (one line, no duplicates), or set `call_sid_field` to \
                         the API name it has"
                    )));
                };
                // `unique` is an empty object where duplicates are allowed ("Fields Metadata", v8 [V]).
                let unique = found.get("unique").and_then(Value::as_object).is_some_and(|unique| !unique.is_empty());
                let note = if unique { "" } else { " (its field for the CallSid should allow no duplicates)" };
                account(format!("{who}{note}"))
            })
            .accepting(SCOPE)
    }

    fn registered(who: String) -> Exchange<Identity> {
        bridge::users().done(move |reply| match Refusal::in_reply(reply) {
            Some(refusal) => Err(refusal.failure(On::Call)),
            None => Ok(Identity { account: format!("{who}, with PhoneBridge") }),
        })
    }
}

impl Connector for ZohoCrm {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    /// "Get Users", v8, `CurrentUser` \[V\]; then that what the settings promise is there.
    fn identify(&self) -> Exchange<Identity> {
        let custom = ZohoCrm { custom: self.custom.clone() };
        Request::get("user.me", path(["users"])).query("type", "CurrentUser").then(move |reply| {
            if let Some(refusal) = Refusal::in_reply(reply) {
                return Err(refusal.failure(On::Call));
            }
            let me: agents::Users = reply.json()?;
            let who = me.users.first().map(agents::Shown::named).filter(|who| !who.is_empty());
            let who = who.ok_or_else(errors::malformed)?;
            let next = if custom.custom.phonebridge { ZohoCrm::registered(who) } else { custom.fields(who) };
            Ok(Step::Then(next))
        })
    }

    fn classify(&self, reply: &Response) -> Failure {
        errors::classify(reply, On::Call)
    }

    /// `X-API-CREDITS-REMAINING`, from half of the credits on ("API Limits", v8 \[V\]).
    fn allowance(&self, reply: &Response) -> Option<Allowance> {
        Allowance::told(None, reply.number("x-api-credits-remaining"))
    }

    fn activities(&self) -> &dyn Activities {
        self
    }

    /// None with PhoneBridge: what is told it twice might be logged twice, so the call is told when all is known.
    fn updates(&self) -> Option<&dyn Updates> {
        if self.custom.phonebridge { None } else { Some(self) }
    }

    /// None: recording and duration are fields of the call.
    fn notes(&self) -> Option<&dyn Notes> {
        None
    }

    fn contacts(&self) -> Option<&dyn Contacts> {
        Some(self)
    }

    fn agents(&self) -> Option<&dyn Agents> {
        Some(self)
    }

    fn popups(&self) -> Option<&dyn Popups> {
        if self.custom.phonebridge { Some(self) } else { None }
    }

    fn owners(&self) -> Option<&dyn Owners> {
        Some(self)
    }

    /// None: its cases are another product's (Zoho Desk) in most organisations.
    fn open_tickets(&self) -> Option<&dyn OpenTickets> {
        None
    }

    fn follow_ups(&self) -> Option<&dyn FollowUps> {
        Some(self)
    }
}

fn path<const N: usize>(rest: [&str; N]) -> Vec<String> {
    ["crm", "v8"].into_iter().chain(rest).map(str::to_owned).collect()
}
