//! Masking of phone numbers in text that people other than the caller's own agent may read: logs, errors, `Debug`.

/// Digits that stay readable at the end of a masked number.
const SHOWN: usize = 4;
/// The shortest run of digits taken for a phone number.
const NUMBER: usize = 7;

/// Masks one number: `+919876543210` becomes `+91******3210`, `sip:alice` becomes `sip:***`.
pub fn number(raw: &str) -> String {
    if let Some((scheme, _)) = raw.split_once(':') {
        return format!("{scheme}:***");
    }
    let digits = raw.bytes().filter(u8::is_ascii_digit).count();
    if digits < NUMBER {
        return "*".repeat(raw.chars().count().min(8));
    }
    let keep_head = usize::from(raw.starts_with('+')) + if raw.starts_with('+') { 2 } else { 0 };
    let total = raw.chars().count();
    raw.chars()
        .enumerate()
        .map(|(at, c)| if at < keep_head || at + SHOWN >= total || !c.is_ascii_digit() { c } else { '*' })
        .collect()
}

/// Masks every run of seven or more digits (a leading `+`, and single spaces or hyphens between, belong to the run).
/// A run that touches a letter is left alone: it is part of an identifier such as a CallSid.
pub fn text(raw: &str) -> String {
    let chars: Vec<char> = raw.chars().collect();
    let mut out = String::with_capacity(raw.len());
    let mut at = 0;
    while at < chars.len() {
        let starts =
            chars[at].is_ascii_digit() || (chars[at] == '+' && chars.get(at + 1).is_some_and(char::is_ascii_digit));
        if !starts {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        let mut end = at + 1;
        while end < chars.len() {
            let joins = matches!(chars[end], ' ' | '-') && chars.get(end + 1).is_some_and(char::is_ascii_digit);
            if !chars[end].is_ascii_digit() && !joins {
                break;
            }
            end += 1;
        }
        let run: String = chars[at..end].iter().collect();
        let digits = run.bytes().filter(u8::is_ascii_digit).count();
        let in_word = |c: Option<&char>| c.is_some_and(|c| c.is_alphabetic() || *c == '_');
        let identifier = (at > 0 && in_word(chars.get(at - 1))) || in_word(chars.get(end));
        if digits >= NUMBER && !identifier {
            out.push_str(&number(&run));
        } else {
            out.push_str(&run);
        }
        at = end;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_country_and_last_four_digits() {
        assert_eq!(number("+919876543210"), "+91******3210");
        assert_eq!(number("09876543210"), "*******3210");
        assert_eq!(number("sip:alice"), "sip:***");
        assert_eq!(number("1234"), "****");
    }

    #[test]
    fn text_loses_numbers_and_keeps_identifiers() {
        assert_eq!(text("mobile 9876543210 is taken"), "mobile ******3210 is taken");
        assert_eq!(text("call 27ba29be09721e231a10dd5e9885158p"), "call 27ba29be09721e231a10dd5e9885158p");
        assert_eq!(text("ticket 42, retry in 30 s"), "ticket 42, retry in 30 s");
        assert_eq!(text("+91 98765-43210!"), "+91 *****-*3210!");
    }
}
