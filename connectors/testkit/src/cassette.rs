//! Cassettes: what goes over the wire, written down and replayed.
