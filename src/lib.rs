//! Patchbay, as a library: `main.rs` and the end-to-end tests build the same service from it.

pub mod access;
pub mod accounts;
pub mod app;
pub mod call;
pub mod check;
pub mod config;
pub mod connect;
pub mod connectors;
pub mod context;
pub mod crash;
pub mod decide;
pub mod delivery;
pub mod demo;
pub mod dialer;
pub mod directory;
pub mod exotel;
pub mod hooks;
pub mod key;
pub mod live;
pub mod operator;
pub mod reseal;
pub mod signal;
pub mod simulate;
pub mod store;
pub mod telemetry;
pub mod web;
