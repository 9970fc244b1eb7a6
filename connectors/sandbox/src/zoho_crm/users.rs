//! Those who answer: the users of the organisation; and the list of its fields.

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    FIRST_ID, ZohoCrm,
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request};

const PER_PAGE: usize = 200;

/// Somebody who can log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: u64,
    /// His id in all of Zoho, by which PhoneBridge knows him.
    pub zuid: u64,
    pub name: String,
    pub email: String,
    pub active: bool,
}

impl User {
    fn shown(&self) -> Value {
        let (first, last) = self.name.split_once(' ').unwrap_or(("", &self.name));
        json!({
            "id": self.id.to_string(), "zuid": self.zuid.to_string(), "full_name": self.name,
            "first_name": first, "last_name": last, "email": self.email,
            "status": if self.active { "active" } else { "disabled" },
            "phone": null, "mobile": null,
        })
    }
}

impl ZohoCrm {
    /// Adds an active user; his id.
    pub fn add_user(&mut self, name: &str, email: &str) -> u64 {
        let id = self.new_id();
        let zuid = 739_756_000 + (id - FIRST_ID);
        self.users.insert(id, User { id, zuid, name: name.to_owned(), email: email.to_owned(), active: true });
        id
    }

    /// Takes a user out of service: nothing can be given to him.
    pub fn deactivate_user(&mut self, id: u64) {
        if let Some(user) = self.users.get_mut(&id) {
            user.active = false;
        }
    }

    /// All users, disabled ones too.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    /// The user to whom the consent belongs, and to whom falls what is given to nobody.
    pub(super) fn owner(&self) -> Option<&User> {
        self.users.values().next()
    }

    pub(super) fn show_users(&self, request: &Request, id: Option<&str>) -> Answer {
        if let Some(id) = id {
            let user = id.parse().ok().and_then(|id| self.users.get(&id)).ok_or_else(|| Refusal::gone(id))?;
            return Ok(Reply::json(StatusCode::OK, &json!({"users": [user.shown()]})));
        }
        let kind = request.param("type").unwrap_or("AllUsers");
        let wanted = |user: &&User| match kind {
            "ActiveUsers" => user.active,
            "DeactiveUsers" => !user.active,
            "CurrentUser" => self.owner().is_some_and(|owner| owner.id == user.id),
            _ => true,
        };
        if !["AllUsers", "ActiveUsers", "DeactiveUsers", "CurrentUser"].contains(&kind) {
            return Err(Refusal {
                details: json!({"api_name": "type"}),
                ..Refusal::bad("INVALID_DATA", "invalid data")
            });
        }
        let page = Page::of(request)?;
        Ok(page.cut("users", self.users.values().filter(wanted).map(User::shown)))
    }

    /// "Fields metadata", v8.
    pub(super) fn show_fields(&self, request: &Request) -> Answer {
        let name = request.param("module").ok_or_else(|| Refusal::missing("module"))?;
        let module = self.modules.get(name).ok_or_else(|| Refusal::module(name))?;
        let unique = |unique| if unique { json!({"casesensitive": false}) } else { json!({}) };
        let fields: Vec<Value> = module
            .fields
            .iter()
            .map(|field| {
                json!({
                    "api_name": field.name, "data_type": field.data_type(),
                    "system_mandatory": field.mandatory, "unique": unique(field.unique),
                })
            })
            .collect();
        Ok(Reply::json(StatusCode::OK, &json!({"fields": fields})))
    }
}

/// The part of a list that was asked for.
pub(super) struct Page {
    number: usize,
    per_page: usize,
}

impl Page {
    pub(super) fn of(request: &Request) -> Result<Self, Refusal> {
        let read = |name: &str, default: usize, most: usize| match request.param(name) {
            None => Ok(default),
            Some(text) => text.parse().ok().filter(|number| (1..=most).contains(number)).ok_or_else(|| {
                let details = json!({"expected_data_type": "integer", "api_name": name});
                Refusal { details, ..Refusal::bad("INVALID_DATA", "invalid data") }
            }),
        };
        Ok(Self { number: read("page", 1, usize::MAX)?, per_page: read("per_page", PER_PAGE, PER_PAGE)? })
    }

    /// 204 where the page has nothing.
    pub(super) fn cut(self, name: &str, items: impl Iterator<Item = Value>) -> Reply {
        let before = (self.number - 1).saturating_mul(self.per_page);
        let mut shown: Vec<Value> = items.skip(before).take(self.per_page + 1).collect();
        let more = shown.len() > self.per_page;
        shown.truncate(self.per_page);
        if shown.is_empty() {
            return Reply::empty(StatusCode::NO_CONTENT);
        }
        let info = json!({"per_page": self.per_page, "count": shown.len(), "page": self.number, "more_records": more});
        Reply::json(StatusCode::OK, &json!({name: shown, "info": info}))
    }
}
