//! The mark by which a call that was placed for a click is known again: in its `CustomField`, behind what the caller put
//! there himself.

use uuid::Uuid;

/// The longest `CustomField` that Exotel takes (exotel-api §2.1).
const FIELD_CHARS: usize = 128;
const SIGN: &str = "pb:";
/// Of an id without hyphens.
const ID_CHARS: usize = 32;
/// So much of the field is left to the caller: the mark and a space before it take the rest.
pub const OWN_CHARS: usize = FIELD_CHARS - SIGN.len() - ID_CHARS - 1;

/// The field of a click's call.
pub fn write(click: Uuid, own: Option<&str>) -> String {
    let mark = format!("{SIGN}{}", click.simple());
    match own.map(str::trim).filter(|own| !own.is_empty()) {
        Some(own) => format!("{own} {mark}"),
        None => mark,
    }
}

/// The click that a field names, if it names one: the last mark counts, for what stands before it is the caller's.
pub fn read(field: &str) -> Option<Uuid> {
    let (before, rest) = field.rsplit_once(SIGN)?;
    let id = rest.trim_end();
    let alone = before.is_empty() || before.ends_with(char::is_whitespace);
    let plain = id.len() == ID_CHARS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (alone && plain).then(|| Uuid::try_parse(id).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_whatever_stands_before_it() {
        let id = Uuid::from_u128(0x0123_4567_89ab_cdef);
        let longest = "x".repeat(OWN_CHARS);
        for own in [None, Some(""), Some("order 7"), Some("pb:0"), Some("{\"a\":1}"), Some(longest.as_str())] {
            let field = write(id, own);
            assert_eq!(read(&field), Some(id), "{field}");
            assert!(field.chars().count() <= FIELD_CHARS, "{field}");
        }
        assert_eq!(read(&format!("{} ", write(id, None)).to_uppercase().replace("PB:", "pb:")), Some(id));
    }

    #[test]
    fn what_is_no_mark_is_none() {
        let hex = "0".repeat(32);
        for field in
            ["", "order 7", "pb:", "pb:12", &format!("xpb:{hex}"), &format!("pb:{hex}0"), &format!("pb:{hex} x")]
        {
            assert_eq!(read(field), None, "{field}");
        }
    }
}
