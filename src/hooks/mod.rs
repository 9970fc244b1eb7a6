//! The hooks: what Exotel calls. Credential → receipt → answer, and nothing else before the answer.

mod call_events;
mod doors;

pub use call_events::{routes, sample_urls};
pub use doors::{Doors, hash_token};
