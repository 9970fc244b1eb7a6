//! What connectors do to texts alike: find a call's mark in them, put them into HTML, quote them in a failure.

/// Characters kept of anything the far side says.
const SAID_CHARS: usize = 200;

/// As much of what the far side says as a failure quotes.
pub fn said(text: &str) -> String {
    match text.char_indices().nth(SAID_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Whether a text holds this very CallSid, not a longer one that begins or ends with it.
pub fn mentions(text: &str, key: &str) -> bool {
    let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    !key.is_empty()
        && text
            .match_indices(key)
            .any(|(at, _)| !letter(text[..at].chars().next_back()) && !letter(text[at + key.len()..].chars().next()))
}

/// Text as it stands in HTML, between tags and in quoted attributes.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_sid_is_found_whole_or_not_at_all() {
        assert!(mentions("CallSid : 1a2b</div>", "1a2b"));
        assert!(mentions("CallSid: 1a2b\n", "1a2b"));
        assert!(mentions("1a2b5 and 1a2b", "1a2b"));
        assert!(!mentions("CallSid: 1a2b5", "1a2b"));
        assert!(!mentions("CallSid: 91a2b", "1a2b"));
        assert!(!mentions("CallSid: 1a2bé", "1a2b"));
        assert!(!mentions("anything", ""));
    }

    #[test]
    fn no_text_leaves_its_place_in_html() {
        assert_eq!(escaped(r#"<a href="x" title='&'>é"#), "&lt;a href=&quot;x&quot; title=&#39;&amp;&#39;&gt;é");
    }

    #[test]
    fn a_quotation_ends_between_characters() {
        assert_eq!(said(&"é".repeat(SAID_CHARS)), "é".repeat(SAID_CHARS));
        assert_eq!(said(&"😀".repeat(SAID_CHARS + 1)), format!("{}…", "😀".repeat(SAID_CHARS)));
    }
}
