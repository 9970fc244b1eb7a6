//! The configuration: what may be said (`model`), how it is read (`load`, and `given` where it does not come from the file),
//! and how a mistake is told.

pub mod bot;
pub mod given;
mod integration;
mod load;
mod model;
mod reader;
mod routing;
pub mod tool;

pub use bot::{Backend, Bot, Did};
pub use load::{DEFAULT, elsewhere, load, parse};
pub use model::{
    Account, Agent, Config, Context, ContextUrl, Delivery, Enquiry, Integration, Log, LogFormat, Recording, Server,
    Store, StoreUrl, Voicebot,
};
pub use reader::{ConfigError, Problem};
