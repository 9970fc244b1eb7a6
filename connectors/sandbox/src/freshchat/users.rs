//! Users, who are the customers: found by exact values, made unique by `reference_id` (`crm-api.md` §3.c, d, f).

use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::{
    Duplicate, Freshchat,
    model::{Property, SEEDED_AT, User},
    page::{Page, body, created},
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request};

/// The filters; one of them must be there (public code: a list of everybody is refused).
const FILTERS: &[&str] =
    &["phone_no", "email", "reference_id", "created_from", "created_to", "updated_from", "updated_to"];

/// The longest first or last name, e-mail address or id that is taken `[M]`.
const CHARS_MAX: usize = 255;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    first_name: Option<String>,
    last_name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    reference_id: Option<String>,
    properties: Option<Vec<Property>>,
}

impl Given {
    fn check(&self) -> Result<(), Refusal> {
        for (field, value) in [
            ("first_name", &self.first_name),
            ("last_name", &self.last_name),
            ("email", &self.email),
            ("phone", &self.phone),
            ("reference_id", &self.reference_id),
        ] {
            if value.as_ref().is_some_and(|value| value.chars().count() > CHARS_MAX) {
                return Err(Refusal::invalid(format!("{field} has more than {CHARS_MAX} characters")));
            }
        }
        if self.email.as_ref().is_some_and(|email| !email.contains('@')) {
            return Err(Refusal::invalid("email is not an address"));
        }
        Ok(())
    }

    fn apply(self, user: &mut User) {
        let filled = |value: String| Some(value).filter(|value| !value.is_empty());
        user.first_name = self.first_name.unwrap_or(std::mem::take(&mut user.first_name));
        user.last_name = self.last_name.unwrap_or(std::mem::take(&mut user.last_name));
        user.email = self.email.map_or(user.email.take(), filled);
        user.phone = self.phone.map_or(user.phone.take(), filled);
        user.reference_id = self.reference_id.map_or(user.reference_id.take(), filled);
        user.properties = self.properties.unwrap_or(std::mem::take(&mut user.properties));
    }
}

impl Freshchat {
    /// Adds a user who has been there for long. Nothing is checked: an old account holds such things too.
    pub fn add_user(&mut self, fill: impl FnOnce(&mut User)) -> String {
        let mut user = self.blank(SEEDED_AT);
        fill(&mut user);
        let id = user.id.clone();
        self.users.insert(id.clone(), user);
        id
    }

    /// Deletes a user for good, with everything that was said (what Freshchat calls forgetting them).
    pub fn delete_user(&mut self, id: &str) {
        self.users.remove(id);
        self.conversations.retain(|_, one| one.user_id != id);
    }

    fn blank(&mut self, now: Timestamp) -> User {
        User {
            id: self.next_id("05e70000"),
            first_name: String::new(),
            last_name: String::new(),
            email: None,
            phone: None,
            reference_id: None,
            properties: Vec::new(),
            created_time: now,
            updated_time: now,
        }
    }

    pub(super) fn filter_users(&self, request: &Request, now: Timestamp) -> Answer {
        let page = Page::of(request, FILTERS)?;
        if !FILTERS.iter().any(|name| request.param(name).is_some()) {
            return Err(Refusal::invalid("at least one filter is needed"));
        }
        for name in ["created_from", "created_to", "updated_from", "updated_to"] {
            if request.param(name).is_some_and(|value| value.parse::<Timestamp>().is_err()) {
                return Err(Refusal::invalid(format!("{name} is not a time")));
            }
        }
        let since = |name: &str| request.param(name).and_then(|value| value.parse::<Timestamp>().ok());
        let is = |filter: &str, value: &Option<String>| {
            request.param(filter).is_none_or(|wanted| value.as_deref() == Some(wanted))
        };
        let indexed = |user: &User| {
            user.updated_time.checked_add(self.settings.filter_lag).is_ok_and(|from| from <= now)
                || request.param("reference_id").is_some()
        };
        let found: Vec<&User> = self
            .users
            .values()
            .filter(|user| is("phone_no", &user.phone) && is("reference_id", &user.reference_id))
            .filter(|user| is("email", &user.email) && indexed(user))
            .filter(|user| since("created_from").is_none_or(|from| user.created_time >= from))
            .filter(|user| since("created_to").is_none_or(|to| user.created_time <= to))
            .filter(|user| since("updated_from").is_none_or(|from| user.updated_time >= from))
            .filter(|user| since("updated_to").is_none_or(|to| user.updated_time <= to))
            .collect();
        if found.is_empty() && self.settings.nobody_is_404 {
            return Err(Refusal::missing("user"));
        }
        Ok(page.cut("users", request, found.into_iter()))
    }

    pub(super) fn show_user(&self, id: &str) -> Answer {
        self.users.get(id).map(|user| Reply::json(StatusCode::OK, user)).ok_or(Refusal::missing("user"))
    }

    pub(super) fn create_user(&mut self, request: &Request, now: Timestamp) -> Answer {
        let given: Given = body(request)?;
        given.check()?;
        if let Some(wanted) = given.reference_id.as_ref().filter(|id| !id.is_empty())
            && let Some(holder) = self.users.values().find(|user| user.reference_id.as_ref() == Some(wanted))
        {
            match self.settings.duplicate {
                Duplicate::Refused => return Err(Refusal::taken("reference_id")),
                Duplicate::Yielded => return Ok(Reply::json(StatusCode::OK, holder)),
                Duplicate::Made => {}
            }
        }
        let mut user = self.blank(now);
        given.apply(&mut user);
        let shown = json!(user);
        self.users.insert(user.id.clone(), user);
        created(self.settings.created, &shown)
    }

    pub(super) fn update_user(&mut self, id: &str, request: &Request, now: Timestamp) -> Answer {
        if !self.users.contains_key(id) {
            return Err(Refusal::missing("user"));
        }
        let given: Given = body(request)?;
        given.check()?;
        let wanted = given.reference_id.as_ref().filter(|id| !id.is_empty());
        if wanted.is_some() && self.users.values().any(|user| user.id != id && user.reference_id.as_ref() == wanted) {
            return Err(Refusal::taken("reference_id"));
        }
        if let Some(user) = self.users.get_mut(id) {
            given.apply(user);
            user.updated_time = now;
        }
        self.show_user(id)
    }
}
