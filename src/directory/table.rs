//! Agents as a table (CSV), for people with a spreadsheet. A cell that a spreadsheet would take for a formula gets a `'`
//! before it on the way out and loses it on the way in, so that a number such as +91… comes back as it went.

use std::collections::BTreeMap;

use super::{
    agent::{Agent, CrmUser, Patch, Place},
    roster::Roster,
};

const NAME: &str = "name";
const NUMBER: &str = "number";
const EMAIL: &str = "email";
const CALLER_ID: &str = "caller_id";
const CLICK_TO_CALL: &str = "click_to_call";
const EXOTEL_USER: &str = "exotel_user";
const ID: &str = "id";
/// Only to be read: it is passed over when it comes back.
const SOURCE: &str = "source";
const CRM_USER: &str = "crm_user.";
/// What a result has before the table's own columns; also passed over when it comes back.
const RESULT: [&str; 3] = ["row", "result", "reason"];

/// Rows of one file.
pub(super) const ROWS: usize = 20_000;

/// Why a file is not read at all.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ImportError {
    #[error("the file is empty: its first row names the columns")]
    Empty,
    #[error("the file is not UTF-8: save it as \"CSV UTF-8\"")]
    Encoding,
    #[error("the file is not a table: {0}")]
    Unreadable(String),
    #[error("there is no column {0:?}; there are: {1}")]
    Column(String, String),
    #[error("the column {0:?} is there twice")]
    Twice(String),
    #[error("nothing in the file says who the agents are: it needs one of the columns id, number, email")]
    Nobody,
    #[error("at most {ROWS} rows at once")]
    TooLong,
}

/// Makes a cell harmless in a spreadsheet.
pub(super) fn neutral(cell: &str) -> String {
    if formula(cell) { format!("'{cell}") } else { cell.to_owned() }
}

/// Undoes [`neutral`].
pub(super) fn plain(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if formula(rest) => rest,
        _ => cell,
    }
}

/// Whether a spreadsheet would calculate it, and what would look like a cell that was made harmless.
fn formula(cell: &str) -> bool {
    cell.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r', '\n'])
}

fn columns(place: &Place) -> Vec<String> {
    let own = [ID, NAME, NUMBER, EMAIL, CALLER_ID, CLICK_TO_CALL].map(str::to_owned);
    let users = place.integrations.iter().map(|name| format!("{CRM_USER}{name}"));
    own.into_iter().chain(users).chain([EXOTEL_USER.to_owned(), SOURCE.to_owned()]).collect()
}

fn cell(agent: &Agent, column: &str) -> String {
    let profile = &agent.profile;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    match column {
        ID => agent.id.clone(),
        NAME => text(&profile.name),
        NUMBER => text(&profile.number),
        EMAIL => text(&profile.email),
        CALLER_ID => text(&profile.caller_id),
        CLICK_TO_CALL => if profile.click_to_call { "yes" } else { "no" }.to_owned(),
        EXOTEL_USER => text(&profile.exotel_user),
        SOURCE => agent.source.as_str().to_owned(),
        _ => column.strip_prefix(CRM_USER).and_then(|name| profile.crm_user.get(name)).cloned().unwrap_or_default(),
    }
}

pub(super) fn write(roster: &Roster, place: &Place) -> Vec<u8> {
    let columns = columns(place);
    let mut agents: Vec<&Agent> = roster.agents().collect();
    agents.sort_by_key(|agent| (agent.profile.label().to_lowercase(), &agent.id));
    let rows = agents.into_iter().map(|agent| columns.iter().map(|column| cell(agent, column)).collect());
    lines(std::iter::once(columns.clone()).chain(rows))
}

fn lines(rows: impl IntoIterator<Item = Vec<String>>) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    for row in rows {
        // Writing to memory does not fail.
        let _ = writer.write_record(row.iter().map(|cell| neutral(cell)));
    }
    writer.into_inner().unwrap_or_default()
}

/// A file that was sent in.
#[derive(Clone)]
pub(super) struct Table {
    columns: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

/// One row as it is meant.
pub(super) struct Row {
    pub(super) id: Option<String>,
    pub(super) patch: Patch,
}

impl Table {
    pub(super) fn read(bytes: &[u8], place: &Place) -> Result<Self, ImportError> {
        let text = std::str::from_utf8(bytes).map_err(|_| ImportError::Encoding)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(text.as_bytes());
        let mut records = reader.records();
        // Of a mistake in the file only its kind and place are told: what stands there may be somebody's number.
        let wrong = |error: csv::Error| {
            let line = error.position().map(|at| format!(" at line {}", at.line())).unwrap_or_default();
            ImportError::Unreadable(format!("it cannot be read{line}"))
        };
        let first = records.next().ok_or(ImportError::Empty)?.map_err(wrong)?;
        let columns: Vec<String> = first.iter().map(|name| name.trim().to_owned()).collect();
        let there = self::columns(place);
        let mut known: Vec<String> = Vec::new();
        for column in columns {
            let own = |other: &&String| other.eq_ignore_ascii_case(&column);
            let ours = there.iter().find(own).cloned();
            let ours =
                ours.or_else(|| RESULT.iter().find(|one| one.eq_ignore_ascii_case(&column)).map(|one| (*one).into()));
            let Some(ours) = ours else { return Err(ImportError::Column(column, there.join(", "))) };
            if known.contains(&ours) {
                return Err(ImportError::Twice(ours));
            }
            known.push(ours);
        }
        if ![ID, NUMBER, EMAIL].iter().any(|column| known.iter().any(|known| known == column)) {
            return Err(ImportError::Nobody);
        }
        let mut rows = Vec::new();
        for record in records {
            let record = record.map_err(wrong)?;
            if rows.len() == ROWS {
                return Err(ImportError::TooLong);
            }
            rows.push(record.iter().map(|cell| plain(cell).to_owned()).collect());
        }
        Ok(Self { columns: known, rows })
    }

    /// What a row says. A cell that is empty takes away what was there, but for the switch, which stays as it is.
    ///
    /// # Errors
    /// What is wrong with the row.
    pub(super) fn row(&self, at: usize) -> Result<Row, String> {
        let cells = &self.rows[at];
        if cells.len() != self.columns.len() {
            return Err(format!("has {} cells, the first row names {} columns", cells.len(), self.columns.len()));
        }
        let mut row = Row { id: None, patch: Patch::default() };
        for (column, cell) in self.columns.iter().zip(cells) {
            let cell = cell.trim();
            let text = Some((!cell.is_empty()).then(|| cell.to_owned()));
            let patch = &mut row.patch;
            match column.as_str() {
                ID => row.id = text.flatten(),
                NAME => patch.name = text,
                NUMBER => patch.number = text,
                EMAIL => patch.email = text,
                CALLER_ID => patch.caller_id = text,
                CLICK_TO_CALL => patch.click_to_call = switch(cell)?,
                EXOTEL_USER => patch.exotel_user = text,
                other => {
                    if let Some(integration) = other.strip_prefix(CRM_USER) {
                        patch.crm_user.insert(integration.to_owned(), text.flatten().map(CrmUser::Text));
                    }
                }
            }
        }
        Ok(row)
    }

    /// The table as it came, with what became of each row.
    pub(super) fn result(&self, outcomes: &BTreeMap<usize, (&'static str, String)>) -> Vec<u8> {
        let own = |cells: &[String]| -> Vec<String> {
            let shown = self.columns.iter().zip(cells).filter(|(column, _)| !RESULT.contains(&column.as_str()));
            let more = cells.iter().skip(self.columns.len());
            shown.map(|(_, cell)| cell).chain(more).cloned().collect()
        };
        let first = RESULT.map(str::to_owned).into_iter().chain(own(&self.columns)).collect();
        let rows = self.rows.iter().enumerate().map(|(at, cells)| {
            let (result, reason) = outcomes.get(&at).cloned().unwrap_or(("not read", String::new()));
            // As a spreadsheet counts, whose first row names the columns.
            let before = [(at + 2).to_string(), result.to_owned(), reason];
            before.into_iter().chain(own(cells)).collect()
        });
        lines(std::iter::once(first).chain(rows))
    }
}

fn switch(cell: &str) -> Result<Option<bool>, String> {
    match cell.to_lowercase().as_str() {
        "" => Ok(None),
        "yes" | "true" | "on" | "1" => Ok(Some(true)),
        "no" | "false" | "off" | "0" => Ok(Some(false)),
        _ => Err(format!("{CLICK_TO_CALL}: write yes or no")),
    }
}
