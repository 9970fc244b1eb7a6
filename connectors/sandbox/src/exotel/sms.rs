//! Text messages (§5.8): sent, refused and asked about, so that what becomes of one can be tried.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Exotel,
    params::{Params, Wrong, is_number, zeroed},
    render,
};
use crate::{Reply, Request};

/// A message that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldSms {
    pub sid: String,
    pub from: String,
    pub to: String,
    pub body: String,
    pub custom_field: Option<String>,
    pub at: Timestamp,
}

impl Exotel {
    /// Every message that was sent, oldest first.
    pub fn messages(&self) -> &[HeldSms] {
        &self.messages
    }

    pub(super) fn send_sms(&mut self, request: &Request, now: Timestamp) -> Reply {
        let bad = |message: &str| render::exception(request, StatusCode::BAD_REQUEST, message);
        let Some(mut params) = Params::of(request) else { return bad("Invalid Parameter") };
        let sent = match self.accept(&mut params, now) {
            Ok(sent) => sent,
            Err(wrong) => return bad(&wrong),
        };
        self.surprised("Sms/send", params.rest());
        let shown: Vec<Value> = sent.iter().map(|sms| self.shown_sms(sms, now)).collect();
        self.messages.extend(sent);
        let several = shown.len() > 1 || self.settings.sms_as_list;
        let body = if several { shown.into() } else { shown.into_iter().next().unwrap_or_default() };
        render::document(request, StatusCode::OK, &[("SMSMessage", body)])
    }

    fn accept(&mut self, params: &mut Params, now: Timestamp) -> Result<Vec<HeldSms>, Wrong> {
        let need = |name: &str| format!("Invalid Parameters: No '{name}' specified");
        let from = params.take("From").ok_or_else(|| need("From"))?;
        let mut to = params.list("To");
        to.extend(params.take("To"));
        if to.is_empty() {
            return Err(need("To"));
        }
        if to.len() > 100 || !to.iter().all(|to| is_number(to)) {
            return Err("Invalid Parameters: 'To'".to_owned());
        }
        let body = params.take("Body").ok_or_else(|| need("Body"))?;
        if body.chars().count() > 2000 {
            return Err("Invalid Parameters: 'Body' has more than 2000 characters".to_owned());
        }
        let encoding = params.word("EncodingType", &["plain", "unicode"])?;
        if encoding.as_deref() != Some("unicode") && !body.is_ascii() {
            return Err("Invalid Parameters: 'Body' is not plain".to_owned());
        }
        params.word("SmsType", &["transactional", "transactional_opt_in", "promotional"])?;
        params.listener(&[])?;
        for name in ["DltEntityId", "DltTemplateId", "Priority"] {
            params.take(name);
        }
        let custom_field = params.take("CustomField");
        Ok(to
            .into_iter()
            .map(|to| HeldSms {
                sid: format!("{:016x}{:016x}", self.tokens.next(), self.tokens.next()),
                from: from.clone(),
                to: zeroed(&to),
                body: body.clone(),
                custom_field: custom_field.clone(),
                at: now,
            })
            .collect())
    }

    fn shown_sms(&self, sms: &HeldSms, now: Timestamp) -> Value {
        let sent = now > sms.at;
        json!({
            "Sid": sms.sid,
            "AccountSid": self.sid,
            "From": sms.from,
            "To": sms.to,
            "Body": sms.body,
            "Status": if sent { "sent" } else { "queued" },
            "DetailedStatus": if sent { "DELIVERED_TO_HANDSET" } else { "PENDING_TO_OPERATOR" },
            "DetailedStatusCode": self.number(if sent { 20_005 } else { 20_001 }),
            "DateCreated": render::ist(sms.at),
            "DateUpdated": render::ist(sms.at),
            "DateSent": if sent { json!(render::ist(sms.at)) } else { Value::Null },
            "Price": "0.180000",
            "Direction": "outbound-api",
            "ApiVersion": null,
            "Uri": format!("/v1/Accounts/{}/SMS/Messages/{}", self.sid, sms.sid),
        })
    }

    pub(super) fn sms(&self, request: &Request, sid: &str, now: Timestamp) -> Reply {
        match self.messages.iter().find(|sms| sms.sid == sid) {
            Some(sms) => render::document(request, StatusCode::OK, &[("SMSMessage", self.shown_sms(sms, now))]),
            None => render::exception(request, StatusCode::NOT_FOUND, "Not Found"),
        }
    }
}
