//! Exotel's side: its REST client, and the worker that asks it for calls' details.

mod client;
mod enquiry;

pub use client::{ExotelClient, NoRecording};
pub use enquiry::Enquirer;
