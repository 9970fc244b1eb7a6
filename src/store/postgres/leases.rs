//! Which node does what: taking, renewing, giving back, and the look at the number before something is written.

use std::time::Duration;

use uuid::Uuid;

use super::{fault::Fault, server::Tx};
use crate::store::{Duty, Lease, StoreError};

/// By the server's clock, which is the same for all nodes. What is somebody else's is left out before anything is locked.
/// In the order of names: two nodes that ask for several at once do not wait for each other.
const TAKE: &str = "INSERT INTO lease (duty, holder, fence, until)
     SELECT wanted.duty, $1, 1, clock_timestamp() + $3::float8 * interval '1 millisecond'
     FROM unnest($2::text[]) AS wanted (duty) LEFT JOIN lease AS old ON old.duty = wanted.duty COLLATE \"C\"
     WHERE old.duty IS NULL OR old.holder = $1 OR old.until <= clock_timestamp() ORDER BY wanted.duty COLLATE \"C\"
     ON CONFLICT (duty) DO UPDATE SET fence = lease.fence + (lease.holder <> excluded.holder)::int,
       holder = excluded.holder, until = excluded.until
       WHERE lease.holder = excluded.holder OR lease.until <= clock_timestamp()
     RETURNING duty, fence";

pub(super) async fn take(tx: &Tx<'_>, holder: Uuid, duties: &[Duty], ttl: Duration) -> Result<Vec<Lease>, Fault> {
    let names: Vec<String> = duties.iter().map(ToString::to_string).collect();
    let ms = ttl.as_secs_f64() * 1000.0;
    let granted = tx.rows(TAKE, &[&holder, &names, &ms]).await?;
    let mut leases = Vec::with_capacity(granted.len());
    for row in granted {
        let (name, fence): (&str, i64) = (row.try_get(0)?, row.try_get(1)?);
        let duty = duties.iter().zip(&names).find(|(_, its)| *its == name).map(|(duty, _)| duty.clone());
        leases.extend(duty.map(|duty| Lease { duty, holder, fence }));
    }
    Ok(leases)
}

pub(super) async fn give_back(tx: &Tx<'_>, lease: &Lease) -> Result<bool, Fault> {
    let Lease { duty, holder, fence } = lease;
    let given = tx
        .run(
            "UPDATE lease SET until = '-infinity' WHERE duty = $1 AND holder = $2 AND fence = $3",
            &[&duty.to_string(), holder, fence],
        )
        .await?;
    Ok(given > 0)
}

/// Holds the lease until the end of the transaction, so that nobody takes it over before what is written in its name is
/// committed. To be called after the rows of calls are locked: whoever renews several leases waits for this one, and
/// must not be what a transaction that holds it waits for.
///
/// # Errors
/// [`StoreError::Fenced`]: somebody else has taken it over.
pub(super) async fn check(tx: &Tx<'_>, lease: &Lease) -> Result<(), Fault> {
    let Lease { duty, holder, fence } = lease;
    let held = tx
        .row(
            "SELECT 1 FROM lease WHERE duty = $1 AND holder = $2 AND fence = $3 FOR SHARE",
            &[&duty.to_string(), holder, fence],
        )
        .await?;
    held.map(|_| ()).ok_or_else(|| StoreError::Fenced.into())
}
