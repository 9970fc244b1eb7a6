//! Text messages: sending them, and what became of one.

use std::fmt;

use jiff::Timestamp;
use patchbay_kit::{PhoneNumber, Request};

use super::{
    calls::StatusCallback,
    client::{ExotelClient, Host},
    error::ExotelError,
    limits::Class,
    read::{Party, Said, open_words},
};

open_words! {
    SmsStatus {
        Queued = "queued",
        Sending = "sending",
        Submitted = "submitted",
        Sent = "sent",
        FailedDnd = "failed-dnd" | "failed_dnd",
        Failed = "failed",
    }
}

open_words! {
    /// What the regulator makes differences by.
    SmsKind {
        Transactional = "transactional",
        TransactionalOptIn = "transactional_opt_in",
        Promotional = "promotional",
    }
}

/// A message to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Sms {
    /// An ExoPhone or a registered sender id.
    pub from: String,
    /// A hundred at most.
    pub to: Vec<PhoneNumber>,
    /// 2000 characters at most.
    pub body: String,
    pub kind: Option<SmsKind>,
    /// Of the registered sender and template (DLT).
    pub entity: Option<String>,
    pub template: Option<String>,
    pub custom_field: Option<String>,
    pub callback: Option<StatusCallback>,
}

/// What people are written is nobody else's business.
impl fmt::Debug for Sms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sms(to {:?}, {} characters)", self.to, self.body.chars().count())
    }
}

impl Sms {
    fn form(&self) -> Vec<(String, String)> {
        let mut form = vec![("From".to_owned(), self.from.clone())];
        match self.to.as_slice() {
            [one] => form.push(("To".to_owned(), one.e164.clone())),
            all => form.extend(all.iter().enumerate().map(|(n, to)| (format!("To[{n}]"), to.e164.clone()))),
        }
        form.push(("Body".to_owned(), self.body.clone()));
        let encoding = if self.body.is_ascii() { "plain" } else { "unicode" };
        form.push(("EncodingType".to_owned(), encoding.to_owned()));
        let kind = self.kind.as_ref().map(|kind| kind.as_str().to_owned());
        let more = [
            ("SmsType", kind),
            ("DltEntityId", self.entity.clone()),
            ("DltTemplateId", self.template.clone()),
            ("CustomField", self.custom_field.clone()),
            ("StatusCallback", self.callback.as_ref().map(|callback| callback.url.clone())),
            ("StatusCallbackContentType", self.callback.as_ref().map(|_| "application/json".to_owned())),
        ];
        form.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        form
    }
}

/// A message as Exotel tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmsTold {
    pub sid: String,
    pub to: Option<Party>,
    pub status: SmsStatus,
    pub detail: Option<String>,
    pub detail_code: Option<i64>,
    pub created_at: Option<Timestamp>,
    pub sent_at: Option<Timestamp>,
    pub price: Option<String>,
}

impl SmsTold {
    fn read(said: Said<'_>) -> Option<Self> {
        Some(Self {
            sid: said.text("Sid")?,
            to: said.party("To"),
            status: SmsStatus::read(&said.text("Status").unwrap_or_default()),
            detail: said.text("DetailedStatus"),
            detail_code: said.integer("DetailedStatusCode"),
            created_at: said.time("DateCreated"),
            sent_at: said.time("DateSent"),
            price: said.text("Price"),
        })
    }

    /// One message, a list of them under its name, or a bare list of such (exotel-api §5.8).
    fn all(said: Said<'_>) -> Option<Vec<Self>> {
        let all = said.at("SMSMessage").unwrap_or(said).each("SMSMessage");
        let read: Vec<_> = all.into_iter().map(Self::read).collect::<Option<_>>()?;
        (!read.is_empty()).then_some(read)
    }
}

impl ExotelClient {
    /// `POST Sms/send.json` (exotel-api §5.8). Sent once, whatever happens.
    ///
    /// # Errors
    /// [`ExotelError::Unknown`] where it may have been sent all the same, and the others.
    pub async fn send_sms(&self, sms: &Sms) -> Result<Vec<SmsTold>, ExotelError> {
        let request = Request::post("exotel.sms", self.v1(["Sms", "send.json"])).form(sms.form());
        self.ask(Host::Api, Class::Sms, request, SmsTold::all).await
    }

    /// `GET SMS/Messages/{SmsSid}.json`.
    ///
    /// # Errors
    /// [`ExotelError`].
    pub async fn sms(&self, sms_sid: &str) -> Result<SmsTold, ExotelError> {
        let request = Request::get("exotel.sms_status", self.v1(["SMS", "Messages", &format!("{sms_sid}.json")]));
        self.ask(Host::Api, Class::Sms, request, |said| SmsTold::all(said)?.into_iter().next()).await
    }
}
