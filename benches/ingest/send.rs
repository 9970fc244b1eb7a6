//! The load: as fast as it is taken, at a rate, or call by call.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use patchbay::simulate::load::{self, LoadOptions, LoadReport};

use crate::{
    Error, KEY, SID, TOKEN,
    popup::{POPUP_AGENTS, rung},
};

pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) rate: Option<u32>,
    pub(crate) duration: Duration,
}

pub(crate) async fn send(to: SocketAddr, load: Load) -> Result<LoadReport, Error> {
    send_to(to, format!("/v2/accounts/{SID}/call-events"), load).await
}

pub(crate) async fn send_to(to: SocketAddr, path: String, load: Load) -> Result<LoadReport, Error> {
    let to_whom = path.ends_with("/dialwhom");
    let options = LoadOptions {
        to,
        host: to.to_string(),
        path,
        authorization: Some(authorization()),
        connections: load.connections,
        duration: load.duration,
        rate: load.rate,
        callbacks_per_call: 1,
        dial_whom: to_whom,
    };
    let report = tokio::task::spawn_blocking(move || load::run(&options)).await??;
    if report.good() {
        Ok(report)
    } else {
        Err(format!("not every callback was answered 200: {:?} {:?}", report.answers_by_status, report.first_error)
            .into())
    }
}

/// A connection for single calls.
pub(crate) struct OneByOne(TcpStream);

impl OneByOne {
    pub(crate) fn connect(to: SocketAddr) -> Result<Self, Error> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// An agent's phone is being dialled.
    pub(crate) fn popup(&mut self, number: u32) -> Result<(), Error> {
        self.ask(&format!(
            "event=pop&CallSid={number:032x}&CallFrom=098{number:08}&CallTo=08047494574&Direction=incoming\
             &Created=Wed%2C+27+Dec+2023+12%3A17%3A05&CurrentTime=2023-12-27+12%3A17%3A05&DialWhomNumber=0{}\
             &Status=busy&EventType=Dial",
            rung(number % POPUP_AGENTS)
        ))
    }

    pub(crate) fn call(&mut self, number: usize) -> Result<(), Error> {
        let call = format!("{number:032x}");
        self.ask(&format!(
            "event=answered&CallSid={call}&CallFrom=097{number:08}\
             &CallTo=08047494574&Direction=incoming&Created=Wed%2C+27+Dec+2023+12%3A17%3A05\
             &DialWhomNumber=09711581199&CallStatus=completed&DialCallDuration=8&CallType=completed\
             &DialCallStatus=completed&StartTime=2023-12-27+12%3A17%3A05\
             &RecordingUrl=https%3A%2F%2Frecordings.exotel.com%2Fexotelrecordings%2Facme1%2F{call}.mp3"
        ))
    }

    pub(crate) fn ask(&mut self, query: &str) -> Result<(), Error> {
        let request = format!(
            "GET /v2/accounts/{SID}/call-events?{query} HTTP/1.1\r\n\
             Host: bench\r\nAuthorization: {}\r\n\r\n",
            authorization()
        );
        self.0.write_all(request.as_bytes())?;
        let mut answer = [0; 1024];
        let got = self.0.read(&mut answer)?;
        if answer[..got].starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err("a callback was not answered 200".into()) }
    }
}

pub(crate) fn authorization() -> String {
    format!("Basic {}", STANDARD.encode(format!("{KEY}:{TOKEN}")))
}
