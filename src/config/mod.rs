//! The configuration: what may be said (`model`), how it is read (`load`, over `layers`, `sections` and
//! `account`; `given` where it does not come from the file), and how a mistake is told.

mod account;
pub mod bot;
pub mod given;
mod integration;
mod layers;
mod load;
mod model;
mod reader;
mod routing;
mod sections;
pub mod tool;

pub use account::elsewhere;
pub use bot::{Backend, Bot, Did};
pub use load::{DEFAULT, load, parse};
pub use model::{
    Account, Agent, Config, Context, ContextUrl, Delivery, Enquiry, Integration, Log, LogFormat, Recording, Server,
    Store, StoreUrl, Voicebot,
};
pub use reader::{ConfigError, Problem};
