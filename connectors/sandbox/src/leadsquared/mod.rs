//! A strict stand-in for LeadSquared.
