//! A table of agents that is taken in while its sender looks on. The file is durable before he is told that it was taken;
//! an import that a stop broke off is gone on with at the next start, from its beginning: what is there already is
//! unchanged then. A bad row stops no other.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Agents, Desk, DirectoryError, Source, Step,
    agent::{self, Agent, Profile},
    kept::List,
    roster::{Roster, key},
    table::{ImportError, Table},
    told,
};
use crate::{
    codes::Code,
    store::{AuditEntry, Change, Document, DocumentKind, DocumentRef, StoreError, Writing},
};

/// What the file and its result are sealed for.
pub const SEALED_FOR: &str = "import";
/// Rows that are made durable together.
const BATCH: usize = 50;
/// How long a result can be fetched.
const KEPT: Duration = Duration::from_secs(30 * 86_400);
/// How often a row is tried that others keep changing.
const TRIES: u32 = 5;

/// How far an import is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Job {
    #[serde(default)]
    pub id: String,
    pub by: String,
    /// `running`, `done`, `failed`.
    pub state: String,
    pub rows: usize,
    pub read: usize,
    /// Made, changed, or as they were.
    pub good: usize,
    pub bad: usize,
    pub made: usize,
    pub changed: usize,
    pub unchanged: usize,
    pub began_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// Why it failed as a whole.
    pub error: Option<String>,
}

impl Job {
    fn of(document: &Document) -> Result<Self, StoreError> {
        let unreadable = |_| StoreError::Unreadable("stored import is not of a known form".to_owned());
        let job: Self = serde_json::from_value(document.says.body.clone()).map_err(unreadable)?;
        Ok(Self { id: document.at.id.clone(), ..job })
    }

    fn body(&self) -> Result<Value, StoreError> {
        serde_json::to_value(self).map_err(|_| StoreError::Unwritable("an import cannot be put in words".to_owned()))
    }

    fn count(&mut self, outcome: &'static str) {
        self.read += 1;
        match outcome {
            MADE => self.made += 1,
            CHANGED => self.changed += 1,
            UNCHANGED => self.unchanged += 1,
            _ => self.bad += 1,
        }
        self.good = self.made + self.changed + self.unchanged;
    }
}

const MADE: &str = "made";
const CHANGED: &str = "changed";
const UNCHANGED: &str = "unchanged";
const REFUSED: &str = "refused";

type Outcomes = BTreeMap<usize, (&'static str, String)>;

impl Agents {
    /// Takes a table in. When this resolves it is durable; it is gone through afterwards.
    ///
    /// # Errors
    /// That the file cannot be read at all, or what the store says.
    pub async fn import(
        self: &Arc<Self>,
        account: &str,
        file: &[u8],
        by: &str,
        stopping: &CancellationToken,
    ) -> Result<Result<Job, ImportError>, DirectoryError> {
        let desk = self.desk(account)?;
        let table = match Table::read(file, &desk.place()) {
            Ok(table) => table,
            Err(error) => return Ok(Err(error)),
        };
        let now = Timestamp::now();
        let job = Job {
            id: Uuid::now_v7().to_string(),
            by: by.to_owned(),
            state: "running".to_owned(),
            rows: table.rows.len(),
            read: 0,
            good: 0,
            bad: 0,
            made: 0,
            changed: 0,
            unchanged: 0,
            began_at: now,
            ended_at: None,
            error: None,
        };
        let to = Writing { body: job.body()?, sealed: Some(self.seal(account, &job.id, file)?), ..Writing::default() };
        let log = AuditEntry {
            by: by.to_owned(),
            account: account.to_owned(),
            kind: DocumentKind::Import.as_str().to_owned(),
            id: job.id.clone(),
            action: "made".to_owned(),
            changed: serde_json::json!({ "rows": job.rows }),
        };
        let at = DocumentRef::new(account, DocumentKind::Import, &job.id);
        self.store.change(vec![Change { at, on_version: 0, to: Some(to) }], vec![log], now).await?;
        self.go_through(account, job.clone(), 1, table, stopping);
        Ok(Ok(job))
    }

    /// Goes on with what the last process left.
    ///
    /// # Errors
    /// What the store says.
    pub async fn resume(self: &Arc<Self>, stopping: &CancellationToken) -> Result<(), StoreError> {
        for (account, desk) in self.desks.load_full().iter() {
            for document in self.store.documents(account, DocumentKind::Import).await? {
                let job = Job::of(&document)?;
                if job.state != "running" {
                    continue;
                }
                let file = document.says.sealed.as_deref().and_then(|sealed| self.open(account, &job.id, sealed));
                let Some(Ok(table)) = file.map(|file| Table::read(&file, &desk.place())) else {
                    let failed = Job {
                        state: "failed".to_owned(),
                        error: Some("the file cannot be read any more: send it again".to_owned()),
                        ended_at: Some(Timestamp::now()),
                        ..job
                    };
                    self.keep(account, &failed, document.version, None).await?;
                    continue;
                };
                tracing::info!(account, import = job.id, "an import that was broken off is gone through again");
                let (read, good, bad, made, changed, unchanged) = Default::default();
                let anew = Job { read, good, bad, made, changed, unchanged, ..job };
                self.go_through(account, anew, document.version, table, stopping);
            }
        }
        Ok(())
    }

    /// Imports of an account, the newest first.
    ///
    /// # Errors
    /// What the store says.
    pub async fn imports(&self, account: &str) -> Result<Vec<Job>, StoreError> {
        let documents = self.store.documents(account, DocumentKind::Import).await?;
        documents.iter().rev().map(Job::of).collect()
    }

    /// # Errors
    /// What the store says.
    pub async fn job(&self, account: &str, id: &str) -> Result<Option<Job>, StoreError> {
        let at = DocumentRef::new(account, DocumentKind::Import, id);
        self.store.document(&at).await?.as_ref().map(Job::of).transpose()
    }

    /// The table as it came, with what became of each row; once all are read.
    ///
    /// # Errors
    /// What the store says.
    pub async fn result(&self, account: &str, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let at = DocumentRef::new(account, DocumentKind::Import, id);
        let Some(document) = self.store.document(&at).await? else { return Ok(None) };
        if Job::of(&document)?.state != "done" {
            return Ok(None);
        }
        Ok(document.says.sealed.as_deref().and_then(|sealed| self.open(account, id, sealed)))
    }

    fn go_through(self: &Arc<Self>, account: &str, job: Job, version: i64, table: Table, stopping: &CancellationToken) {
        let (agents, account, stopping) = (Arc::clone(self), account.to_owned(), stopping.clone());
        tokio::spawn(async move {
            let import = job.id.clone();
            if let Err(error) = agents.carry_out(&account, job, version, &table, &stopping).await {
                tracing::error!(
                    code = %Code::ImportBrokeOff, account, import, %error,
                    "an import broke off; it is gone through again at the next start, or send it again"
                );
            }
        });
    }

    async fn carry_out(
        &self,
        account: &str,
        mut job: Job,
        mut version: i64,
        table: &Table,
        stopping: &CancellationToken,
    ) -> Result<(), DirectoryError> {
        let desk = self.desk(account)?;
        let mut outcomes = Outcomes::new();
        // Who was in the file already, by which row.
        let mut seen = HashMap::new();
        let rows: Vec<usize> = (0..table.rows.len()).collect();
        for batch in rows.chunks(BATCH) {
            if stopping.is_cancelled() {
                return Ok(());
            }
            for (at, outcome) in self.take_rows(&desk, &job, table, batch, &mut seen).await? {
                job.count(outcome.0);
                outcomes.insert(at, outcome);
            }
            if job.read < job.rows {
                version = self.keep(account, &job, version, None).await?;
            }
        }
        job.state = "done".to_owned();
        job.ended_at = Some(Timestamp::now());
        self.keep(account, &job, version, Some(table.result(&outcomes))).await?;
        tracing::info!(account, import = job.id, good = job.good, bad = job.bad, "an import is done");
        Ok(())
    }

    /// Takes some rows in at once; one by one, where somebody has changed one of them meanwhile.
    async fn take_rows(
        &self,
        desk: &Desk,
        job: &Job,
        table: &Table,
        rows: &[usize],
        seen: &mut HashMap<String, usize>,
    ) -> Result<Outcomes, DirectoryError> {
        let _turn = desk.roster.turn().await;
        let mut tried = seen.clone();
        let (outcomes, steps) = read_rows(desk, &desk.roster.now(), job, table, rows, &mut tried);
        match if steps.is_empty() { Ok(()) } else { desk.roster.write(steps, &job.by).await } {
            Ok(()) => {
                *seen = tried;
                return Ok(outcomes);
            }
            Err(DirectoryError::Changed(_)) => {}
            Err(error) => return Err(error),
        }
        let mut all = Outcomes::new();
        for row in rows {
            for left in (0..TRIES).rev() {
                let mut tried = seen.clone();
                let (outcomes, steps) = read_rows(desk, &desk.roster.now(), job, table, &[*row], &mut tried);
                match if steps.is_empty() { Ok(()) } else { desk.roster.write(steps, &job.by).await } {
                    Ok(()) => {
                        *seen = tried;
                        all.extend(outcomes);
                        break;
                    }
                    Err(DirectoryError::Changed(_)) if left > 0 => {}
                    Err(error @ DirectoryError::Changed(_)) => {
                        all.insert(*row, (REFUSED, error.to_string()));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(all)
    }

    /// Writes how far the import is; with a result, in place of the file.
    async fn keep(&self, account: &str, job: &Job, version: i64, result: Option<Vec<u8>>) -> Result<i64, StoreError> {
        let at = DocumentRef::new(account, DocumentKind::Import, &job.id);
        let sealed = match &result {
            Some(result) => Some(self.seal(account, &job.id, result)?),
            None => self.store.document(&at).await?.and_then(|document| document.says.sealed),
        };
        let expires_at = job.ended_at.map(|ended| ended + KEPT);
        let to = Writing { body: job.body()?, sealed, expires_at, ..Writing::default() };
        let change = Change { at, on_version: version, to: Some(to) };
        self.store.change(vec![change], Vec::new(), Timestamp::now()).await?;
        Ok(version + 1)
    }

    fn seal(&self, account: &str, id: &str, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.key.seal(SEALED_FOR, &[account, id], plain).map_err(StoreError::Unwritable)
    }

    fn open(&self, account: &str, id: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        self.key.open(SEALED_FOR, &[account, id], sealed)
    }
}

fn read_rows(
    desk: &Desk,
    roster: &Roster,
    job: &Job,
    table: &Table,
    rows: &[usize],
    seen: &mut HashMap<String, usize>,
) -> (Outcomes, Vec<Step>) {
    let mut roster = roster.clone();
    let (mut outcomes, mut steps) = (Outcomes::new(), Vec::new());
    for at in rows.iter().copied() {
        let outcome = match read_row(desk, &roster, job, table, at, seen) {
            Ok(None) => (UNCHANGED, String::new()),
            Ok(Some(step)) => {
                let outcome = if matches!(step, Step::Make { .. }) { MADE } else { CHANGED };
                roster.take(step.clone(), job.began_at);
                steps.push(step);
                (outcome, String::new())
            }
            Err(reason) => (REFUSED, reason),
        };
        outcomes.insert(at, outcome);
    }
    (outcomes, steps)
}

fn read_row(
    desk: &Desk,
    roster: &Roster,
    job: &Job,
    table: &Table,
    at: usize,
    seen: &mut HashMap<String, usize>,
) -> Result<Option<Step>, String> {
    let row = table.row(at)?;
    let number = row.patch.number.clone().flatten();
    let number =
        number.map(|text| agent::number(&text, &desk.place().country).map_err(|error| format!("number: {error}")));
    let number = number.transpose()?;
    let email = row.patch.email.clone().flatten();
    // Made by this row once before, if the import was broken off.
    let own = Uuid::new_v5(&super::NAMESPACE, format!("{}/{at}", job.id).as_bytes()).to_string();
    let is = whose(roster, row.id.as_deref(), number.as_deref(), email.as_deref())?.or_else(|| roster.find(&own));
    let id = is.map_or_else(|| own.clone(), |agent| agent.id.clone());
    for mark in [Some(id.clone()), number.as_deref().map(key)].into_iter().flatten() {
        // As a spreadsheet counts.
        if let Some(first) = seen.get(&mark).filter(|first| **first != at) {
            return Err(format!("row {} is about the same agent", first + 2));
        }
    }
    let was = is.map(|agent| agent.profile.clone()).unwrap_or_default();
    let profile: Profile = row.patch.onto(&was, &desk.place()).map_err(|problems| told(&problems))?;
    roster.free(Some(&id), &profile).map_err(|problem| problem.to_string())?;
    for mark in [Some(id.clone()), profile.number.as_deref().map(key)].into_iter().flatten() {
        seen.insert(mark, at);
    }
    match is {
        Some(_) if profile == was => Ok(None),
        Some(agent) if agent.source == Source::File => Err(DirectoryError::ReadOnly(DocumentKind::Agent).to_string()),
        Some(agent) => Ok(Some(Step::Change { id, version: agent.version, profile })),
        None => Ok(Some(Step::Make { id, profile })),
    }
}

/// Whom a row is about: by id, then number, then e-mail.
fn whose<'a>(
    roster: &'a Roster,
    id: Option<&str>,
    number: Option<&str>,
    email: Option<&str>,
) -> Result<Option<&'a Agent>, String> {
    if let Some(id) = id {
        return roster
            .find(id)
            .map(Some)
            .ok_or_else(|| "id: there is no such agent; leave it empty for a new one".to_owned());
    }
    if let Some(agent) = number.and_then(|number| roster.with_number(number)) {
        return Ok(Some(agent));
    }
    let mails: Vec<&Agent> = email.map(|email| roster.with_email(email).collect()).unwrap_or_default();
    match mails[..] {
        [] => Ok(None),
        [agent] => Ok(Some(agent)),
        _ => Err("email: several agents have it; give the id".to_owned()),
    }
}
