//! Named places at which a test can make the process die, to show that nothing is lost or doubled there.
//!
//! Only debug builds know them: `PATCHBAY_CRASH=delivery.after_send:3` ends the process, as SIGKILL would, the third
//! time it comes by. In a release build a point is nothing at all.

/// Every point there is, for tests that visit them all.
pub const POINTS: &[&str] = &[
    "store.before_commit",
    "store.after_commit",
    "ingest.after_append",
    "delivery.after_claim",
    "delivery.before_send",
    "delivery.after_send",
    "delivery.before_settle",
    "delivery.after_settle",
    "token.before_keep",
    "token.after_keep",
];

/// Dies here if the environment says so.
#[cfg(debug_assertions)]
pub fn point(name: &'static str) {
    use std::sync::{
        OnceLock,
        atomic::{AtomicI64, Ordering},
    };
    static PLAN: OnceLock<Option<(String, AtomicI64)>> = OnceLock::new();
    debug_assert!(POINTS.contains(&name), "crash point {name} is not listed");
    let plan = PLAN.get_or_init(|| {
        let text = std::env::var("PATCHBAY_CRASH").ok()?;
        let (point, count) = text.split_once(':').unwrap_or((&text, "1"));
        Some((point.to_owned(), AtomicI64::new(count.parse().ok()?)))
    });
    if let Some((point, left)) = plan
        && point == name
        && left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        // No destructors, no flushing: as if the power had gone.
        std::process::abort();
    }
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_name: &'static str) {}
