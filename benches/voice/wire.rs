//! As much of WebSocket as the ends need, made to cost them little: they share one core for all calls.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Appends a frame of text: masked as a client's, or not.
pub(crate) fn text(payload: &[u8], mask: Option<u32>, out: &mut Vec<u8>) {
    out.push(0x80 | TEXT);
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        short @ 0..126 => out.push(masked | short as u8),
        long => {
            out.push(masked | 126);
            out.extend_from_slice(&(long as u16).to_be_bytes());
        }
    }
    match mask {
        None => out.extend_from_slice(payload),
        Some(mask) => {
            let key = mask.to_ne_bytes();
            out.extend_from_slice(&key);
            let from = out.len();
            out.extend_from_slice(payload);
            unmask(&mut out[from..], key);
        }
    }
}

fn unmask(payload: &mut [u8], key: [u8; 4]) {
    for four in payload.chunks_mut(4) {
        four.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
    }
}

/// What was read and not looked at yet.
#[derive(Default)]
pub(crate) struct Inbox(Vec<u8>);

impl Inbox {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Hands over the messages that are there whole. `false`: the far side closes.
    pub(crate) fn each(&mut self, mut message: impl FnMut(&[u8])) -> bool {
        let mut at = 0;
        let mut open = true;
        while let Some((head, long)) = head(&self.0[at..]) {
            if self.0.len() - at < head + long {
                break;
            }
            let (code, masked) = (self.0[at] & 15, self.0[at + 1] & 0x80 != 0);
            let payload = &mut self.0[at + head - if masked { 4 } else { 0 }..at + head + long];
            let payload = match masked {
                true => {
                    let (key, payload) = payload.split_at_mut(4);
                    unmask(payload, [key[0], key[1], key[2], key[3]]);
                    payload
                }
                false => payload,
            };
            match code {
                CLOSE => open = false,
                0..=2 => message(payload),
                _ => {}
            }
            at += head + long;
        }
        self.0.drain(..at);
        open
    }
}

/// The length of the next frame's head, with its key, and of its payload.
fn head(bytes: &[u8]) -> Option<(usize, usize)> {
    let second = *bytes.get(1)?;
    let key = if second & 0x80 != 0 { 4 } else { 0 };
    match second & 0x7f {
        126 => Some((4 + key, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])))),
        127 => {
            let long: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
            Some((10 + key, u64::from_be_bytes(long) as usize))
        }
        short => Some((2 + key, usize::from(short))),
    }
}

/// As Exotel's client connects.
pub(crate) fn ask(stream: &mut TcpStream, host: &str, path: &str) -> io::Result<()> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Version: 13\r\nUser-Agent: Go-http-client/1.1\r\n\r\n"
    );
    stream.write_all(request.as_bytes())
}

/// Whether it was taken. What came right behind the answer is in the inbox.
pub(crate) fn answered(stream: &mut TcpStream, inbox: &mut Inbox) -> io::Result<()> {
    let (head, rest) = read_head(stream)?;
    if !head.starts_with("HTTP/1.1 101") {
        return Err(io::Error::other(head.lines().next().unwrap_or_default().to_owned()));
    }
    inbox.push(&rest);
    Ok(())
}

/// As a bot's server answers.
pub(crate) fn accept(stream: &mut TcpStream, inbox: &mut Inbox) -> io::Result<()> {
    let (head, rest) = read_head(stream)?;
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_owned())
    });
    let key = key.ok_or_else(|| io::Error::other("no websocket is asked for"))?;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    stream.write_all(answer.as_bytes())?;
    inbox.push(&rest);
    Ok(())
}

fn read_head(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&read).into_owned(), rest));
        }
        let mut some = [0; 4096];
        match stream.read(&mut some)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => read.extend_from_slice(&some[..bytes]),
        }
    }
}
