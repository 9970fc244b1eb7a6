//! A connector and its sandbox, joined: every exchange is kept, and the line can be made to misbehave.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use patchbay_kit::{Connector, Exchange, Failure, Kind, Method, Response, Retry, Safety, StatusCode};
use patchbay_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::{Credentials, follow, to_sandbox};

/// One exchange that took place.
#[derive(Clone, Debug)]
pub struct Sent {
    pub label: &'static str,
    pub method: Method,
    pub safety: Safety,
    pub status: StatusCode,
}

/// A connector on the line to its sandbox.
pub struct Line<S> {
    pub connector: Arc<dyn Connector>,
    /// Open, so that a test can arrange things and look at them.
    pub sandbox: S,
    pub credentials: Credentials,
    pub now: Timestamp,
    /// Loses the replies to requests that create, after the sandbox has carried them out.
    pub loses_creations: bool,
    /// Adds fields nobody knows to every object of every reply.
    pub grows_replies: bool,
    sent: Vec<Sent>,
    /// Everything that could be printed so far: a log in which no secret and no number may stand.
    printed: String,
}

impl<S> fmt::Debug for Line<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({:?}, {} sent)", self.connector, self.sent.len())
    }
}

impl<S: Sandbox> Line<S> {
    pub fn new(connector: Arc<dyn Connector>, sandbox: S, credentials: Credentials, now: Timestamp) -> Self {
        let printed = format!("{connector:?}\n{:?}\n{credentials:?}\n", connector.manifest());
        Self {
            connector,
            sandbox,
            credentials,
            now,
            loses_creations: false,
            grows_replies: false,
            sent: Vec::new(),
            printed,
        }
    }

    /// Runs an exchange to its end.
    ///
    /// # Errors
    /// What the connector makes of a reply, or the loss of one.
    pub fn run<T: fmt::Debug>(&mut self, exchange: Exchange<T>) -> Result<T, Failure> {
        let Self { connector, sandbox, credentials, now, loses_creations, grows_replies, sent, printed } = self;
        let mut print = |what: &dyn fmt::Debug| {
            printed.push_str(&format!("{what:?}\n"));
        };
        print(&exchange);
        let outcome = follow(exchange, connector.as_ref(), |request| {
            print(&request);
            print(&request.body);
            let reply = sandbox.handle(&to_sandbox(request, connector.manifest().auth, credentials), *now);
            let mut reply = Response { status: reply.status, headers: reply.headers, body: reply.body };
            sent.push(Sent {
                label: request.label,
                method: request.method.clone(),
                safety: request.safety,
                status: reply.status,
            });
            if *loses_creations && request.safety == Safety::Creates {
                return Err(Failure::new(Kind::Unavailable, Retry::Backoff).because("the reply was lost"));
            }
            if *grows_replies {
                grow(&mut reply);
            }
            print(&reply);
            print(&connector.allowance(&reply));
            Ok(reply)
        });
        print(&outcome);
        if let Err(failure) = &outcome {
            printed.push_str(&format!("{failure}\n"));
        }
        outcome
    }

    /// What took place so far.
    pub fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// The Debug output of everything that has passed.
    pub fn printed(&self) -> &str {
        &self.printed
    }
}

fn grow(reply: &mut Response) {
    fn deep(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.values_mut().for_each(deep);
                fields.insert("zz_unheard_of".to_owned(), json!({"since": [1, null, "2031"]}));
            }
            Value::Array(items) => items.iter_mut().for_each(deep),
            _ => {}
        }
    }
    if let Ok(mut body) = serde_json::from_slice::<Value>(&reply.body) {
        deep(&mut body);
        reply.body = body.to_string().into();
    }
}
