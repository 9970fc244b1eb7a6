//! The one list of connectors that are built in. A new one is one line here.

use std::sync::Arc;

use patchbay_kit::{Connector, Manifest, Settings};

/// A connector, before it has settings.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub manifest: &'static Manifest,
    pub build: fn(&Settings) -> Arc<dyn Connector>,
    /// What is wrong with settings beyond what the manifest can say: one line each, with what would be right.
    pub problems: fn(&Settings) -> Vec<String>,
}

/// The line of one crate.
macro_rules! connector {
    ($name:ident) => {
        Entry { manifest: &$name::MANIFEST, build: $name::build, problems: $name::problems }
    };
}

static CONNECTORS: &[Entry] = &[
    connector!(patchbay_freshchat),
    connector!(patchbay_freshdesk),
    connector!(patchbay_freshsales),
    connector!(patchbay_hubspot),
    connector!(patchbay_leadsquared),
    connector!(patchbay_zoho_crm),
];

pub fn all() -> &'static [Entry] {
    CONNECTORS
}

/// The connector with this id.
pub fn find(id: &str) -> Option<&'static Entry> {
    CONNECTORS.iter().find(|entry| entry.manifest.id == id)
}
