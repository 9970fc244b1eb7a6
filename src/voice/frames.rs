//! The caller's frames while a server that takes them unchanged cannot: what the voice crate's `Inbound` does with audio,
//! for whole frames. Audio that is too old goes; what is said once (start, keys, marks) stays.

use std::{collections::VecDeque, time::Duration};

use patchbay_voice::inbound::Keep;

use super::line::Message;

pub(super) struct Frames {
    keep: Keep,
    waiting: VecDeque<(Message, Duration)>,
    audio: Duration,
    /// Whether what came early has been taken.
    live: bool,
    dropped: Duration,
}

impl Frames {
    pub(super) fn new(keep: Keep) -> Self {
        Self { keep, waiting: VecDeque::new(), audio: Duration::ZERO, live: false, dropped: Duration::ZERO }
    }

    /// `audio`: how much is in it. After whatever was read without waiting has been pushed, the rest is taken.
    pub(super) fn push(&mut self, frame: Message, audio: Duration) {
        self.audio += audio;
        self.waiting.push_back((frame, audio));
        let Keep { early_ms, backlog_ms, fresh_ms } = self.keep;
        let (limit, left) = if self.live { (backlog_ms, fresh_ms.min(backlog_ms)) } else { (early_ms, early_ms) };
        if self.audio > Duration::from_millis(limit) {
            let left = Duration::from_millis(left);
            let (held, dropped) = (&mut self.audio, &mut self.dropped);
            self.waiting.retain(|(_, audio)| {
                let goes = *held > left && !audio.is_zero();
                if goes {
                    *held -= *audio;
                    *dropped += *audio;
                }
                !goes
            });
        }
    }

    pub(super) fn take(&mut self) -> Option<Message> {
        let Some((frame, audio)) = self.waiting.pop_front() else {
            self.live = true;
            // A call that was kept waiting does not keep the room for it.
            self.waiting.shrink_to(16);
            return None;
        };
        self.audio -= audio;
        Some(frame)
    }

    pub(super) fn dropped(&self) -> Duration {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(20);

    fn taken(frames: &mut Frames) -> Vec<String> {
        let mut taken = Vec::new();
        while let Some(frame) = frames.take() {
            taken.push(String::from_utf8_lossy(frame.bytes()).into_owned());
        }
        taken
    }

    #[test]
    fn what_came_early_is_kept_whole_and_a_later_backlog_collapses_around_what_is_said_once() {
        let mut frames = Frames::new(Keep { early_ms: 100, backlog_ms: 60, fresh_ms: 40 });
        let text = |text: &str| Message::Text(text.to_owned().into());
        frames.push(text("start"), Duration::ZERO);
        for number in 0..6 {
            frames.push(text(&number.to_string()), FRAME);
        }
        assert_eq!(taken(&mut frames), ["start", "1", "2", "3", "4", "5"], "100 ms of it");
        assert_eq!(frames.dropped(), FRAME);
        for number in 0..3 {
            frames.push(text(&number.to_string()), FRAME);
        }
        frames.push(text("key"), Duration::ZERO);
        frames.push(text("3"), FRAME);
        assert_eq!(taken(&mut frames), ["2", "key", "3"], "the newest 40 ms, and the key");
        assert_eq!(frames.dropped(), FRAME * 3);
    }
}
