//! A call's legs, and what can be done to them: listening in, whispering, barging in, hanging up, recording.

use jiff::Timestamp;
use patchbay_kit::{PhoneNumber, Request, Safety};

use super::{
    calls::{CallStatus, Channels, StatusCallback},
    client::{ExotelClient, Host},
    error::ExotelError,
    limits::Class,
    read::{Party, Said, open_words, v1},
};

open_words! {
    /// How a leg came to be (exotel-api §5.2).
    LegOrigin {
        /// The customer who dialled in.
        Inbound = "inbound",
        /// The first leg of a call that the API placed.
        Outbound = "outbound",
        /// Dialled once the first leg stood.
        OutboundDial = "outbound-dial",
        /// Somebody who listens in.
        Monitor = "monitor",
    }
}

/// One participant's part of a call. Most of these questions need Exotel to enable them for the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    pub sid: String,
    pub call_sid: Option<String>,
    pub party: Option<Party>,
    pub status: CallStatus,
    pub origin: LegOrigin,
    pub last_action: Option<String>,
    pub created_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub on_call_seconds: Option<u32>,
    pub exophone: Option<Party>,
}

impl Leg {
    fn read(said: Said<'_>) -> Option<Self> {
        Some(Self {
            sid: said.text("Sid")?,
            call_sid: said.text("CallSid"),
            // A leg that listens in has the one name in the list, the other in its own answer.
            party: said.party("PhoneNumber").or_else(|| said.party("EndUserNumber")),
            status: CallStatus::read(&said.text("Status").unwrap_or_default()),
            origin: LegOrigin::read(&said.text("Origin").unwrap_or_default()),
            last_action: said.text("LastAction"),
            created_at: said.time("DateCreated"),
            started_at: said.time("StartTime"),
            ended_at: said.time("EndTime"),
            on_call_seconds: said.count("OnCallDuration"),
            exophone: said.party("ExoPhone"),
        })
    }

    /// Some answers name it `Leg`, some `legs` (exotel-api §5.2).
    fn one(said: Said<'_>) -> Option<Self> {
        let one = said.at("Leg").or_else(|| said.at("Legs"))?;
        Self::read(one.each("Leg").into_iter().next()?)
    }

    fn all(said: Said<'_>) -> Option<Vec<Self>> {
        match said.at("Legs") {
            Some(legs) => legs.each("Leg").into_iter().map(Self::read).collect(),
            None => said.at("MetaData").map(|_| Vec::new()),
        }
    }
}

/// How somebody takes part in a call that is not his.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ear {
    /// He hears both, and neither hears him.
    Listen,
    /// The target leg hears him, the other does not.
    Whisper,
    /// Both hear him.
    Barge,
}

impl Ear {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Whisper => "whisper",
            Self::Barge => "barge",
        }
    }
}

/// A supervisor to be rung up into a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitor {
    pub ear: Ear,
    pub supervisor: PhoneNumber,
    /// Whom he speaks to: needed to whisper.
    pub target_leg: Option<String>,
    pub custom_field: Option<String>,
    pub callback: Option<StatusCallback>,
}

/// Recording a call that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tape {
    Start { channels: Channels, first_leg_only: bool },
    Stop,
}

impl ExotelClient {
    fn legs_path(&self, call_sid: &str, last: &str) -> Vec<String> {
        self.v1(["Calls", call_sid, last])
    }

    /// The legs of a call that is over: `GET Calls/{CallSid}/Legs.json`.
    ///
    /// # Errors
    /// [`ExotelError`].
    pub async fn legs(&self, call_sid: &str) -> Result<Vec<Leg>, ExotelError> {
        let request = Request::get("exotel.legs", self.legs_path(call_sid, "Legs.json"));
        self.ask(Host::Api, Class::Legs, request, Leg::all).await
    }

    /// The legs of a call that goes on: `GET Calls/{CallSid}/ActiveLegs.json`.
    ///
    /// # Errors
    /// [`ExotelError::NotFound`] where the call is not in progress, and the others.
    pub async fn active_legs(&self, call_sid: &str) -> Result<Vec<Leg>, ExotelError> {
        let request = Request::get("exotel.active_legs", self.legs_path(call_sid, "ActiveLegs.json"));
        self.ask(Host::Api, Class::Legs, request, Leg::all).await
    }

    /// Rings the supervisor up: `POST Calls/{CallSid}/Legs.json`. Sent once, whatever happens.
    ///
    /// # Errors
    /// [`ExotelError::Unknown`] where he may be rung all the same, and the others.
    pub async fn monitor(&self, call_sid: &str, monitor: &Monitor) -> Result<Leg, ExotelError> {
        let mut form = vec![
            ("Action".to_owned(), monitor.ear.as_str().to_owned()),
            ("PhoneNumber".to_owned(), v1(&monitor.supervisor)),
        ];
        if let Some(target) = &monitor.target_leg {
            form.push(("TargetLegSid".to_owned(), target.clone()));
        }
        if let Some(mark) = &monitor.custom_field {
            form.push(("CustomField".to_owned(), mark.clone()));
        }
        if let Some(callback) = &monitor.callback {
            // There is no other event than the end.
            StatusCallback { answered: false, ..callback.clone() }.form(&mut form);
        }
        let request = Request::post("exotel.monitor", self.legs_path(call_sid, "Legs.json")).form(form);
        self.ask(Host::Api, Class::Legs, request, Leg::one).await
    }

    /// From listening to whispering or barging in, from whispering to barging in; never back. Sent once: what was
    /// reached already cannot be asked for again.
    ///
    /// # Errors
    /// [`ExotelError`].
    pub async fn raise(
        &self,
        call_sid: &str,
        leg_sid: &str,
        ear: Ear,
        target_leg: Option<&str>,
    ) -> Result<Leg, ExotelError> {
        let mut form = vec![("Action".to_owned(), ear.as_str().to_owned())];
        form.extend(target_leg.map(|target| ("TargetLegSid".to_owned(), target.to_owned())));
        let request = self.leg_request("exotel.raise", call_sid, leg_sid, form).safety(Safety::Creates);
        self.ask(Host::Api, Class::Legs, request, Leg::one).await
    }

    /// Ends one leg. Sent once, as every order about a call.
    ///
    /// # Errors
    /// [`ExotelError::NotFound`] where it is over already, and the others.
    pub async fn hang_up_leg(&self, call_sid: &str, leg_sid: &str) -> Result<Leg, ExotelError> {
        let form = vec![("Action".to_owned(), "hangup".to_owned())];
        let request = self.leg_request("exotel.hang_up", call_sid, leg_sid, form).safety(Safety::Creates);
        self.ask(Host::Api, Class::Legs, request, Leg::one).await
    }

    fn leg_request(&self, label: &'static str, call_sid: &str, leg_sid: &str, form: Vec<(String, String)>) -> Request {
        let file = format!("{leg_sid}.json");
        Request::put(label, self.v1(["Calls", call_sid, "Legs", &file])).form(form)
    }

    /// Ends a call: every leg of it. Yields how many there were to be ended; none of a call that is over.
    ///
    /// # Errors
    /// [`ExotelError`], after each leg was tried.
    pub async fn hang_up(&self, call_sid: &str) -> Result<usize, ExotelError> {
        let legs = match self.active_legs(call_sid).await {
            Ok(legs) => legs,
            Err(ExotelError::NotFound { .. }) => return Ok(0),
            Err(error) => return Err(error),
        };
        let (mut ended, mut failed) = (0, None);
        for leg in legs.iter().filter(|leg| !leg.status.is_final()) {
            match self.hang_up_leg(call_sid, &leg.sid).await {
                Ok(_) => ended += 1,
                // With the first leg gone, Exotel may have ended the rest.
                Err(ExotelError::NotFound { .. }) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(ended), Err)
    }

    /// Starts or stops the recording of a call that goes on: `POST Calls/{CallSid}/recording.json` (exotel-api §5.3).
    ///
    /// # Errors
    /// [`ExotelError`].
    pub async fn tape(&self, call_sid: &str, tape: &Tape) -> Result<(), ExotelError> {
        let form = match tape {
            Tape::Start { channels, first_leg_only } => {
                let mut form = vec![
                    ("Action".to_owned(), "START".to_owned()),
                    ("RecordingChannels".to_owned(), channels.as_str().to_owned()),
                ];
                if *first_leg_only {
                    form.push(("Leg1Recording".to_owned(), "True".to_owned()));
                }
                form
            }
            Tape::Stop => vec![("Action".to_owned(), "STOP".to_owned())],
        };
        let request = Request::post("exotel.tape", self.legs_path(call_sid, "recording.json")).form(form);
        // What the answer holds is not documented; that there is one which is no error, is what it says.
        self.ask(Host::Api, Class::Legs, request, |_| Some(())).await
    }
}
