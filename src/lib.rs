//! Patchbay, as a library: `main.rs` and the end-to-end tests build the same service from it.

pub mod call;
pub mod crash;
pub mod store;
