//! The account's users and the devices they are rung on: Exotel's CCM API.

use jiff::Timestamp;
use patchbay_kit::Request;

use super::{
    client::{ExotelClient, Host},
    error::ExotelError,
    limits::Class,
    read::{Party, Said, open_words},
};

/// The most at once (exotel-api §5.6).
const PAGE: usize = 50;
/// A list that never ends is none.
const PAGES: usize = 200;

open_words! {
    DeviceKind { Telephone = "tel" | "pstn", Sip = "sip" }
}

open_words! {
    DeviceStatus { Free = "free", Busy = "busy" }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub id: String,
    pub name: Option<String>,
    pub contact: Option<Party>,
    pub kind: Option<DeviceKind>,
    /// Switched on: calls go to it. Of a user's devices one at most is.
    pub available: bool,
    pub verified: bool,
    pub status: Option<DeviceStatus>,
}

impl Device {
    fn read(said: Said<'_>) -> Option<Self> {
        Some(Self {
            id: said.text("id")?,
            name: said.text("name"),
            contact: said.party("contact_uri"),
            kind: said.text("type").map(|word| DeviceKind::read(&word)),
            available: said.yes("available").unwrap_or_default(),
            verified: said.yes("verified").unwrap_or_default(),
            status: said.text("status").map(|word| DeviceStatus::read(&word)),
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: String,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub email: Option<String>,
    pub role: Option<String>,
    /// The call he is in.
    pub active_call: Option<String>,
    pub last_login: Option<Timestamp>,
    pub devices: Vec<Device>,
}

impl User {
    fn read(said: Said<'_>) -> Option<Self> {
        let active = said.at("active_call");
        Some(Self {
            id: said.text("id")?,
            first_name: said.text("first_name"),
            last_name: said.text("last_name"),
            email: said.text("email"),
            role: said.text("role"),
            // Its form is not documented: an id, or an object with one.
            active_call: said.text("active_call").or_else(|| {
                let active = active?;
                ["call_sid", "sid", "CallSid"].iter().find_map(|name| active.text(name))
            }),
            last_login: said.time("last_login"),
            devices: said
                .at("devices")
                .map(|devices| devices.each("device").into_iter().filter_map(Device::read).collect())
                .unwrap_or_default(),
        })
    }
}

/// Whose users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    Everybody,
    Email(String),
    /// Who has a device with this number or SIP address.
    Contact(Party),
}

/// `response` is one `{code, status, data}` or several; what failed alone is left out (exotel-api §1.5).
fn data(said: Said<'_>) -> Option<Vec<Said<'_>>> {
    let parts = said.at("response")?.each("response");
    Some(parts.into_iter().filter_map(|part| part.at("data")).collect())
}

impl ExotelClient {
    /// `GET /v2/accounts/{sid}/users` with devices, all pages (exotel-api §5.6).
    ///
    /// # Errors
    /// [`ExotelError`].
    pub async fn users(&self, who: &Who) -> Result<Vec<User>, ExotelError> {
        let mut found: Vec<User> = Vec::new();
        for page in 0..PAGES {
            let mut request = Request::get("exotel.users", self.v2(["users"]))
                .query("fields", "devices,active_call,last_login")
                .query("offset", page * PAGE)
                .query("limit", PAGE);
            match who {
                Who::Everybody => {}
                Who::Email(email) => request = request.query("email", email),
                Who::Contact(contact) => request = request.query("devices.contact_uri", contact.e164()),
            }
            let (users, full) = self
                .ask(Host::Ccm, Class::Other, request, |said| {
                    let parts = data(said)?;
                    let full = parts.len() >= PAGE;
                    Some((parts.into_iter().filter_map(User::read).collect::<Vec<_>>(), full))
                })
                .await?;
            let before = found.len();
            for user in users {
                if !found.iter().any(|known| known.id == user.id) {
                    found.push(user);
                }
            }
            if !full || found.len() == before {
                break;
            }
        }
        Ok(found)
    }

    /// Switches a device on or off. Only one of a user's may be on.
    ///
    /// # Errors
    /// [`ExotelError::Refused`] with code 10810 where another one is on, and the others.
    pub async fn switch_device(&self, user: &str, device: &str, on: bool) -> Result<(), ExotelError> {
        self.change_device(user, device, serde_json::json!({ "available": on })).await
    }

    /// Gives a telephone another number; it has to be verified anew.
    ///
    /// # Errors
    /// [`ExotelError`].
    pub async fn change_contact(&self, user: &str, device: &str, contact: &Party) -> Result<(), ExotelError> {
        self.change_device(user, device, serde_json::json!({ "contact_uri": contact.e164() })).await
    }

    async fn change_device(&self, user: &str, device: &str, to: serde_json::Value) -> Result<(), ExotelError> {
        let path = self.v2(["users", user, "devices", device]);
        self.ask(Host::Ccm, Class::Other, Request::put("exotel.device", path).json(to), |_| Some(())).await
    }
}
