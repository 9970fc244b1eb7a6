//! The real binary, a strict Freshdesk and a simulated Exotel: what a user of Patchbay would notice.

mod accounts;
mod answers;
mod api;
mod auth;
mod authed;
mod clicks;
mod connect;
mod context;
mod crash;
mod dids;
mod every;
mod expiry;
mod families;
mod faults;
mod hooks;
mod lines;
mod live;
mod main_job;
mod nodes;
mod openapi;
mod operations;
mod owners;
mod recordings;
mod rig;
mod users;
