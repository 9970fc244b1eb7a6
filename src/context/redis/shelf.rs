//! How things lie in Redis: under which key, and sealed. Keys show up in MONITOR and the slow log, so those made of a
//! number or an address are hashed with the master key; values hold keys pressed, numbers and what agents are shown of
//! callers, and Redis keeps its memory and dumps in the clear, so all of them are sealed, each for its place.

use serde::{Serialize, de::DeserializeOwned};

use super::super::local::OwnerKey;
use crate::{key::MasterKey, store::CallRef};

/// The stream of live events.
pub(super) const LIVE: &str = "patchbay:live";
/// Says that this Redis has been written to before, and with which master key.
pub(super) const MARK: &str = "patchbay:mark";

/// Writes an owner unless a newer one is there. KEYS: his. ARGV: learnt at, ms · value · kept, ms.
pub(super) const KEEP_NEWER: &str = "\
local at = redis.call('HGET', KEYS[1], 'at')
if at and tonumber(at) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'at', ARGV[1], 'value', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1";

/// GCRA by Redis' own clock, in µs. KEYS: the limit's. ARGV: recovery of one, burst. Returns how long to wait, or 0.
/// Times are written without an exponent, which would cut them.
pub(super) const ADMIT: &str = "\
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local recovery, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = tonumber(redis.call('GET', KEYS[1]) or now)
if full < now then full = now end
local wait = full + recovery - recovery * burst - now
if wait > 0 then return string.format('%.0f', wait) end
redis.call('SET', KEYS[1], string.format('%.0f', full + recovery), 'PX', math.ceil((full + recovery - now) / 1000) + 1)
return '0'";

#[derive(Clone, Debug)]
pub(super) struct Shelf {
    key: MasterKey,
}

impl Shelf {
    pub(super) fn new(key: MasterKey) -> Self {
        Self { key }
    }

    /// The same for all who have this master key.
    pub(super) fn mark(&self) -> String {
        self.key.sign("context", &[])
    }

    pub(super) fn call(&self, call: &CallRef) -> String {
        format!("patchbay:call:{}:{}", call.account, call.call_sid)
    }

    pub(super) fn owner(&self, (lane, number): &OwnerKey) -> String {
        let hash = self.key.sign("context owner", &[&lane.account, &lane.integration, &number.e164]);
        format!("patchbay:owner:{hash}")
    }

    pub(super) fn sessions(&self, account: &str) -> String {
        format!("patchbay:sessions:{account}")
    }

    pub(super) fn limit(&self, name: &str, key: &str) -> String {
        format!("patchbay:limit:{name}:{}", self.key.sign("context limit", &[name, key]))
    }

    /// `None`: the system gives no random numbers.
    pub(super) fn seal(&self, key: &str, field: &str, value: &impl Serialize) -> Option<Vec<u8>> {
        self.key.seal("context", &[key, field], &serde_json::to_vec(value).ok()?).ok()
    }

    /// `None`: it was not sealed here by one of us.
    pub(super) fn open<T: DeserializeOwned>(&self, key: &str, field: &str, sealed: &[u8]) -> Option<T> {
        serde_json::from_slice(&self.key.open("context", &[key, field], sealed)?).ok()
    }
}
