//! The account's ExoPhones, and which flow each leads to.

use std::fmt;

use patchbay_kit::{PhoneNumber, Request};

use super::{
    client::{ExotelClient, Host},
    error::ExotelError,
    limits::Class,
    read::Said,
};

/// The documentation names no way to a second page; a list that never ends is none.
const PAGES: u32 = 100;

#[derive(Clone, PartialEq, Eq)]
pub struct ExoPhone {
    pub sid: String,
    pub number: PhoneNumber,
    /// Mostly the number again, as v1 writes it; what people made of it otherwise.
    pub label: Option<String>,
    pub country: Option<String>,
    pub region: Option<String>,
    /// The flow's address.
    pub voice_url: Option<String>,
}

/// The label is mostly the number.
impl fmt::Debug for ExoPhone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExoPhone({:?})", self.number)
    }
}

impl ExoPhone {
    fn read(said: Said<'_>) -> Option<Self> {
        let number = said.number("phone_number").or_else(|| said.number("PhoneNumber"))?;
        // In v1, the number is its own id (exotel-api §1.7).
        let sid = said.text("sid").unwrap_or_else(|| number.e164.clone());
        Some(Self {
            sid,
            number,
            label: said.text("friendly_name").or_else(|| said.text("FriendlyName")),
            country: said.text("country"),
            region: said.text("region"),
            voice_url: said.text("voice_url").or_else(|| said.text("VoiceUrl")),
        })
    }
}

impl ExotelClient {
    fn exophones_path<const N: usize>(&self, rest: [&str; N]) -> Vec<String> {
        let head = ["v2_beta", "Accounts", self.sid(), "IncomingPhoneNumbers"];
        head.into_iter().chain(rest).map(str::to_owned).collect()
    }

    /// `GET /v2_beta/Accounts/{sid}/IncomingPhoneNumbers`, all of them (exotel-api §5.5). What is listed and is no
    /// telephone number is left out.
    ///
    /// # Errors
    /// [`ExotelError`].
    pub async fn exophones(&self) -> Result<Vec<ExoPhone>, ExotelError> {
        let mut found: Vec<ExoPhone> = Vec::new();
        for page in 0..PAGES {
            let mut request = Request::get("exotel.exophones", self.exophones_path([]));
            if page > 0 {
                request = request.query("page", page);
            }
            let (phones, full) = self
                .ask(Host::Api, Class::Other, request, |said| {
                    let list = said.at("incoming_phone_numbers").or_else(|| said.at("IncomingPhoneNumbers"))?;
                    let all = list.each("IncomingPhoneNumber");
                    let full = said.count("page_size").is_some_and(|size| size > 0 && all.len() >= size as usize);
                    Some((all.into_iter().filter_map(ExoPhone::read).collect::<Vec<_>>(), full))
                })
                .await?;
            let before = found.len();
            found.extend(
                phones
                    .into_iter()
                    .filter(|phone| !found.iter().any(|known| known.sid == phone.sid))
                    .collect::<Vec<_>>(),
            );
            if !full || found.len() == before {
                break;
            }
        }
        Ok(found)
    }

    /// Has an ExoPhone's calls go into the flow of this app.
    ///
    /// # Errors
    /// [`ExotelError`].
    pub async fn point_exophone(&self, sid: &str, app: &str) -> Result<(), ExotelError> {
        let portal = self.hosts().portal.as_str().trim_end_matches('/');
        let url = format!("{portal}/{}/exoml/start_voice/{app}", self.sid());
        let request =
            Request::put("exotel.exophone", self.exophones_path([sid])).form(vec![("VoiceUrl".to_owned(), url)]);
        self.ask(Host::Api, Class::Other, request, |_| Some(())).await
    }
}
