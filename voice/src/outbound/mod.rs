//! Outbound
