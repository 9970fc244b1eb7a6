//! A strict stand-in for Freshchat.
