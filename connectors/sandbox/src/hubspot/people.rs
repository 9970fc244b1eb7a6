//! Owners, who are not users: records are assigned to owner ids, calls ring at user ids (`crm-api.md` §7.e).

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    HubSpot,
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request};

const PAGE_MAX: usize = 500;

/// A person who can own records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub id: String,
    pub user_id: u64,
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    pub archived: bool,
}

impl Owner {
    /// An archived owner's user id moves to another field (HubSpot/hubspot-api-python issue 314).
    fn shown(&self) -> Value {
        let user = if self.archived { Value::Null } else { json!(self.user_id) };
        json!({"id": self.id, "userId": user, "userIdIncludingInactive": self.user_id, "email": self.email,
            "firstName": self.first_name, "lastName": self.last_name, "type": "PERSON", "archived": self.archived,
            "createdAt": "2024-01-01T00:00:00.000Z", "updatedAt": "2024-01-01T00:00:00.000Z"})
    }
}

impl HubSpot {
    pub(super) fn list_owners(&self, request: &Request) -> Answer {
        let limit = request.param("limit").map_or(Some(100), |limit| limit.parse().ok());
        let Some(limit) = limit.filter(|limit| (1..=PAGE_MAX).contains(limit)) else {
            return Err(Refusal::invalid(format!("limit must be between 1 and {PAGE_MAX}")));
        };
        let after = request.param("after").unwrap_or_default();
        let Ok(after) = (if after.is_empty() { Ok(0) } else { after.parse::<u64>() }) else {
            return Err(Refusal::invalid("Invalid paging cursor"));
        };
        let archived = request.param("archived") == Some("true");
        let email = request.param("email");
        let number = |owner: &Owner| owner.id.parse::<u64>().unwrap_or(0);
        let mut listed: Vec<&Owner> = self
            .owners
            .iter()
            .filter(|owner| owner.archived == archived && number(owner) > after)
            .filter(|owner| email.is_none_or(|email| owner.email.eq_ignore_ascii_case(email)))
            .collect();
        let more = listed.len() > limit;
        listed.truncate(limit);
        let mut body = json!({"results": listed.iter().map(|owner| owner.shown()).collect::<Vec<_>>()});
        if let Some(last) = listed.last().filter(|_| more) {
            body["paging"] = json!({"next": {"after": last.id, "link": "?after"}});
        }
        Ok(Reply::json(StatusCode::OK, &body))
    }

    pub(super) fn show_owner(&self, id: &str, request: &Request) -> Answer {
        let by_user = match request.param("idProperty") {
            None | Some("id") => false,
            Some("userId") => true,
            Some(other) => return Err(Refusal::invalid(format!("idProperty {other} is none of id, userId"))),
        };
        let archived = request.param("archived") == Some("true");
        let found = self.owners.iter().find(|owner| {
            let is = if by_user { owner.user_id.to_string() == id } else { owner.id == id };
            is && owner.archived == archived
        });
        found.map(|owner| Reply::json(StatusCode::OK, &owner.shown())).ok_or_else(|| Refusal::object(id))
    }
}
