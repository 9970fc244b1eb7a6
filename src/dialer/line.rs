//! What the dialer needs of Exotel: to place a call, to list what was placed, and a single call's details.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::exotel::{Call, CallFilter, Connect, Dialled, ExotelClient, ExotelError};

/// How long somebody who has clicked waits for a place within Exotel's limit, before he is told until when.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pages of a list that are read at one look; some minutes of calls at Exotel's limit are fewer.
const PAGES: usize = 50;

#[async_trait]
pub trait Line: Send + Sync + fmt::Debug + 'static {
    /// Asked once, whatever happens.
    async fn connect(&self, call: &Connect) -> Dialled;

    /// All calls created between these, as far as Exotel lists them yet.
    async fn listed(&self, from: Timestamp, to: Timestamp) -> Result<Vec<Call>, ExotelError>;

    async fn details(&self, call_sid: &str) -> Result<Call, ExotelError>;
}

#[async_trait]
impl Line for ExotelClient {
    async fn connect(&self, call: &Connect) -> Dialled {
        self.patient(PATIENCE).connect(call).await
    }

    /// Without a filter by number: one list answers for every click that is looked for, and none is missed over how a
    /// number is written.
    async fn listed(&self, from: Timestamp, to: Timestamp) -> Result<Vec<Call>, ExotelError> {
        let mut pages = self.calls_between(from, to, CallFilter::default());
        let mut found = Vec::new();
        for _ in 0..PAGES {
            match pages.next().await {
                None => return Ok(found),
                Some(page) => found.extend(page?.calls),
            }
        }
        // What was not read cannot be said not to be there.
        Err(ExotelError::Unreadable { reason: "the list of calls does not end".to_owned() })
    }

    async fn details(&self, call_sid: &str) -> Result<Call, ExotelError> {
        self.call(call_sid).await
    }
}
