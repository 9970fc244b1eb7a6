//! The same calls through every connector at once, and one table of what must then stand in each CRM.

mod floor;
mod ledger;
mod more;
mod seats;
mod table;
mod trouble;

pub(crate) use floor::Standing;
