//! What bots and callers say, as files: one per session, written by one thread of its own. A session never waits for a disk:
//! what the disk does not take is missing in the recording, as silence, and that is told.

use std::{
    collections::HashMap,
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use patchbay_voice::{
    Rate,
    record::{Mixer, WAV_HEADER_BYTES, wav_header},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::codes::Code;

/// What may wait for the disk, in pieces of a second: some seconds of as many calls as a node has.
const WAITING: usize = 2000;
/// How much is written at a time.
const PIECE: Duration = Duration::from_secs(1);
/// Characters of an account's or a call's name in a path.
const NAME_CHARS: usize = 64;
/// How often it is looked for recordings that are old enough.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
const EXTENSION: &str = "wav";

enum Order {
    Open { id: Uuid, path: PathBuf, rate: Rate, state: Arc<State> },
    Write { id: Uuid, at: u64, audio: Vec<u8> },
    Close { id: Uuid, at_end: u64, closed: oneshot::Sender<()> },
}

/// What the writer and the session tell each other.
#[derive(Debug, Default)]
struct State {
    /// Nothing more is taken, and why is in the log.
    failed: AtomicBool,
    lost_bytes: AtomicU64,
}

/// The thread that writes, once there is something to write.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    orders: OnceLock<Option<mpsc::Sender<Order>>>,
}

impl Recorder {
    fn orders(&self) -> Option<mpsc::Sender<Order>> {
        let start = || {
            let (orders, ordered) = mpsc::channel(WAITING);
            let started = thread::Builder::new().name("recordings".to_owned()).spawn(move || write_all(ordered));
            match started {
                Ok(_) => Some(orders),
                Err(error) => {
                    tracing::error!(
                        code = %Code::NotRecorded, %error,
                        "calls of voicebots are not recorded: their thread cannot be started. The calls go on"
                    );
                    None
                }
            }
        };
        self.orders.get_or_init(start).clone()
    }

    /// A recording that begins now. `None`: there cannot be one, and the log says why.
    pub(super) fn begin(
        &self,
        directory: &Path,
        account: &str,
        call_sid: &str,
        session: Uuid,
        rate: Rate,
    ) -> Option<Recording> {
        let orders = self.orders()?;
        let name = name(account, Timestamp::now(), call_sid, session);
        let state = Arc::new(State::default());
        let order = Order::Open { id: session, path: directory.join(&name), rate, state: Arc::clone(&state) };
        if orders.try_send(order).is_err() {
            tracing::warn!(
                code = %Code::NotRecorded, account, call = call_sid, session = %session,
                "a voicebot's call is not recorded: the disk is too slow. The call goes on"
            );
            return None;
        }
        Some(Recording {
            id: session,
            name,
            orders,
            state,
            mixer: Mixer::new(rate),
            began: Instant::now(),
            written_at: Duration::ZERO,
            mixed: Vec::new(),
            sent: 0,
            rate,
        })
    }
}

/// Below the directory: `account/2026-01-15/call-session.wav`. What names a call comes from outside, and is no path.
fn name(account: &str, now: Timestamp, call_sid: &str, session: Uuid) -> String {
    let safe = |text: &str| -> String {
        let fits = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
        text.chars().take(NAME_CHARS).map(fits).collect()
    };
    let day = now.strftime("%Y-%m-%d");
    format!("{}/{day}/{}-{}.{EXTENSION}", safe(account), safe(call_sid), session.simple())
}

/// One session's recording, as it goes on.
pub(super) struct Recording {
    id: Uuid,
    /// Below the directory of recordings.
    pub(super) name: String,
    orders: mpsc::Sender<Order>,
    state: Arc<State>,
    mixer: Mixer,
    began: Instant,
    written_at: Duration,
    mixed: Vec<u8>,
    /// Bytes of audio that went to the writer, or were lost on the way there.
    sent: u64,
    rate: Rate,
}

impl Recording {
    pub(super) fn heard(&mut self, pcm: &[u8]) {
        let now = self.began.elapsed();
        self.mixer.heard(now, pcm);
        self.write(now);
    }

    pub(super) fn said(&mut self, pcm: &[u8]) {
        let now = self.began.elapsed();
        self.mixer.said(now, pcm);
        self.write(now);
    }

    /// Exotel drops what it has not played.
    pub(super) fn cleared(&mut self) {
        self.mixer.cleared(self.began.elapsed());
    }

    fn write(&mut self, now: Duration) {
        if now < self.written_at + PIECE {
            return;
        }
        self.written_at = now;
        self.mixer.take(now, &mut self.mixed);
        self.send();
    }

    fn send(&mut self) {
        let audio = std::mem::take(&mut self.mixed);
        if audio.is_empty() || self.state.failed.load(Ordering::Relaxed) {
            return;
        }
        let (at, bytes) = (self.sent, audio.len() as u64);
        self.sent += bytes;
        if self.orders.try_send(Order::Write { id: self.id, at, audio }).is_err() {
            self.state.lost_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Its end. What was lost of it, once all else is written.
    pub(super) fn finish(mut self) -> (Lost, impl Future<Output = ()> + Send + 'static) {
        self.mixer.finish(self.began.elapsed(), &mut self.mixed);
        self.send();
        let Self { id, orders, state, sent, rate, .. } = self;
        let lost = Lost {
            failed: state.failed.load(Ordering::Relaxed),
            // Two channels.
            audio: rate.duration(state.lost_bytes.load(Ordering::Relaxed) / 2),
        };
        let close = async move {
            let (closed, is_closed) = oneshot::channel();
            if orders.send(Order::Close { id, at_end: sent, closed }).await.is_ok() {
                let _ = is_closed.await;
            }
        };
        (lost, close)
    }
}

/// What a recording does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    /// There is no file, or it ends before the call does.
    pub(super) failed: bool,
    pub(super) audio: Duration,
}

/// A file that is being written.
struct Open {
    file: File,
    rate: Rate,
    state: Arc<State>,
    audio_bytes: u64,
}

impl Open {
    fn create(path: &Path, rate: Rate, state: Arc<State>) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            // What callers say is for nobody else on this machine.
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all_at(&wav_header(rate, 0), 0)?;
        Ok(Self { file, rate, state, audio_bytes: 0 })
    }

    /// What did not come before is a hole, and so silence. The header is true after each piece: a crash costs the next.
    fn write(&mut self, at: u64, audio: &[u8]) -> io::Result<()> {
        self.file.write_all_at(audio, WAV_HEADER_BYTES as u64 + at)?;
        self.set_length(at + audio.len() as u64)
    }

    fn set_length(&mut self, audio_bytes: u64) -> io::Result<()> {
        self.audio_bytes = self.audio_bytes.max(audio_bytes);
        self.file.set_len(WAV_HEADER_BYTES as u64 + self.audio_bytes)?;
        self.file.write_all_at(&wav_header(self.rate, self.audio_bytes), 0)
    }
}

fn write_all(mut orders: mpsc::Receiver<Order>) {
    let mut all: HashMap<Uuid, Open> = HashMap::new();
    while let Some(order) = orders.blocking_recv() {
        let failed = match order {
            Order::Open { id, path, rate, state } => match Open::create(&path, rate, Arc::clone(&state)) {
                Ok(open) => {
                    all.insert(id, open);
                    None
                }
                Err(error) => {
                    state.failed.store(true, Ordering::Relaxed);
                    Some((id, error))
                }
            },
            Order::Write { id, at, audio } => {
                let written = all.get_mut(&id).map(|open| open.write(at, &audio));
                written.and_then(Result::err).map(|error| (id, error))
            }
            Order::Close { id, at_end, closed } => {
                let ended = all.remove(&id).map(|mut open| {
                    open.set_length(at_end)?;
                    open.file.sync_all()
                });
                let _ = closed.send(());
                ended.and_then(Result::err).map(|error| (id, error))
            }
        };
        if let Some((id, error)) = failed {
            if let Some(open) = all.remove(&id) {
                open.state.failed.store(true, Ordering::Relaxed);
            }
            tracing::warn!(
                code = %Code::NotRecorded, session = %id, %error,
                "a voicebot's call is not recorded any more; the call goes on. See the directory and the disk"
            );
        }
    }
}

/// Removes recordings that are old enough, until the service stops.
pub async fn sweep(directory: Option<PathBuf>, kept: Duration, stopping: CancellationToken) {
    let Some(directory) = directory else { return };
    loop {
        let of = directory.clone();
        let swept = tokio::task::spawn_blocking(move || remove_old(&of, kept, SystemTime::now())).await;
        match swept {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(removed)) => tracing::info!(removed, "recordings of voicebots' calls are old enough"),
            Ok(Err(error)) => tracing::warn!(
                code = %Code::NotRemoved, %error,
                "old recordings of voicebots' calls cannot be removed; it is tried again"
            ),
        }
        tokio::select! {
            () = tokio::time::sleep(SWEEP_EVERY) => {}
            () = stopping.cancelled() => return,
        }
    }
}

/// Only what stands where recordings do, and is called as they are; never through a link.
fn remove_old(directory: &Path, kept: Duration, now: SystemTime) -> io::Result<usize> {
    let mut removed = 0;
    for day in folders(directory)?.iter().map(|account| folders(account)).collect::<io::Result<Vec<_>>>()?.concat() {
        for entry in std::fs::read_dir(&day)? {
            let entry = entry?;
            let (path, about) = (entry.path(), entry.metadata()?);
            let old = about.modified()?.checked_add(kept).is_some_and(|until| until <= now);
            if about.is_file() && path.extension().is_some_and(|kind| kind == EXTENSION) && old {
                std::fs::remove_file(&path)?;
                removed += 1;
            }
        }
        // Into a day that is over nothing is written any more. It fails where something is left, and that is right.
        if is_over(&day, now) {
            let _ = std::fs::remove_dir(&day);
        }
    }
    Ok(removed)
}

fn is_over(day: &Path, now: SystemTime) -> bool {
    let date = day.file_name().and_then(|name| name.to_str()?.parse::<jiff::civil::Date>().ok());
    let until = date.and_then(|date| date.checked_add(2.days()).ok()?.to_zoned(TimeZone::UTC).ok());
    until.is_some_and(|until| SystemTime::from(until.timestamp()) < now)
}

fn folders(of: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(of) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> (u32, usize) {
        let bytes = std::fs::read(path).expect("a file");
        assert_eq!(&bytes[36..40], b"data");
        let said = u32::from_le_bytes(bytes[40..44].try_into().expect("four"));
        (said, bytes.len() - WAV_HEADER_BYTES)
    }

    #[test]
    fn what_names_a_call_is_no_path() {
        let session = Uuid::from_u128(7);
        let at = "2026-01-15T23:30:00Z".parse().expect("a time");
        let simple = "00000000000000000000000000000007";
        assert_eq!(name("acme1", at, "27ba29be", session), format!("acme1/2026-01-15/27ba29be-{simple}.wav"));
        let hostile = name("../..", at, "/etc/pass\0wd\n😀..", session);
        assert_eq!(hostile, format!("_____/2026-01-15/_etc_pass_wd____-{simple}.wav"));
        assert!(name("a", at, &"x".repeat(5000), session).len() < 200);
    }

    #[tokio::test]
    async fn a_recording_is_whole_at_every_moment_and_a_lost_piece_is_silence() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a/2026-01-15/c.wav");
        let state = Arc::new(State::default());
        let mut open = Open::create(&path, Rate::Hz8000, state).expect("a file");
        assert_eq!(read(&path), (0, 0));
        open.write(0, &[1; 400]).expect("written");
        assert_eq!(read(&path), (400, 400));
        open.write(800, &[2; 400]).expect("written");
        assert_eq!(read(&path), (1200, 1200));
        assert!(std::fs::read(&path).expect("a file")[WAV_HEADER_BYTES + 400..][..400].iter().all(|byte| *byte == 0));
        assert!(Open::create(&path, Rate::Hz8000, Arc::default()).is_err(), "nobody's recording is overwritten");
    }

    #[tokio::test]
    async fn who_speaks_is_kept_until_the_end_and_what_the_disk_does_not_take_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let recorder = Recorder::default();
        let session = Uuid::from_u128(7);
        let mut recording =
            recorder.begin(directory.path(), "acme1", "c1", session, Rate::Hz8000).expect("a recording");
        recording.heard(&[1; 320]);
        recording.said(&[2; 320]);
        let path = directory.path().join(&recording.name);
        let (lost, close) = recording.finish();
        close.await;
        assert_eq!(lost, Lost { failed: false, audio: Duration::ZERO });
        let (said, held) = read(&path);
        assert_eq!(said as usize, held);

        // Where its directory would be is a file.
        std::fs::write(directory.path().join("acme2"), "").expect("written");
        let recording = recorder.begin(directory.path(), "acme2", "c1", session, Rate::Hz8000).expect("an attempt");
        let state = Arc::clone(&recording.state);
        recording.finish().1.await;
        assert!(state.failed.load(Ordering::Relaxed));
    }

    #[test]
    fn old_recordings_are_removed_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let day = directory.path().join("acme1/2024-01-15");
        std::fs::create_dir_all(&day).expect("made");
        for file in [day.join("a.wav"), day.join("notes.txt"), directory.path().join("b.wav")] {
            std::fs::write(file, "x").expect("written");
        }
        let month = Duration::from_secs(30 * 86_400);
        let sweep = |now| remove_old(directory.path(), month, now).expect("swept");
        assert_eq!(sweep(SystemTime::now()), 0);
        assert_eq!(sweep(SystemTime::now() + month + Duration::from_secs(60)), 1);
        assert!(!day.join("a.wav").exists() && day.join("notes.txt").exists());
        assert!(directory.path().join("b.wav").exists());
        std::fs::remove_file(day.join("notes.txt")).expect("removed");
        sweep(SystemTime::now() + month * 2);
        assert!(!day.exists());
        assert_eq!(remove_old(&directory.path().join("none"), month, SystemTime::now()).expect("nothing"), 0);
    }
}
