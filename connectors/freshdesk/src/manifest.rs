//! What Freshdesk is, as data: settings, budget, text rules, writings of numbers.

use std::time::Duration;

use patchbay_kit::{
    Assigns, AuthScheme, Manifest, Origin, Quota, Rendering, Setting, SettingKind, TextFormat, TextRules,
};

/// Freshdesk in the catalogue.
pub static MANIFEST: Manifest = Manifest {
    id: "freshdesk",
    name: "Freshdesk",
    // Only this host answers the API, never a helpdesk's own address (CNAME). "Freshdesk API v2, Getting started" [V]
    origin: Origin::Domain { setting: "domain", suffixes: &[".freshdesk.com"] },
    // Any password does; X is what the documentation shows. "Freshdesk API v2, Authentication" [V]
    auth: AuthScheme::Basic { user: "api_key", password: "X" },
    settings: &[
        Setting::open(
            "domain",
            SettingKind::Text,
            "Where agents log in: acme.freshdesk.com (not an address of your own that leads there)",
        )
        .required(),
        Setting::secret(
            "api_key",
            SettingKind::Text,
            "The API key of an administrator: profile picture, Profile settings, View API key",
        )
        .required(),
        Setting::open(
            "assign_tickets",
            SettingKind::Bool,
            "true: a ticket is assigned to the agent who answered the call",
        ),
    ],
    quotas: &[
        // Requests per minute and account: 50 on trial, 200 Growth, 400 Pro, 700 Enterprise ("Freshdesk API v2, Rate
        // Limit" [V]). The plan is not known beforehand, so this starts at the top and the headers of the first reply
        // correct it: a start that is too high costs only 429s, and those cost a delivery no attempt, while one that
        // is too low would slow every restart. The plans' sub-limits below show in no header and
        // differ by plan; they are found by their 429s.
        Quota { name: "account", per: Duration::from_secs(60), limit: Some(700), labels: &[] },
        // The sub-limits ("Freshdesk API v2, Rate Limit" [V]): contacts listed, tickets listed, made, changed.
        Quota { name: "contact list", per: Duration::from_secs(60), limit: None, labels: &["contact.find"] },
        Quota {
            name: "ticket list",
            per: Duration::from_secs(60),
            limit: None,
            labels: &["ticket.find", "ticket.open"],
        },
        Quota { name: "ticket create", per: Duration::from_secs(60), limit: None, labels: &["ticket.create"] },
        Quota { name: "ticket update", per: Duration::from_secs(60), limit: None, labels: &["ticket.update"] },
    ],
    text: TextRules {
        format: TextFormat::Html,
        // "Freshdesk API v2, Tickets", ticket attributes [V].
        subject_chars: 255,
        // Uncertain: the documentation names no limit. 60 000 keeps plain ASCII below the 64 KiB of a MySQL TEXT,
        // which descriptions are said to be [M]; Patchbay's own texts are far shorter, bot transcripts may not be.
        body_chars: 60_000,
    },
    // A search is for an exact string ("Freshdesk API v2, Contacts: filters" [V]), so each way in which agents and
    // imports write numbers is a search of its own. The first is also how Patchbay writes them.
    phone: &[Rendering::E164, Rendering::National, Rendering::NationalZero, Rendering::E164NoPlus],
    writings_per_find: 1,
    record: "ticket",
    assigns: Assigns::Flag("assign_tickets"),
    // Times and durations stand in the texts; tickets have no fields of their own for them.
    record_facts: false,
};
