//! Against tungstenite's own end, and against bytes that nobody should send.

use futures_util::{SinkExt, StreamExt};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{client::IntoClientRequest, protocol::frame::Frame},
};

use super::*;

const LIMIT: usize = 100_000;

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future)
}

fn server(stream: DuplexStream) -> WebSocket<DuplexStream> {
    WebSocket::new(stream, Role::Server, LIMIT, Vec::new())
}

/// What comes of these bytes, and then the end of the connection.
fn came(role: Role, bytes: &[u8]) -> (Vec<Message>, Option<Error>) {
    run(async {
        let (ours, mut theirs) = duplex(1 << 20);
        theirs.write_all(bytes).await.expect("room");
        theirs.shutdown().await.expect("a shutdown");
        let mut socket = WebSocket::new(ours, role, LIMIT, Vec::new());
        let mut messages = Vec::new();
        loop {
            match socket.next().await {
                Some(Ok(message)) => messages.push(message),
                Some(Err(error)) => return (messages, Some(error)),
                None => return (messages, None),
            }
        }
    })
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    bytes.extend_from_slice(payload);
    bytes
}

fn some_message() -> impl Strategy<Value = Message> {
    prop_oneof![
        4 => "\\PC{0,300}".prop_map(Message::text),
        2 => proptest::collection::vec(any::<u8>(), 0..70_000).prop_map(Message::binary),
        1 => proptest::collection::vec(any::<u8>(), 0..125).prop_map(|bytes| Message::Ping(bytes.into())),
        1 => proptest::collection::vec(any::<u8>(), 0..125).prop_map(|bytes| Message::Pong(bytes.into())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the connection does to their bytes: in both roles, both ways.
    #[test]
    fn what_one_end_sends_the_other_gets(messages in proptest::collection::vec(some_message(), 1..12), pipe in 16usize..9000, ours_is_server: bool) {
        let (role, other) = if ours_is_server { (Role::Server, Role::Client) } else { (Role::Client, Role::Server) };
        let told = |message: &Message| !matches!(message, Message::Pong(_));
        let expected: Vec<Message> = messages.iter().filter(|message| told(message)).cloned().collect();
        run(async {
            let (ours, theirs) = duplex(pipe);
            let ours = WebSocket::new(ours, role, LIMIT, Vec::new());
            let theirs = WebSocketStream::from_raw_socket(theirs, other, None).await;
            let (mut say, mut hear) = ours.split();
            let (mut their_say, mut their_hear) = theirs.split();
            let (heard, their_heard) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
            let send = async {
                for message in messages.clone() {
                    say.send(message).await.expect("it is taken");
                }
            };
            let their_send = async {
                for message in messages.clone() {
                    their_say.send(message).await.expect("it is taken");
                }
            };
            let all = async {
                tokio::join!(send, their_send);
                while heard.borrow().len() < expected.len() || their_heard.borrow().len() < expected.len() {
                    tokio::task::yield_now().await;
                }
            };
            // Both go on reading for as long as anybody writes.
            let listen = async {
                while let Some(Ok(message)) = hear.next().await {
                    heard.borrow_mut().extend(Some(message).filter(told));
                }
            };
            let their_listen = async {
                while let Some(Ok(message)) = their_hear.next().await {
                    their_heard.borrow_mut().extend(Some(message).filter(told));
                }
            };
            tokio::select! {
                () = all => {}
                _ = async { tokio::join!(listen, their_listen) } => panic!("nobody has closed it"),
            }
            assert_eq!(heard.into_inner(), expected);
            assert_eq!(their_heard.into_inner(), expected);
        });
    }

    #[test]
    fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = came(Role::Server, &bytes);
        let _ = came(Role::Client, &bytes);
    }

    /// A message may come in pieces, and a ping between them.
    #[test]
    fn pieces_are_put_together(text in "\\PC{1,60}", at in 0usize..60) {
        let at = text.char_indices().map(|(at, _)| at).nth(at % text.chars().count()).unwrap_or_default();
        let mut bytes = masked(0x01, &text.as_bytes()[..at]);
        bytes.extend(masked(0x89, b"there?"));
        bytes.extend(masked(0x80, &text.as_bytes()[at..]));
        bytes.extend(masked(0x88, &[]));
        let (messages, error) = came(Role::Server, &bytes);
        prop_assert!(error.is_none());
        prop_assert_eq!(messages, [Message::Ping("there?".into()), Message::text(text), Message::Close(None)]);
    }
}

#[test]
fn what_is_wrong_is_named() {
    let of = |role, bytes: &[u8]| came(role, bytes).1.map(|error| error.to_string()).unwrap_or_default();
    let server = |bytes: &[u8]| of(Role::Server, bytes);
    assert!(server(&[0x81, 0x00]).contains("unmasked"), "{}", server(&[0x81, 0x00]));
    assert!(of(Role::Client, &masked(0x81, b"")).contains("masked"));
    assert!(server(&masked(0xc1, b"")).contains("eserved"));
    assert!(server(&masked(0x09, b"")).contains("ragment"));
    assert!(server(&masked(0x80, b"")).to_lowercase().contains("continu"));
    assert!(server(&[masked(0x01, b"a"), masked(0x81, b"b")].concat()).to_lowercase().contains("fragment"));
    assert!(server(&masked(0x83, b"")).contains("3"));
    assert!(matches!(came(Role::Server, &masked(0x81, &[0xff])).1, Some(Error::Utf8(_))));
    assert!(matches!(
        came(Role::Server, &masked(0x88, &[1])).1,
        Some(Error::Protocol(ProtocolError::InvalidCloseSequence))
    ));
    assert!(matches!(
        came(Role::Server, &masked(0x81, b"cut off")[..5]).1,
        Some(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))
    ));
    let long = [&[0x82, 0xff][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat();
    assert!(matches!(came(Role::Server, &long).1, Some(Error::Capacity(CapacityError::MessageTooLong { .. }))));
    let pieces = [masked(0x02, &[0; 120]), [&[0x80, 0xfe][..], &[0xff; 2], &[0; 4], &[0; 65535]].concat()].concat();
    let twice = [pieces.clone(), pieces[126..].to_vec()].concat();
    assert!(matches!(came(Role::Server, &twice).1, Some(Error::Protocol(_))));
}

#[test]
fn a_close_is_answered_once_and_ends_it() {
    run(async {
        let (ours, theirs) = duplex(4096);
        let mut ours = server(ours);
        let mut theirs = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
        let said = CloseFrame { code: CloseCode::Away, reason: "later".into() };
        theirs.send(Message::Close(Some(said.clone()))).await.expect("it is taken");
        assert_eq!(ours.next().await.expect("a message").expect("a close"), Message::Close(Some(said.clone())));
        assert!(ours.next().await.is_none());
        assert!(matches!(
            ours.send(Message::text("more")).await,
            Err(Error::Protocol(ProtocolError::SendAfterClosing))
        ));
        ours.send(Message::Close(None)).await.expect("there is one already");
        assert_eq!(theirs.next().await.expect("a message").expect("a close"), Message::Close(Some(said)));
        drop(ours);
        assert!(theirs.next().await.is_none(), "one close, and no more");
    });
}

#[test]
fn what_is_sent_together_goes_out_together() {
    run(async {
        let (ours, mut theirs) = duplex(4096);
        let mut ours = server(ours);
        for text in ["one", "two"] {
            ours.feed(Message::text(text)).await.expect("room");
        }
        ours.flush().await.expect("room");
        let mut read = [0; 64];
        let bytes = theirs.read(&mut read).await.expect("a read");
        assert_eq!(&read[..bytes], b"\x81\x03one\x81\x03two");
    });
}

/// No two masks are the same for long, and what is masked can be read.
#[test]
fn a_client_masks_each_frame_with_another_key() {
    run(async {
        let (ours, mut theirs) = duplex(4096);
        let mut ours = WebSocket::new(ours, Role::Client, LIMIT, Vec::new());
        let mut keys = Vec::new();
        for _ in 0..2 {
            ours.send(Message::text("again")).await.expect("room");
            let mut read = [0; 11];
            theirs.read_exact(&mut read).await.expect("a frame");
            let key = [read[2], read[3], read[4], read[5]];
            apply(key, &mut read[6..]);
            assert_eq!((&read[..2], &read[6..]), (&[0x81, 0x85][..], &b"again"[..]));
            keys.push(key);
        }
        assert_ne!(keys[0], keys[1]);
    });
}

/// A server may speak right behind its answer, in the same packet.
#[test]
fn what_comes_with_the_answer_to_the_handshake_is_not_lost() {
    run(async {
        let (ours, mut theirs) = duplex(4096);
        let request = "ws://bot.example/media".into_client_request().expect("a request");
        let serve = async {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                theirs.read_buf(&mut asked).await.expect("a request");
            }
            let asked = String::from_utf8(asked).expect("text");
            assert!(asked.starts_with("GET /media HTTP/1.1\r\n"), "{asked}");
            let key = asked.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
            let mut answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                 Sec-WebSocket-Accept: {}\r\n\r\n",
                derive_accept_key(key.as_bytes())
            )
            .into_bytes();
            let frame = Frame::message("welcome".as_bytes(), OpCode::Data(Data::Text), true);
            frame.format(&mut answer).expect("a frame");
            theirs.write_all(&answer).await.expect("room");
        };
        let (socket, ()) = tokio::join!(WebSocket::connect(ours, request, LIMIT), serve);
        let Ok(mut socket) = socket else { panic!("a handshake") };
        assert_eq!(socket.next().await.expect("a message").expect("text"), Message::text("welcome"));
    });
}

#[test]
fn an_answer_that_is_none_is_refused() {
    let answered = |answer: &str| {
        run(async {
            let (ours, mut theirs) = duplex(4096);
            let request = "ws://bot.example/media".into_client_request().expect("a request");
            theirs.write_all(answer.as_bytes()).await.expect("room");
            theirs.shutdown().await.expect("a shutdown");
            WebSocket::connect(ours, request, LIMIT).await.err()
        })
    };
    assert!(matches!(answered("HTTP/1.1 403 Forbidden\r\n\r\n"), Some(Error::Http(answer)) if answer.status() == 403));
    assert!(matches!(answered("HTTP/1.1 101"), Some(Error::Protocol(ProtocolError::HandshakeIncomplete))));
    let other = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: eA==\r\n\r\n";
    assert!(matches!(answered(other), Some(Error::Protocol(ProtocolError::SecWebSocketAcceptKeyMismatch))));
    let other = "HTTP/1.1 101 X\r\nConnection: Upgrade\r\n\r\n";
    assert!(matches!(answered(other), Some(Error::Protocol(ProtocolError::MissingUpgradeWebSocketHeader))));
}
