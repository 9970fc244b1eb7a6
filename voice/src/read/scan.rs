//! The quick way through a media frame: nineteen of twenty frames of a call are one, in a shape that is known. Whatever
//! is not plainly that is left to the patient way, which then is the only one that decides.

use memchr::memchr2;

/// A media frame whose every byte was understood.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned<'a> {
    pub sequence: Option<u64>,
    pub chunk: Option<u64>,
    pub timestamp_ms: Option<u64>,
    /// As it stands there: without escapes, else unlooked at.
    pub payload: &'a [u8],
}

/// Reads a media frame of either dialect. `None` is no verdict about the frame, only that it is not plainly one.
pub(super) fn media(bytes: &[u8]) -> Option<Scanned<'_>> {
    let mut at = Cursor { bytes, at: 0 };
    let mut found = Scanned::default();
    let mut seen = Seen::default();
    let mut is_media = false;
    at.space();
    at.object(|key, at| match key {
        b"event" => {
            is_media = at.short()? == b"media";
            (is_media && seen.first(0)).then_some(())
        }
        b"sequence_number" | b"sequenceNumber" => {
            found.sequence = Some(at.number()?);
            seen.first(1).then_some(())
        }
        b"stream_sid" | b"streamSid" => {
            at.short()?;
            seen.first(2).then_some(())
        }
        b"media" => {
            if !seen.first(3) {
                return None;
            }
            at.object(|key, at| {
                let which = match key {
                    b"payload" => {
                        found.payload = at.long()?;
                        4
                    }
                    b"chunk" => {
                        found.chunk = Some(at.number()?);
                        5
                    }
                    b"timestamp" => {
                        found.timestamp_ms = Some(at.number()?);
                        6
                    }
                    b"track" => {
                        at.short()?;
                        7
                    }
                    _ => return None,
                };
                seen.first(which).then_some(())
            })
        }
        _ => None,
    })?;
    at.space();
    (at.at == bytes.len() && is_media && seen.has(4)).then_some(found)
}

/// Which keys there were: a key that comes twice is not plain.
#[derive(Default)]
struct Seen(u8);

impl Seen {
    fn first(&mut self, key: u8) -> bool {
        let bit = 1 << key;
        let first = self.0 & bit == 0;
        self.0 |= bit;
        first
    }

    fn has(&self, key: u8) -> bool {
        self.0 & (1 << key) != 0
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// An object with something in it, each value read by `member`, which is given the key.
    fn object(&mut self, mut member: impl FnMut(&'a [u8], &mut Self) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        loop {
            self.space();
            let key = self.short()?;
            self.space();
            self.take(b':')?;
            self.space();
            member(key, self)?;
            self.space();
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// A long string without an escape in it. Whether the rest of it may stand in JSON is for the caller to see, by its
    /// alphabet.
    fn long(&mut self) -> Option<&'a [u8]> {
        self.take(b'"')?;
        let rest = &self.bytes[self.at..];
        let length = memchr2(b'"', b'\\', rest)?;
        self.at += length;
        self.take(b'"')?;
        Some(&rest[..length])
    }

    /// A short string of printable ASCII without an escape in it.
    fn short(&mut self) -> Option<&'a [u8]> {
        self.take(b'"')?;
        let rest = &self.bytes[self.at..];
        for (length, byte) in rest.iter().enumerate() {
            match byte {
                b'"' => {
                    self.at += length + 1;
                    return Some(&rest[..length]);
                }
                b'\\' | 0..0x20 | 0x7f.. => return None,
                _ => {}
            }
        }
        None
    }

    /// A whole number, quoted or not.
    fn number(&mut self) -> Option<u64> {
        let quoted = self.take(b'"').is_some();
        let from = self.at;
        let mut number = 0u64;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - from;
        // Eighteen digits always fit; JSON has no leading zeros outside quotes.
        if digits == 0 || digits > 18 || (!quoted && digits > 1 && self.bytes[from] == b'0') {
            return None;
        }
        if quoted {
            self.take(b'"')?;
        }
        Some(number)
    }
}
