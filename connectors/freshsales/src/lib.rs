//! Freshsales as Patchbay speaks to it.
