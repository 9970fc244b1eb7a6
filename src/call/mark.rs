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

/// Before the id of the voicebot that a call is placed for.
const BOT: &str = "bot:";

/// What the field of a call that is placed for a bot says beside the mark.
pub fn for_bot(id: &str) -> String {
    format!("{BOT}{id}")
}

/// The bot that a field names as one of ours does, if it names one.
pub fn bot(field: &str) -> Option<&str> {
    let named = field.split_whitespace().find_map(|word| word.strip_prefix(BOT));
    named.filter(|id| !id.is_empty())
}

/// What a field says beside the mark.
pub fn own(field: &str) -> &str {
    match read(field) {
        Some(_) => field.rsplit_once(SIGN).map_or(field, |(before, _)| before).trim(),
        None => field.trim(),
    }
}

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
    fn a_bot_is_named_beside_the_mark_and_found_again() {
        let id = Uuid::from_u128(7);
        // As long as the id of a bot may be.
        let longest = "b".repeat(64);
        for bot_id in ["sales", longest.as_str()] {
            let field = write(id, Some(&for_bot(bot_id)));
            assert!(field.chars().count() <= FIELD_CHARS);
            assert_eq!((bot(&field), read(&field)), (Some(bot_id), Some(id)));
            assert_eq!(own(&field), format!("bot:{bot_id}"));
        }
        assert_eq!(
            (bot("order 7 bot:sales x"), bot("bot: x"), bot("robot:sales"), bot("")),
            (Some("sales"), None, None, None)
        );
        assert_eq!((own("sales"), own(" pb:0 "), own(&write(id, None))), ("sales", "pb:0", ""));
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
