//! What a backend may have done during a call.

use std::fmt;

use serde_json::Value;

/// A tool, as a backend is told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Letters, digits, `_` and `-`, at most 64: what every service takes.
    pub name: String,
    pub description: String,
    /// JSON Schema of its arguments: an object.
    pub parameters: Value,
}

/// A backend wants it.
#[derive(Clone, PartialEq)]
pub struct ToolCall {
    /// The service's own: its answer names it.
    pub id: String,
    pub name: String,
    /// An object, unless the service sent something else.
    pub arguments: Value,
}

impl fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolCall").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// What came of it.
#[derive(Clone, PartialEq)]
pub struct Answer {
    pub id: String,
    pub name: String,
    /// What the model reads.
    pub output: Value,
    pub failed: bool,
    /// The call goes on to somebody else, or ends: nothing is to be said to this any more.
    pub last: bool,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("failed", &self.failed)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}
