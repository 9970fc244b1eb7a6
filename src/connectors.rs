//! `patchbay connectors`: what each connector can do, read off what it holds, so that it cannot say something else than
//! the code.

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
    io::{self, ErrorKind, Write as _},
    process::ExitCode,
};

use patchbay_kit::{AuthScheme, Connector, Manifest, PhoneNumber, Setting, SettingKind, Settings};
use serde_json::{Value, json};

use crate::connect::catalogue::{self, Entry};

/// How the connectors are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
    /// The table alone, as it stands in `docs/CONNECTORS.md`.
    Markdown,
}

/// The command. Who stops reading has read enough.
pub fn run(format: Format) -> ExitCode {
    let text = match format {
        Format::Text => text(),
        Format::Json => json(),
        Format::Markdown => markdown(),
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("patchbay: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// What a connector may hold beside the record of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Updates,
    Notes,
    Contacts,
    Agents,
    Popups,
    Owners,
    OpenTickets,
    FollowUps,
}

impl Part {
    const ALL: [Self; 8] = [
        Self::Updates,
        Self::Notes,
        Self::Contacts,
        Self::Agents,
        Self::Popups,
        Self::Owners,
        Self::OpenTickets,
        Self::FollowUps,
    ];

    fn held(self, connector: &dyn Connector) -> bool {
        match self {
            Self::Updates => connector.updates().is_some(),
            Self::Notes => connector.notes().is_some(),
            Self::Contacts => connector.contacts().is_some(),
            Self::Agents => connector.agents().is_some(),
            Self::Popups => connector.popups().is_some(),
            Self::Owners => connector.owners().is_some(),
            Self::OpenTickets => connector.open_tickets().is_some(),
            Self::FollowUps => connector.follow_ups().is_some(),
        }
    }

    /// The key in JSON.
    fn key(self) -> &'static str {
        match self {
            Self::Updates => "updates",
            Self::Notes => "notes",
            Self::Contacts => "contacts",
            Self::Agents => "agents",
            Self::Popups => "popups",
            Self::Owners => "owners",
            Self::OpenTickets => "open_tickets",
            Self::FollowUps => "follow_ups",
        }
    }

    /// As a capability, in the words of before there were parts in the JSON.
    fn able(self) -> &'static str {
        match self {
            Self::Updates => "updates",
            Self::Notes => "notes with recording",
            Self::Contacts => "contacts by number",
            Self::Agents => "list agents",
            Self::Popups => "screen pop",
            Self::Owners => "owner of a caller",
            Self::OpenTickets => "open tickets",
            Self::FollowUps => "follow-ups",
        }
    }
}

/// Settings whose presence a part may depend on, tried in twos and threes: a key has at most a secret and an address.
const TOGETHER_MAX: usize = 3;

/// What a connector can do.
struct Able {
    manifest: &'static Manifest,
    /// With which settings beyond the required ones each part is held: nothing (`[[]]`) for what is always there, one of
    /// several sets for what depends on them. What is not here is never held.
    parts: Vec<(Part, Vec<Vec<&'static str>>)>,
    /// Built with what brings out the most.
    search: bool,
    kinds: Vec<&'static str>,
}

impl Able {
    fn of(entry: &Entry) -> Self {
        let optional: Vec<&Setting> = entry.manifest.settings.iter().filter(|setting| !setting.required).collect();
        let mut able = Self { manifest: entry.manifest, parts: Vec::new(), search: false, kinds: Vec::new() };
        // From no optional setting upwards: the smallest sets that bring a part out are those that say what it needs.
        for size in 0..=TOGETHER_MAX.min(optional.len()) {
            let settled: BTreeSet<Part> = able.parts.iter().map(|(part, _)| *part).collect();
            for chosen in subsets(&optional, size) {
                let connector = build(entry, &chosen);
                for part in Part::ALL.into_iter().filter(|part| !settled.contains(part)) {
                    if part.held(connector.as_ref()) {
                        able.found(part, chosen.iter().map(|setting| setting.key).collect());
                    }
                }
                able.look_inside(connector.as_ref());
            }
        }
        // More than a few settings together: then it is said that it takes them all.
        let everything = build(entry, &optional);
        for part in Part::ALL {
            if part.held(everything.as_ref()) && able.needs(part).is_none() {
                able.found(part, optional.iter().map(|setting| setting.key).collect());
            }
        }
        able.look_inside(everything.as_ref());
        able
    }

    fn found(&mut self, part: Part, with: Vec<&'static str>) {
        match self.parts.iter_mut().find(|(known, _)| *known == part) {
            Some((_, sets)) => sets.push(with),
            None => self.parts.push((part, vec![with])),
        }
    }

    fn look_inside(&mut self, connector: &dyn Connector) {
        // Only whether there is such a question is looked at; it is never asked.
        let number = PhoneNumber {
            e164: "+910000000000".to_owned(),
            country: "91".to_owned(),
            national: "0000000000".to_owned(),
        };
        self.search |= connector.contacts().is_some_and(|contacts| contacts.search(&number).is_some());
        for kind in connector.follow_ups().map(|follow_ups| follow_ups.kinds()).unwrap_or_default() {
            if !self.kinds.contains(&kind.as_str()) {
                self.kinds.push(kind.as_str());
            }
        }
    }

    /// The sets of settings that bring a part out; none where nothing does.
    fn needs(&self, part: Part) -> Option<&[Vec<&'static str>]> {
        self.parts.iter().find(|(known, _)| *known == part).map(|(_, sets)| sets.as_slice())
    }

    /// `yes`, what it is more exactly, `with` the settings it takes, or `no`.
    fn cell(&self, part: Part, yes: &str, no: &str) -> Cell {
        let Some(sets) = self.needs(part) else { return Cell::plain(no) };
        let named = |set: &Vec<&str>| set.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" and ");
        let sets: Vec<String> = sets.iter().filter(|set| !set.is_empty()).map(named).collect();
        let with = (!sets.is_empty()).then(|| format!("with {}", sets.join(" or ")));
        Cell { text: yes.to_owned(), with }
    }

    /// Of one line of the table.
    fn cells(&self) -> [Cell; COLUMNS.len()] {
        let Manifest { id, record, phone, writings_per_find, .. } = self.manifest;
        let questions = phone.len().div_ceil((*writings_per_find).max(1));
        let by = match (self.search, questions) {
            (true, _) => "search".to_owned(),
            (false, 1) => "1 look-up".to_owned(),
            (false, _) => format!("{questions} look-ups"),
        };
        [
            Cell::plain(*id),
            Cell::plain(credentials(self.manifest)),
            Cell::plain(*record),
            self.cell(Part::Updates, "updated", "once"),
            self.cell(Part::Notes, YES, NO),
            self.cell(Part::Contacts, &by, NO),
            self.cell(Part::Agents, YES, NO),
            self.cell(Part::Popups, YES, NO),
            self.cell(Part::Owners, YES, NO),
            self.cell(Part::OpenTickets, YES, NO),
            self.cell(Part::FollowUps, &self.kinds.join(", "), NO),
            // Past calls are planned by the core for every integration; a connector need not do anything for it.
            Cell::plain(YES),
        ]
    }
}

/// One field of the table, and the settings it takes for that to be so.
#[derive(Debug, PartialEq, Eq)]
struct Cell {
    text: String,
    with: Option<String>,
}

impl Cell {
    fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), with: None }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.with {
            None => f.write_str(&self.text),
            Some(with) if self.text == YES => f.write_str(with),
            Some(with) => write!(f, "{} {with}", self.text),
        }
    }
}

const YES: &str = "yes";
const NO: &str = "–";
const COLUMNS: [&str; 12] = [
    "connector",
    "credentials",
    "a call becomes",
    "written",
    "notes",
    "contacts by number",
    "agents",
    "popups",
    "owner",
    "open tickets",
    "follow-ups",
    "backfill",
];

/// How the integration lets itself in, in words.
fn credentials(manifest: &Manifest) -> String {
    let required = |key: &str| manifest.settings.iter().any(|setting| setting.key == key && setting.required);
    let words = match manifest.auth {
        AuthScheme::Basic { .. } | AuthScheme::Header { .. } => "key".to_owned(),
        AuthScheme::Headers(headers) if headers.iter().all(|(_, secret)| required(secret)) => "keys".to_owned(),
        AuthScheme::Headers(_) => "keys if wanted".to_owned(),
        AuthScheme::OAuth(oauth) => {
            let mut ways = vec!["OAuth"];
            ways.extend(oauth.assertion.map(|_| "signed key"));
            ways.extend(oauth.fixed.map(|_| "token"));
            ways.join(" or ")
        }
    };
    // Addresses that are a credential by themselves.
    if manifest.settings.iter().any(|setting| setting.secret && setting.kind == SettingKind::Url) {
        return format!("secret URLs, {words}");
    }
    words
}

/// The connector with the required settings and those chosen, each with something in it.
fn build(entry: &Entry, chosen: &[&Setting]) -> std::sync::Arc<dyn Connector> {
    let mut settings = Settings::default();
    let required = entry.manifest.settings.iter().filter(|setting| setting.required);
    for Setting { key, kind, secret, .. } in required.chain(chosen.iter().copied()) {
        let key = (*key).to_owned();
        match kind {
            // What is read from a file is a secret, whatever its path is.
            _ if *secret || *kind == SettingKind::File => {
                settings.secrets.insert(key);
            }
            SettingKind::Bool => {
                settings.flags.insert(key, true);
            }
            SettingKind::Texts => {
                settings.lists.insert(key, vec!["x".to_owned()]);
            }
            SettingKind::Url => {
                settings.text.insert(key, "https://crm.example.com".to_owned());
            }
            SettingKind::Text | SettingKind::File => {
                settings.text.insert(key, "x".to_owned());
            }
        }
    }
    (entry.build)(&settings)
}

/// All ways to choose `size` of `all`, in their order.
fn subsets<'a>(all: &[&'a Setting], size: usize) -> Vec<Vec<&'a Setting>> {
    if size == 0 {
        return vec![Vec::new()];
    }
    let mut chosen = Vec::new();
    for (at, first) in all.iter().enumerate() {
        for mut rest in subsets(&all[at + 1..], size - 1) {
            rest.insert(0, first);
            chosen.push(rest);
        }
    }
    chosen
}

fn all() -> Vec<Able> {
    catalogue::all().iter().map(Able::of).collect()
}

/// A table, what its marks mean, then the settings of each connector.
fn text() -> String {
    let all = all();
    let mut notes: Vec<String> = Vec::new();
    let mut marked = |cell: Cell| {
        let Some(with) = cell.with else { return cell.text };
        let with = with.replace('`', "");
        let known = notes.iter().position(|note| *note == with);
        let at = known.unwrap_or_else(|| {
            notes.push(with);
            notes.len() - 1
        });
        format!("{} [{}]", cell.text, at + 1)
    };
    let rows: Vec<Vec<String>> = std::iter::once(COLUMNS.map(str::to_owned).to_vec())
        .chain(all.iter().map(|able| able.cells().into_iter().map(&mut marked).collect()))
        .collect();
    let mut text = String::new();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    for row in &rows {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        // Writing to a String does not fail.
        let _ = writeln!(text, "{}", padded.collect::<Vec<_>>().join("  ").trim_end());
    }
    for (at, note) in notes.iter().enumerate() {
        let _ = writeln!(text, "[{}] {note}", at + 1);
    }
    for able in all {
        let Manifest { id, name, settings, .. } = able.manifest;
        let _ = writeln!(text, "\n{id}: settings of {name}");
        for setting in *settings {
            let mut marks = vec![if setting.required { "required" } else { "optional" }];
            if setting.secret {
                marks.push("secret");
            }
            let _ = writeln!(text, "  {:<22} {:<16} {}", setting.key, marks.join(", "), setting.help);
        }
    }
    text.push_str("\nand of every connector: name, base_url, quota, defaults, templates\n");
    text
}

/// The capabilities as a table in Markdown.
pub fn markdown() -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&COLUMNS.map(str::to_owned));
    text.push_str(&format!("|{}\n", "---|".repeat(COLUMNS.len())));
    for able in all() {
        let mut cells = able.cells().map(|cell| cell.to_string());
        let Manifest { id, name, .. } = able.manifest;
        cells[0] = format!("[{name}](../connectors/{id}/README.md) `{id}`");
        text.push_str(&line(&cells));
    }
    text
}

fn json() -> String {
    let items: Vec<Value> = all().iter().map(Able::json).collect();
    format!("{:#}\n", Value::Array(items))
}

impl Able {
    fn json(&self) -> Value {
        let Manifest { id, name, record, auth, settings, phone, .. } = self.manifest;
        let mut capabilities = vec!["log calls"];
        capabilities.extend(Part::ALL.into_iter().filter(|part| self.needs(*part).is_some()).map(Part::able));
        let parts = Part::ALL.into_iter().map(|part| {
            // `with`: sets of settings, one of which brings the part out; none where it is always there.
            let with: Vec<_> = self.needs(part).unwrap_or_default().iter().filter(|set| !set.is_empty()).collect();
            let mut shown = json!({ "has": self.needs(part).is_some(), "with": with });
            match part {
                Part::Contacts => {
                    shown["search"] = json!(self.search);
                    shown["writings"] = json!(phone);
                }
                Part::FollowUps => shown["kinds"] = json!(self.kinds),
                _ => {}
            }
            (part.key().to_owned(), shown)
        });
        json!({
            "id": id,
            "name": name,
            "record": record,
            "auth": match auth {
                AuthScheme::Basic { .. } => "basic",
                AuthScheme::Header { .. } | AuthScheme::Headers(_) => "header",
                AuthScheme::OAuth(_) => "oauth",
            },
            "capabilities": capabilities,
            "parts": parts.collect::<serde_json::Map<_, _>>(),
            "settings": settings.iter().map(|setting| json!({
                "key": setting.key,
                "required": setting.required,
                "secret": setting.secret,
                "help": setting.help,
            })).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn able(id: &str) -> Able {
        Able::of(catalogue::find(id).expect("a connector"))
    }

    #[test]
    fn a_part_that_needs_a_setting_names_it() {
        let hubspot = able("hubspot");
        assert_eq!(hubspot.cell(Part::Popups, YES, NO).to_string(), "with `client_id`");
        assert_eq!(hubspot.cell(Part::Popups, "shown", NO).to_string(), "shown with `client_id`");
        assert_eq!(hubspot.cell(Part::Updates, "updated", "once").to_string(), "updated");
        assert_eq!(hubspot.cell(Part::Notes, YES, NO).to_string(), NO);
        let text = text();
        let line = text.lines().find(|line| line.starts_with("hubspot")).expect("a line");
        assert!(line.contains("yes [1]") && text.contains("\n[1] with client_id\n"), "{text}");
        assert_eq!(hubspot.kinds, ["task", "ticket"]);
        let shown = hubspot.json();
        assert_eq!(shown["parts"]["popups"], json!({"has": true, "with": [["client_id"]]}));
        assert_eq!(shown["parts"]["notes"], json!({"has": false, "with": []}));
        assert_eq!(shown["parts"]["follow_ups"]["kinds"], json!(["task", "ticket"]));
        assert_eq!((&shown["auth"], able("freshdesk").json()["auth"].clone()), (&json!("oauth"), json!("basic")));
    }

    #[test]
    fn every_connector_has_a_line_of_every_table() {
        let (text, markdown) = (text(), markdown());
        for entry in catalogue::all() {
            let Manifest { id, settings, .. } = entry.manifest;
            assert!(text.lines().any(|line| line.starts_with(id)), "{id}\n{text}");
            assert!(markdown.contains(&format!("`{id}` |")), "{id}\n{markdown}");
            for setting in *settings {
                assert!(text.contains(setting.help), "{id}: {}", setting.key);
            }
        }
        let bars = |line: &str| line.matches('|').count();
        assert!(markdown.lines().all(|line| bars(line) == COLUMNS.len() + 1), "{markdown}");
    }

    #[test]
    fn subsets_are_all_there_are() {
        let all: Vec<&Setting> = able("hubspot").manifest.settings.iter().collect();
        let count = |size| subsets(&all, size).len();
        assert_eq!((count(0), count(1), count(2), count(3), count(6), count(7)), (1, 6, 15, 20, 1, 0));
    }
}
