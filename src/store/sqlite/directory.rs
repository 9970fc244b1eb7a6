//! Documents, and the log of who changed them: written together, on the version that was read.

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, Row, params};

use super::{fault::Fault, rows};
use crate::store::{
    AuditEntry, AuditFilter, Audited, Change, Document, DocumentKind, DocumentRef, LaneRef, Paged, SealedAt,
    StoreError, Writing,
    directory::Draft,
    documents::{page_size, sql_limit},
};

const COLUMNS: &str = "account, kind, id, version, name, body, sealed, created_ms, updated_ms, expires_ms";

pub(super) fn list(conn: &Connection, account: &str, kind: DocumentKind) -> Result<Vec<Document>, Fault> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM document WHERE account = ?1 AND kind = ?2 ORDER BY created_ms, id"
    ))?;
    let mut found = statement.query(params![account, kind.as_str()])?;
    let mut documents = Vec::new();
    while let Some(row) = found.next()? {
        documents.push(document(row)?);
    }
    Ok(documents)
}

pub(super) fn find(conn: &Connection, at: &DocumentRef) -> Result<Option<Document>, Fault> {
    let mut statement =
        conn.prepare_cached(&format!("SELECT {COLUMNS} FROM document WHERE account = ?1 AND kind = ?2 AND id = ?3"))?;
    let mut found = statement.query(params![at.account, at.kind.as_str(), at.id])?;
    found.next()?.map(document).transpose()
}

pub(super) fn named(
    conn: &Connection,
    account: &str,
    kind: DocumentKind,
    name: &str,
) -> Result<Option<Document>, Fault> {
    let mut statement =
        conn.prepare_cached(&format!("SELECT {COLUMNS} FROM document WHERE account = ?1 AND kind = ?2 AND name = ?3"))?;
    let mut found = statement.query(params![account, kind.as_str(), name])?;
    found.next()?.map(document).transpose()
}

pub(super) fn change(conn: &Connection, draft: &Draft, now: Timestamp) -> Result<(), Fault> {
    let now_ms = now.as_millisecond();
    for (change, body) in &draft.changes {
        let Change { at, on_version, to } = change;
        let written = match to {
            Some(to) if *on_version == 0 => conn
                .prepare_cached(&format!(
                    "INSERT INTO document ({COLUMNS}) VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7, ?7, ?8)
                     ON CONFLICT (account, kind, id) DO NOTHING"
                ))?
                .execute(params![
                    at.account,
                    at.kind.as_str(),
                    at.id,
                    to.name,
                    body,
                    to.sealed,
                    now_ms,
                    to.expires_at.map(Timestamp::as_millisecond)
                ]),
            Some(to) => conn
                .prepare_cached(
                    "UPDATE document SET version = version + 1, name = ?5, body = ?6, sealed = ?7, updated_ms = ?8,
                     expires_ms = ?9 WHERE account = ?1 AND kind = ?2 AND id = ?3 AND version = ?4",
                )?
                .execute(params![
                    at.account,
                    at.kind.as_str(),
                    at.id,
                    on_version,
                    to.name,
                    body,
                    to.sealed,
                    now_ms,
                    to.expires_at.map(Timestamp::as_millisecond)
                ]),
            None => conn
                .prepare_cached("DELETE FROM document WHERE account = ?1 AND kind = ?2 AND id = ?3 AND version = ?4")?
                .execute(params![at.account, at.kind.as_str(), at.id, on_version]),
        };
        match written {
            Ok(0) => return Err(StoreError::Conflict.into()),
            Ok(_) => {}
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                return Err(StoreError::Taken.into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    for (entry, changed) in &draft.log {
        let AuditEntry { by, account, kind, id, action, .. } = entry;
        conn.prepare_cached(
            "INSERT INTO audit (at_ms, by_whom, account, kind, id, action, changed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![now_ms, by, account, kind, id, action, changed])?;
    }
    Ok(())
}

pub(super) fn sealed(conn: &Connection) -> Result<Vec<SealedAt>, Fault> {
    let mut places = Vec::new();
    let mut statement = conn.prepare_cached("SELECT account, kind, id FROM document WHERE sealed IS NOT NULL")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let kind = DocumentKind::parse(row.get_ref(1)?.as_str().map_err(rows::alien)?);
        let kind = kind.ok_or_else(|| Fault::alien("kind of document"))?;
        places.push(SealedAt::Document(DocumentRef { account: row.get(0)?, kind, id: row.get(2)? }));
    }
    let mut statement = conn.prepare_cached("SELECT account, integration FROM credential")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        places.push(SealedAt::Credential(LaneRef { account: row.get(0)?, integration: row.get(1)? }));
    }
    Ok(places)
}

pub(super) fn reseal(conn: &Connection, at: &SealedAt, was: &[u8], to: &[u8]) -> Result<bool, Fault> {
    let changed = match at {
        SealedAt::Document(at) => conn
            .prepare_cached(
                "UPDATE document SET sealed = ?5 WHERE account = ?1 AND kind = ?2 AND id = ?3 AND sealed = ?4",
            )?
            .execute(params![at.account, at.kind.as_str(), at.id, was, to])?,
        SealedAt::Credential(lane) => conn
            .prepare_cached(
                "UPDATE credential SET sealed = ?4 WHERE account = ?1 AND integration = ?2 AND sealed = ?3",
            )?
            .execute(params![lane.account, lane.integration, was, to])?,
    };
    Ok(changed > 0)
}

pub(super) fn audit(conn: &Connection, filter: &AuditFilter) -> Result<Paged<Audited>, Fault> {
    let before = match &filter.before {
        Some(text) => text.parse::<i64>().map_err(|_| StoreError::BadCursor)?,
        None => i64::MAX,
    };
    let size = page_size(filter.limit);
    let mut statement = conn.prepare_cached(
        "SELECT seq, at_ms, by_whom, account, kind, id, action, changed FROM audit
         WHERE seq < ?1 AND (?2 IS NULL OR account = ?2) ORDER BY seq DESC LIMIT ?3",
    )?;
    let mut found = statement.query(params![before, filter.account, sql_limit(size.saturating_add(1))])?;
    let mut items = Vec::new();
    while let Some(row) = found.next()? {
        let entry = AuditEntry {
            by: row.get(2)?,
            account: row.get(3)?,
            kind: row.get(4)?,
            id: row.get(5)?,
            action: row.get(6)?,
            changed: rows::from_json("entry of the log", row.get_ref(7)?.as_str().map_err(rows::alien)?)?,
        };
        items.push(Audited { seq: row.get(0)?, at: rows::time(row.get(1)?)?, entry });
    }
    let more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| more).map(|last| last.seq.to_string());
    Ok(Paged { items, next })
}

pub(super) fn forget(conn: &Connection, now: Timestamp, log_before: Timestamp, limit: usize) -> Result<u64, Fault> {
    let limit = sql_limit(limit);
    let documents = conn
        .prepare_cached(
            "DELETE FROM document WHERE (account, kind, id) IN
             (SELECT account, kind, id FROM document WHERE expires_ms <= ?1 LIMIT ?2)",
        )?
        .execute(params![now.as_millisecond(), limit])?;
    // Entries are written in the order of time, so the oldest come first.
    let entries = conn
        .prepare_cached("DELETE FROM audit WHERE seq IN (SELECT seq FROM audit ORDER BY seq LIMIT ?2) AND at_ms < ?1")?
        .execute(params![log_before.as_millisecond(), limit])?;
    Ok((documents + entries) as u64)
}

fn document(row: &Row<'_>) -> Result<Document, Fault> {
    let kind = DocumentKind::parse(row.get_ref(1)?.as_str().map_err(rows::alien)?);
    let expires: Option<i64> = row.get(9)?;
    Ok(Document {
        at: DocumentRef {
            account: row.get(0)?,
            kind: kind.ok_or_else(|| Fault::alien("kind of document"))?,
            id: row.get(2)?,
        },
        version: row.get(3)?,
        says: Writing {
            name: row.get(4)?,
            body: rows::from_json("document", row.get_ref(5)?.as_str().map_err(rows::alien)?)?,
            sealed: row.get::<_, Option<Vec<u8>>>(6)?,
            expires_at: expires.map(rows::time).transpose()?,
        },
        created_at: rows::time(row.get(7)?)?,
        updated_at: rows::time(row.get(8)?)?,
    })
}
