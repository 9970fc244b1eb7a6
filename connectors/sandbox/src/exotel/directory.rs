//! What an account has: ExoPhones and their lines, users and their devices; and what is known of numbers (§5.4 to §5.6,
//! §5.10).

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Exotel,
    params::{Params, is_number, zeroed},
    render,
};
use crate::{Reply, Request};

/// An ExoPhone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldExoPhone {
    pub sid: String,
    /// E.164.
    pub number: String,
    pub voice_url: Option<String>,
    /// `active` or `major_outage`, as heartbeat sees it.
    pub incoming: String,
    pub outgoing: String,
}

/// A user, whom Exotel's CCM API knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldUser {
    pub id: String,
    pub name: String,
    pub email: String,
    pub active_call: Option<String>,
    pub devices: Vec<HeldDevice>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldDevice {
    pub id: String,
    /// `+91…` or `sip:…`.
    pub contact: String,
    pub available: bool,
    pub verified: bool,
    pub busy: bool,
}

impl Exotel {
    /// Gives the account an ExoPhone. As long as it has none, any caller id is taken.
    pub fn add_exophone(&mut self, sid: &str, number: &str) {
        self.exophones.push(HeldExoPhone {
            sid: sid.to_owned(),
            number: number.to_owned(),
            voice_url: None,
            incoming: "active".to_owned(),
            outgoing: "active".to_owned(),
        });
    }

    pub fn exophones_mut(&mut self) -> &mut Vec<HeldExoPhone> {
        &mut self.exophones
    }

    pub fn users_mut(&mut self) -> &mut Vec<HeldUser> {
        &mut self.users
    }

    pub(super) fn owns(&self, caller_id: &str) -> bool {
        self.exophones.is_empty() || self.exophones.iter().any(|phone| zeroed(&phone.number) == zeroed(caller_id))
    }

    pub(super) fn number_facts(&self, request: &Request, number: &str) -> Reply {
        if !is_number(number) {
            return render::exception(request, StatusCode::NOT_FOUND, "Not Found");
        }
        let written = zeroed(number);
        let mobile = written.as_bytes().get(1).is_some_and(|digit| (b'6'..=b'9').contains(digit));
        let facts = json!({
            "PhoneNumber": written,
            "Circle": "KA",
            "CircleName": "Karnataka Telecom Circle",
            "Type": if mobile { "Mobile" } else { "Landline" },
            "Operator": "V",
            "OperatorName": "Vodafone",
            "DND": if self.settings.do_not_disturb.contains(&written) { "Yes" } else { "No" },
        });
        render::document(request, StatusCode::OK, &[("Numbers", facts)])
    }

    fn shown_exophone(&self, phone: &HeldExoPhone) -> Value {
        json!({
            "sid": phone.sid,
            "phone_number": phone.number,
            "friendly_name": zeroed(&phone.number),
            "capabilities": {"voice": true, "sms": false},
            "country": "IN",
            "region": "KA",
            "voice_url": phone.voice_url,
        })
    }

    pub(super) fn list_exophones(&mut self, request: &Request) -> Reply {
        const SIZE: usize = 50;
        let unknown = request.query.iter().map(|(key, _)| key).filter(|key| *key != "page");
        self.surprised("IncomingPhoneNumbers", unknown.cloned().collect());
        let page: usize = request.param("page").and_then(|page| page.parse().ok()).unwrap_or(0);
        let shown: Vec<Value> =
            self.exophones.iter().skip(page * SIZE).take(SIZE).map(|phone| self.shown_exophone(phone)).collect();
        let body = json!({"page": page, "page_size": SIZE, "incoming_phone_numbers": shown});
        Reply::json(StatusCode::OK, &body)
    }

    pub(super) fn point_exophone(&mut self, request: &Request, sid: &str) -> Reply {
        let Some(at) = self.exophones.iter().position(|phone| phone.sid == sid) else {
            return render::exception(request, StatusCode::NOT_FOUND, "Not Found");
        };
        let url = Params::of(request).and_then(|mut params| params.take("VoiceUrl"));
        match url.filter(|url| url.contains(&format!("/{}/exoml/start_voice/", self.sid))) {
            Some(url) => {
                self.exophones[at].voice_url = Some(url);
                Reply::json(StatusCode::OK, &self.shown_exophone(&self.exophones[at]))
            }
            None => render::exception(request, StatusCode::BAD_REQUEST, "Invalid Parameter: VoiceUrl"),
        }
    }

    pub(super) fn line(&self, request: &Request, sid: &str) -> Reply {
        let Some(phone) = self.exophones.iter().find(|phone| phone.sid == sid) else {
            return self.v2_failure(request, StatusCode::NOT_FOUND, 1000, "Not Found");
        };
        let line = |status: &str| {
            let instead = self.exophones.iter().find(|other| other.sid != sid).map(|other| other.number.clone());
            json!({
                "status": status,
                "last_check_time": "2026-01-15T09:55:00Z",
                "alternate_exophone": instead.filter(|_| status != "active"),
            })
        };
        let mut data = self.shown_exophone(phone);
        data["connectivity"] = json!({"incoming_call": line(&phone.incoming), "outgoing_call": line(&phone.outgoing)});
        self.v2_success(request, data)
    }

    fn v2_success(&self, request: &Request, data: Value) -> Reply {
        let response = json!({"code": 200, "error_data": null, "status": "success", "data": data});
        self.v2(request, StatusCode::OK, response)
    }

    pub(super) fn v2_failure(&self, request: &Request, status: StatusCode, code: u32, message: &str) -> Reply {
        let response = json!({
            "code": status.as_u16(),
            "error_data": {"code": code, "message": message, "description": message},
            "status": "failure",
            "data": null,
        });
        // Some of them come as a success (§1.5).
        let outer = if self.settings.errors_inside { StatusCode::OK } else { status };
        self.v2(request, outer, response)
    }

    fn v2(&self, request: &Request, status: StatusCode, response: Value) -> Reply {
        let body = json!({
            "request_id": "f5e1f8a1b2c34d5e8f90a1b2c3d4e5f6",
            "method": request.method.as_str(),
            "http_code": status.as_u16(),
            "response": response,
        });
        Reply::json(status, &body)
    }

    pub(super) fn list_users(&mut self, request: &Request) -> Reply {
        let known = ["fields", "devices.contact_uri", "email", "offset", "limit"];
        let unknown = request.query.iter().map(|(key, _)| key).filter(|key| !known.contains(&key.as_str()));
        self.surprised("users", unknown.cloned().collect());
        let number = |name: &str, otherwise: usize| request.param(name).map_or(Ok(otherwise), str::parse);
        let (Ok(offset), Ok(limit @ 1..=50)) = (number("offset", 0), number("limit", 20)) else {
            return self.v2_failure(request, StatusCode::BAD_REQUEST, 1002, "Invalid parameter");
        };
        let shown_devices =
            request.param("fields").is_some_and(|fields| fields.split(',').any(|field| field == "devices"));
        let found = self.users.iter().filter(|user| {
            request.param("email").is_none_or(|email| user.email.eq_ignore_ascii_case(email))
                && request
                    .param("devices.contact_uri")
                    .is_none_or(|contact| user.devices.iter().any(|device| device.contact == contact))
        });
        let page = found.skip(offset).take(limit).map(|user| {
            let (first, last) = user.name.split_once(' ').unwrap_or((&user.name, ""));
            let devices: Vec<Value> = user.devices.iter().map(shown_device).collect();
            let mut data = json!({
                "id": user.id,
                "first_name": first,
                "last_name": last,
                "email": user.email,
                "role": "user",
                "active_call": user.active_call,
                "last_login": "2026-01-15T09:55:00Z",
            });
            if shown_devices {
                data["devices"] = devices.into();
            }
            json!({"code": 200, "error_data": null, "status": "success", "data": data})
        });
        let page: Vec<Value> = page.collect();
        self.v2(request, StatusCode::OK, page.into())
    }

    pub(super) fn change_device(&mut self, request: &Request, user: &str, device: &str) -> Reply {
        let missing = |this: &Self, code, what: &str| this.v2_failure(request, StatusCode::NOT_FOUND, code, what);
        let Some(user_at) = self.users.iter().position(|known| known.id == user) else {
            return missing(self, 10_731, "User not found");
        };
        let devices = &self.users[user_at].devices;
        let Some(at) = devices.iter().position(|known| known.id == device) else {
            return missing(self, 1000, "Not Found");
        };
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let refused = |status, code, what: &str| self.v2_failure(request, status, code, what);
        match (body.get("available").and_then(Value::as_bool), body.get("contact_uri").and_then(Value::as_str)) {
            (Some(true), None) if !devices[at].verified => {
                return refused(StatusCode::CONFLICT, 10_809, "Device is not verified");
            }
            (Some(true), None) if devices.iter().any(|other| other.id != device && other.available) => {
                return refused(StatusCode::FORBIDDEN, 10_810, "Another device is already ON");
            }
            (None, Some(_)) if devices[at].contact.starts_with("sip:") => {
                return refused(StatusCode::FORBIDDEN, 10_817, "Non-PSTN device cannot be updated");
            }
            (None, Some(contact))
                if self.users.iter().flat_map(|user| &user.devices).any(|other| other.contact == contact) =>
            {
                return refused(StatusCode::CONFLICT, 10_811, "Device already exists");
            }
            (Some(on), None) => self.users[user_at].devices[at].available = on,
            (None, Some(contact)) if contact.starts_with('+') && is_number(contact) => {
                let device = &mut self.users[user_at].devices[at];
                contact.clone_into(&mut device.contact);
                (device.verified, device.available) = (false, false);
            }
            _ => return refused(StatusCode::BAD_REQUEST, 1002, "Invalid parameter"),
        }
        self.v2_success(request, shown_device(&self.users[user_at].devices[at]))
    }
}

fn shown_device(device: &HeldDevice) -> Value {
    json!({
        "id": device.id,
        "name": "Device",
        "contact_uri": device.contact,
        "type": if device.contact.starts_with("sip:") { "sip" } else { "tel" },
        "available": device.available,
        "verified": device.verified,
        "status": if device.busy { "busy" } else { "free" },
    })
}
