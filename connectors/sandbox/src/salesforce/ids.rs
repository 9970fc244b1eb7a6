//! Record ids: fifteen characters that tell upper from lower case, or eighteen that say the case in three more.

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The part of an id between its object's prefix and its number: the org's instance.
const INSTANCE: &str = "5g00000";

/// The id of the nth record of an object, in its long form.
pub(super) fn id(prefix: &str, number: u64) -> String {
    let mut tail = [b'0'; 5];
    let mut rest = number;
    for place in tail.iter_mut().rev() {
        *place = LETTERS[usize::try_from(rest % 62).unwrap_or(0)];
        rest /= 62;
    }
    long(&format!("{prefix}{INSTANCE}{}", String::from_utf8_lossy(&tail)))
}

/// The long form of a short id: for each five characters one that says which of them are capitals.
pub(super) fn long(short: &str) -> String {
    const CASES: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    let suffix = short.as_bytes().chunks(5).map(|five| {
        let bits =
            five.iter().enumerate().filter(|(_, c)| c.is_ascii_uppercase()).map(|(at, _)| 1 << at).sum::<usize>();
        char::from(CASES[bits % 32])
    });
    short.chars().chain(suffix).collect()
}

/// The long form of what is written like an id.
pub(super) fn read(text: &str) -> Option<String> {
    if !text.bytes().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    match text.len() {
        15 => Some(long(text)),
        18 => Some(long(&text[..15])).filter(|long| long == text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_one_id() {
        // Salesforce's own example of the two forms.
        assert_eq!(long("001A0000006Vm9r"), "001A0000006Vm9rIAC");
        assert_eq!(read("001A0000006Vm9r"), read("001A0000006Vm9rIAC"));
        assert_ne!(id("003", 1), id("003", 2));
        assert_eq!(id("003", 62).len(), 18);
        for bad in ["", "003", "001A0000006Vm9rIAD", "001A0000006Vm9/", "001A0000006Vm9é"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
