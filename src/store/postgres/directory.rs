//! Documents, and the log of who changed them: written together, on the version that was read.

use jiff::Timestamp;
use tokio_postgres::{Row, error::SqlState};

use super::{
    fault::Fault,
    rows::{opt_text, text},
    server::Tx,
};
use crate::store::{
    AuditEntry, AuditFilter, Audited, Change, Document, DocumentKind, DocumentRef, LaneRef, Paged, SealedAt,
    StoreError, Writing,
    directory::Draft,
    documents::{self, from_json, page_size, sql_limit},
};

const COLUMNS: &str = "account, kind, id, version, name, body, sealed, created_ms, updated_ms, expires_ms";

pub(super) async fn list(tx: &Tx<'_>, account: &str, kind: DocumentKind) -> Result<Vec<Document>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM document WHERE account = $1 AND kind = $2 ORDER BY created_ms, id");
    tx.rows(&sql, &[&text(account), &kind.as_str()]).await?.iter().map(document).collect()
}

pub(super) async fn find(tx: &Tx<'_>, at: &DocumentRef) -> Result<Option<Document>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM document WHERE account = $1 AND kind = $2 AND id = $3");
    let found = tx.row(&sql, &[&text(&at.account), &at.kind.as_str(), &text(&at.id)]).await?;
    found.as_ref().map(document).transpose()
}

pub(super) async fn named(
    tx: &Tx<'_>,
    account: &str,
    kind: DocumentKind,
    name: &str,
) -> Result<Option<Document>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM document WHERE account = $1 AND kind = $2 AND name = $3");
    let found = tx.row(&sql, &[&text(account), &kind.as_str(), &text(name)]).await?;
    found.as_ref().map(document).transpose()
}

pub(super) async fn change(tx: &Tx<'_>, draft: &Draft, now: Timestamp) -> Result<(), Fault> {
    let now_ms = now.as_millisecond();
    for (change, body) in &draft.changes {
        let Change { at, on_version, to } = change;
        let (account, kind, id) = (text(&at.account), at.kind.as_str(), text(&at.id));
        let written = match to {
            Some(Writing { name, sealed, expires_at, .. }) if *on_version == 0 => {
                let sql = format!(
                    "INSERT INTO document ({COLUMNS}) VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $7, $8)
                     ON CONFLICT (account, kind, id) DO NOTHING"
                );
                let (name, expires) = (opt_text(name.as_deref()), expires_at.map(Timestamp::as_millisecond));
                tx.run(&sql, &[&account, &kind, &id, &name, body, sealed, &now_ms, &expires]).await
            }
            Some(Writing { name, sealed, expires_at, .. }) => {
                let (name, expires) = (opt_text(name.as_deref()), expires_at.map(Timestamp::as_millisecond));
                tx.run(
                    "UPDATE document SET version = version + 1, name = $5, body = $6, sealed = $7, updated_ms = $8,
                     expires_ms = $9 WHERE account = $1 AND kind = $2 AND id = $3 AND version = $4",
                    &[&account, &kind, &id, on_version, &name, body, sealed, &now_ms, &expires],
                )
                .await
            }
            None => {
                tx.run(
                    "DELETE FROM document WHERE account = $1 AND kind = $2 AND id = $3 AND version = $4",
                    &[&account, &kind, &id, on_version],
                )
                .await
            }
        };
        match written {
            Ok(0) => return Err(StoreError::Conflict.into()),
            Ok(_) => {}
            Err(Fault::Server(error)) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                return Err(StoreError::Taken.into());
            }
            Err(error) => return Err(error),
        }
    }
    for (entry, changed) in &draft.log {
        let AuditEntry { by, account, kind, id, action, .. } = entry;
        tx.run(
            "INSERT INTO audit (at_ms, by_whom, account, kind, id, action, changed) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            &[&now_ms, &text(by), &text(account), &text(kind), &text(id), &text(action), changed],
        )
        .await?;
    }
    Ok(())
}

pub(super) async fn sealed(tx: &Tx<'_>) -> Result<Vec<SealedAt>, Fault> {
    let mut places = Vec::new();
    for row in tx.rows("SELECT account, kind, id FROM document WHERE sealed IS NOT NULL", &[]).await? {
        let kind = DocumentKind::parse(row.try_get(1)?).ok_or_else(|| documents::alien("kind of document"))?;
        places.push(SealedAt::Document(DocumentRef { account: row.try_get(0)?, kind, id: row.try_get(2)? }));
    }
    for row in tx.rows("SELECT account, integration FROM credential", &[]).await? {
        places.push(SealedAt::Credential(LaneRef { account: row.try_get(0)?, integration: row.try_get(1)? }));
    }
    Ok(places)
}

pub(super) async fn reseal(tx: &Tx<'_>, at: &SealedAt, was: &[u8], to: &[u8]) -> Result<bool, Fault> {
    let changed = match at {
        SealedAt::Document(at) => {
            tx.run(
                "UPDATE document SET sealed = $5 WHERE account = $1 AND kind = $2 AND id = $3 AND sealed = $4",
                &[&text(&at.account), &at.kind.as_str(), &text(&at.id), &was, &to],
            )
            .await?
        }
        SealedAt::Credential(lane) => {
            tx.run(
                "UPDATE credential SET sealed = $4 WHERE account = $1 AND integration = $2 AND sealed = $3",
                &[&text(&lane.account), &text(&lane.integration), &was, &to],
            )
            .await?
        }
    };
    Ok(changed > 0)
}

pub(super) async fn audit(tx: &Tx<'_>, filter: &AuditFilter) -> Result<Paged<Audited>, Fault> {
    let before = match &filter.before {
        Some(text) => text.parse::<i64>().map_err(|_| StoreError::BadCursor)?,
        None => i64::MAX,
    };
    let size = page_size(filter.limit);
    let found = tx
        .rows(
            "SELECT seq, at_ms, by_whom, account, kind, id, action, changed FROM audit
             WHERE seq < $1 AND ($2::TEXT IS NULL OR account = $2) ORDER BY seq DESC LIMIT $3",
            &[&before, &opt_text(filter.account.as_deref()), &sql_limit(size.saturating_add(1))],
        )
        .await?;
    let mut items = Vec::with_capacity(found.len());
    for row in &found {
        let entry = AuditEntry {
            by: row.try_get(2)?,
            account: row.try_get(3)?,
            kind: row.try_get(4)?,
            id: row.try_get(5)?,
            action: row.try_get(6)?,
            changed: from_json("entry of the log", row.try_get(7)?)?,
        };
        items.push(Audited { seq: row.try_get(0)?, at: documents::time(row.try_get(1)?)?, entry });
    }
    let more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| more).map(|last| last.seq.to_string());
    Ok(Paged { items, next })
}

pub(super) async fn forget(tx: &Tx<'_>, now: Timestamp, log_before: Timestamp, limit: usize) -> Result<u64, Fault> {
    let documents = tx
        .run(
            "DELETE FROM document WHERE (account, kind, id) IN
             (SELECT account, kind, id FROM document WHERE expires_ms <= $1 LIMIT $2)",
            &[&now.as_millisecond(), &sql_limit(limit)],
        )
        .await?;
    let entries = tx
        .run(
            "DELETE FROM audit WHERE seq IN (SELECT seq FROM audit ORDER BY seq LIMIT $2) AND at_ms < $1",
            &[&log_before.as_millisecond(), &sql_limit(limit)],
        )
        .await?;
    Ok(documents + entries)
}

fn document(row: &Row) -> Result<Document, Fault> {
    let kind: &str = row.try_get(1)?;
    let expires: Option<i64> = row.try_get(9)?;
    Ok(Document {
        at: DocumentRef {
            account: row.try_get(0)?,
            kind: DocumentKind::parse(kind).ok_or_else(|| documents::alien("kind of document"))?,
            id: row.try_get(2)?,
        },
        version: row.try_get(3)?,
        says: Writing {
            name: row.try_get(4)?,
            body: from_json("document", row.try_get(5)?)?,
            sealed: row.try_get(6)?,
            expires_at: expires.map(documents::time).transpose()?,
        },
        created_at: documents::time(row.try_get(7)?)?,
        updated_at: documents::time(row.try_get(8)?)?,
    })
}
