//! Freshchat as Patchbay speaks to it.
