//! Users: the whole list at once, one in full, and the owner of a lead by the caller's number (`crm-api.md` §4.d, e).

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    LeadSquared,
    model::User,
    phone,
    refusal::{Answer, Refusal},
    settings::{NoRoute, RouteReply},
};
use crate::{Reply, Request};

impl LeadSquared {
    pub(super) fn user(&self, id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    /// A user to whom something can be given.
    pub(super) fn active_user(&self, id: &str) -> Result<&User, Refusal> {
        // The exception's name is [M].
        self.user(id)
            .filter(|user| user.active)
            .ok_or_else(|| Refusal::new("MXUnknownUserException", "User does not exist or is inactive"))
    }

    pub(super) fn user_by_number(&self, number: &str) -> Option<&User> {
        let country_code = &self.settings.country_code;
        self.users
            .iter()
            .find(|user| user.active && user.numbers().any(|stored| phone::same(number, stored, country_code)))
    }

    /// Without pages, inactive ones too.
    pub(super) fn list_users(&self) -> Reply {
        let users: Vec<Value> = self
            .users
            .iter()
            .map(|user| {
                json!({
                    "ID": user.id,
                    "FirstName": user.name,
                    "LastName": null,
                    "EmailAddress": user.email,
                    "Role": "Sales_User",
                    "StatusCode": u8::from(!user.active),
                    "Tag": null,
                    "IsPhoneCallAgent": false,
                })
            })
            .collect();
        Reply::json(StatusCode::OK, &users)
    }

    pub(super) fn show_user(&self, request: &Request) -> Answer {
        let id = request.param("userId").ok_or_else(|| Refusal::missing("userId", "retrieving user"))?;
        let shown: Vec<Value> = self.user(id).filter(|user| user.active).map(User::shown).into_iter().collect();
        Ok(Reply::json(StatusCode::OK, &shown))
    }

    pub(super) fn route_lead(&self, request: &Request) -> Answer {
        let caller = request
            .param("caller_id")
            .filter(|caller| !caller.is_empty())
            .ok_or_else(|| Refusal::missing("caller_id", "call route"))?;
        let owner = self
            .leads
            .iter()
            .filter(|lead| {
                let stored = [lead.get("Phone"), lead.get("Mobile")];
                stored.iter().any(|stored| phone::finds(&self.settings, caller, stored))
            })
            .max_by_key(|lead| lead.last_activity)
            .and_then(|lead| self.active_user(&lead.owner).ok());
        let Some(owner) = owner else { return self.no_route() };
        let number = owner.numbers().next().unwrap_or_default();
        let form =
            if request.param("agentInfo") == Some("true") { self.settings.route_reply } else { RouteReply::Text };
        Ok(match form {
            RouteReply::User => Reply::json(StatusCode::OK, &owner.shown()),
            RouteReply::Enveloped => {
                Reply::json(StatusCode::OK, &json!({ "Status": "Success", "Message": owner.shown() }))
            }
            RouteReply::Number => Reply::json(StatusCode::OK, &json!(number)),
            RouteReply::Text => Reply::of(StatusCode::OK, "text/plain", number.to_owned()),
        })
    }

    fn no_route(&self) -> Answer {
        Ok(match self.settings.no_route {
            NoRoute::EmptyObject => Reply::json(StatusCode::OK, &json!({})),
            NoRoute::Null => Reply::json(StatusCode::OK, &Value::Null),
            NoRoute::Empty => Reply::of(StatusCode::OK, "text/plain", ""),
            NoRoute::Enveloped => Reply::json(StatusCode::OK, &json!({ "Status": "Success", "Message": null })),
            NoRoute::Error => return Err(Refusal::new("MXLeadNotFoundException", "Lead not found")),
        })
    }
}
