//! A strict stand-in for Freshsales.
