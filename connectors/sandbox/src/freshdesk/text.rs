//! The small renderings Freshdesk makes by itself: plain text from HTML, and times without fractions.

use jiff::Timestamp;

/// A time as Freshdesk writes it: `2015-07-09T13:08:06Z`.
pub(super) fn timestamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The text of a piece of HTML: tags gone, line breaks kept, the common entities resolved.
pub(super) fn of_html(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(open) = rest.find('<') {
        text.push_str(&rest[..open]);
        let Some(close) = rest[open..].find('>') else {
            // No tag: a lone `<` is text.
            text.push_str(&rest[open..]);
            rest = "";
            break;
        };
        let name = rest[open + 1..open + close].trim_start_matches('/');
        let name = name.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("").to_ascii_lowercase();
        if matches!(name.as_str(), "br" | "p" | "div" | "li" | "tr") && !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        rest = &rest[open + close + 1..];
    }
    text.push_str(rest);
    // `&amp;` last, so that `&amp;lt;` comes out as the text `&lt;`.
    let entities = [("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    let resolved = entities.iter().fold(text, |text, (entity, is)| text.replace(entity, is));
    resolved.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_go_and_their_text_stays() {
        let html = "<p>From: <b>987</b><br>CallSid: 1a2b</p><a href=\"https://x/?a=1&amp;b=2\">Call Recording</a>";
        assert_eq!(of_html(html), "From: 987\nCallSid: 1a2b\nCall Recording");
    }

    #[test]
    fn entities_are_resolved_once() {
        assert_eq!(of_html("R&amp;D &lt;b&gt; &amp;lt;"), "R&D <b> &lt;");
        assert_eq!(of_html("1 < 2 😀"), "1 < 2 😀");
    }

    #[test]
    fn times_have_no_fraction() {
        assert_eq!(timestamp(Timestamp::constant(0, 999_999_999)), "1970-01-01T00:00:00Z");
    }
}
