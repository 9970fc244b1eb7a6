//! The caller
