//! The domain: what a callback says, what a call is, and what a CRM should now be made to say. Pure: values in, values
//! out; no clock, no socket, no database, and nothing of Patchbay but the connector kit.

pub mod applet;
mod bot;
mod calling_times;
pub mod compose;
mod contact_choice;
pub mod event;
mod live;
mod mapping;
pub mod mark;
pub mod normalise;
pub mod person;
pub mod phone;
mod placed;
pub mod plan;
mod popup;
pub mod receipt;
pub mod route;
pub(crate) mod shape;
pub mod state;
mod stream;

#[cfg(test)]
mod tests;

pub use bot::{BotSession, BotTold, HandOver, Line, SessionEnd, Speaker, TalkPart, ToolTally, Turns};
pub use calling_times::CallingTimes;
pub use contact_choice::ContactChoice;
pub use event::{AttemptStatus, CallEvent, EventId, EventKind, Facts, KeyedAt, Leg, SeenBy};
pub use live::{LiveAgent, LiveHint, Over, Stage, live, live_news};
pub use mapping::{Mapped, UserMapping};
pub use normalise::{Locale, Poison, normalise};
pub use person::{Asked, CameOfIt, FollowUpWish, Order, OrderKind, PersonRequest};
pub use placed::{BotWish, PlacedCall};
pub use plan::{AgentHint, Caller, Content, IntegrationRules, Intent, IntentKind, LogContent, PlanRules, plan};
pub use popup::{PopupHint, popups};
pub use receipt::{Hook, Receipt};
pub use state::{AgentAttempt, BotTalk, CallState, Seen, SeenPopups};
pub use stream::{EndedBy, StreamTold, without_addresses};
