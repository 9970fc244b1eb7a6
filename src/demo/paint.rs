//! Colours for a terminal and for nothing else.

use std::io::IsTerminal;

/// Paints, or does not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    on: bool,
}

impl Paint {
    /// On if stdout is a terminal, unless NO_COLOR is set (no-color.org).
    pub(super) fn of_terminal() -> Self {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { on: std::io::stdout().is_terminal() && !forbidden && !dumb }
    }

    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { on: false }
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.on && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }

    pub(super) fn exotel(self, text: &str) -> String {
        self.with("36", text)
    }

    pub(super) fn patchbay(self, text: &str) -> String {
        self.with("33", text)
    }

    pub(super) fn freshdesk(self, text: &str) -> String {
        self.with("32", text)
    }
}
