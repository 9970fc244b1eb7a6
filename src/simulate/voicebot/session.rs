//! One call as Exotel plays it: what is sent when, and what came back, without a socket. It is told the time, so that
//! the whole kit is tried against bots of any kind in no time at all.

use std::{collections::VecDeque, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use patchbay_voice::{Rate, far::FarSide};

use super::{
    hear::{Said, What},
    sound::{FRAME_MS, Sound},
    words::{Caller, Shape, Words},
};

const FRAME: Duration = Duration::from_millis(FRAME_MS);
/// After so much quiet a bot has said what it had to say.
const PAUSE: Duration = Duration::from_millis(600);
/// How long a ping or a close may go unanswered.
pub(super) const ANSWER: Duration = Duration::from_secs(2);
/// A longer gap is a pause between sentences, a shorter one than a packet is nobody's fault.
const STUTTER: [Duration; 2] = [FRAME, Duration::from_millis(400)];

/// What is done next in a call. Whatever takes time is filled with audio: Exotel sends a quiet line, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Quiet(Duration),
    Speak(Duration),
    /// Until the bot is heard, for so long.
    Listen(Duration),
    /// If it has never been heard, it is spoken to, and listened to.
    Ask(Duration),
    /// Until it has said what it had to say, for so long.
    LetFinish(Duration),
    Moment(Moment),
    /// Media of so many bytes, whatever that is in milliseconds.
    Odd(usize),
    Dtmf(char),
    FlatDtmf(char),
    UnheardOf,
    /// Nothing for so long, and then everything at once.
    Stall(Duration),
    /// Waits for the answer, so long as [`ANSWER`].
    Ping,
    Stop,
    Close,
}

/// A place in a call that a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// What the call is made for happens from now on.
    Tried,
    /// The caller begins to speak over the bot.
    BargeIn,
}

/// How a call is to go.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) caller: Caller,
    pub(super) shape: Shape,
    pub(super) rate: Rate,
    pub(super) steps: Vec<Step>,
    /// Whether everything that is heard is kept, or counted only.
    pub(super) keep: bool,
}

/// What is to be done on the socket.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Act {
    Text(String),
    Ping,
    /// With 1000.
    Close,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The server closed it, with this code.
    ByServer(Option<u16>),
    /// We did, and it answered.
    ByUs,
    /// We did, and it did not.
    Unanswered,
    /// The connection was gone, without a word.
    Cut(String),
    /// What came was no WebSocket.
    Broken(String),
    /// It takes nothing any more.
    Stuck,
}

/// What came of one call.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) rate: Rate,
    pub(super) began: Duration,
    pub(super) said: Vec<(Duration, Said)>,
    pub(super) messages: u64,
    pub(super) media_bytes: u64,
    pub(super) frames_sent: u64,
    pub(super) first_heard: Option<Duration>,
    /// When the caller first began to speak.
    pub(super) asked: Option<Duration>,
    /// Whether the bot was heard after that.
    pub(super) answered: bool,
    /// The most that was ever unplayed.
    pub(super) most_ahead: Duration,
    /// How often there was nothing to play for a moment, in the middle of speaking.
    pub(super) stutters: u64,
    pub(super) tried: Option<Duration>,
    pub(super) barge_in: Option<BargeIn>,
    pub(super) pinged: bool,
    pub(super) ponged: bool,
    pub(super) stopped: Option<Duration>,
    pub(super) closed: Option<Duration>,
    pub(super) end: Option<(Duration, End)>,
    /// What had not been played when it ended.
    pub(super) unplayed: Duration,
    /// The most that a frame of ours was late.
    pub(super) lateness: Duration,
}

/// The bot is spoken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BargeIn {
    pub(super) at: Duration,
    /// Whether it was speaking.
    pub(super) speaking: bool,
    /// When it first said `clear` after that, and how much that took away.
    pub(super) cleared: Option<(Duration, Duration)>,
    /// Until when it would have been heard, by what it had sent without a clear.
    pub(super) spoke_until: Duration,
}

impl Record {
    pub(super) fn spoke(&self) -> bool {
        self.first_heard.is_some()
    }

    /// Whether the server ended the call before Exotel would have.
    pub(super) fn ended_by_itself(&self) -> Option<(Duration, &End)> {
        let (at, end) = self.end.as_ref()?;
        (self.stopped.is_none() && self.closed.is_none()).then_some((*at, end))
    }
}

/// A call that goes on.
pub(super) struct Session {
    words: Words,
    sound: Sound,
    keep: bool,
    steps: VecDeque<Step>,
    /// What goes out before anything else.
    waiting: VecDeque<String>,
    /// When the step that is first began.
    since: Duration,
    /// When the next frame is due.
    next_frame: Duration,
    /// Of frames that a stall kept back.
    backlog: u64,
    frame: u64,
    far: FarSide,
    /// Until when the bot is heard, as far as it has sent anything.
    loud_until: Duration,
    last_loud: Option<Duration>,
    pinged: Option<Duration>,
    /// After `stop`, nothing is said.
    silent: bool,
    record: Record,
}

impl Session {
    /// `now` is when the connection was there.
    pub(super) fn new(plan: Plan, sound: Sound, now: Duration) -> Self {
        let Plan { caller, shape, rate, steps, keep } = plan;
        Self {
            words: Words::new(caller, shape, rate),
            sound,
            keep,
            steps: steps.into(),
            waiting: VecDeque::new(),
            since: now,
            next_frame: now,
            backlog: 0,
            frame: 0,
            far: FarSide::new(rate),
            loud_until: Duration::ZERO,
            last_loud: None,
            pinged: None,
            silent: false,
            record: Record {
                rate,
                began: now,
                said: Vec::new(),
                messages: 0,
                media_bytes: 0,
                frames_sent: 0,
                first_heard: None,
                asked: None,
                answered: false,
                most_ahead: Duration::ZERO,
                stutters: 0,
                tried: None,
                barge_in: None,
                pinged: false,
                ponged: false,
                stopped: None,
                closed: None,
                end: None,
                unplayed: Duration::ZERO,
                lateness: Duration::ZERO,
            },
        }
    }

    pub(super) fn stream_sid(&self) -> &str {
        self.words.stream_sid()
    }

    /// What opens every stream, at once.
    pub(super) fn opening(&mut self, now: Duration) -> [String; 2] {
        (self.since, self.next_frame) = (now, now);
        [Words::connected(), self.words.start()]
    }

    /// What is to be done now: asked until there is nothing.
    pub(super) fn poll(&mut self, now: Duration) -> Option<Act> {
        if self.over() {
            return None;
        }
        if let Some(text) = self.waiting.pop_front() {
            return Some(Act::Text(text));
        }
        if let Some(name) = self.far.poll(now)
            && !self.silent
        {
            return Some(Act::Text(self.words.mark(&name)));
        }
        if self.backlog > 0 {
            self.backlog -= 1;
            return Some(self.frame(false));
        }
        loop {
            let step = self.steps.front()?.clone();
            let passed = now.saturating_sub(self.since);
            match step {
                Step::Quiet(long) if passed < long => return self.paced(now, false),
                Step::Speak(long) if passed < long => {
                    self.record.asked.get_or_insert(now);
                    return self.paced(now, true);
                }
                Step::Listen(long) if passed < long && self.last_loud.is_none_or(|at| at < self.since) => {
                    return self.paced(now, false);
                }
                Step::LetFinish(long) if passed < long && now < self.quiet_from() => return self.paced(now, false),
                Step::Stall(long) => {
                    if passed < long {
                        return None;
                    }
                    self.done(now);
                    self.backlog = (long.as_millis() / FRAME.as_millis()) as u64;
                    self.next_frame = now;
                    return self.poll(now);
                }
                Step::Ping => match self.pinged {
                    None => {
                        self.pinged = Some(now);
                        self.record.pinged = true;
                        return Some(Act::Ping);
                    }
                    Some(at) if !self.record.ponged && now < at + ANSWER => return self.paced(now, false),
                    Some(_) => self.pinged = None,
                },
                Step::Quiet(_) | Step::Speak(_) | Step::Listen(_) | Step::LetFinish(_) => {}
                Step::Ask(long) => {
                    if !self.record.spoke() {
                        self.done(now);
                        self.steps.push_front(Step::Listen(long));
                        self.steps.push_front(Step::Speak(Duration::from_millis(1200)));
                        continue;
                    }
                }
                Step::Moment(Moment::Tried) => self.record.tried = Some(now),
                Step::Moment(Moment::BargeIn) => {
                    let (speaking, spoke_until) = (now < self.loud_until, self.loud_until);
                    self.record.barge_in = Some(BargeIn { at: now, speaking, cleared: None, spoke_until });
                }
                Step::Odd(bytes) => {
                    self.done(now);
                    let payload = STANDARD.encode(vec![0; bytes]);
                    return Some(Act::Text(self.words.media(&payload, self.frame * FRAME_MS)));
                }
                Step::Dtmf(digit) => {
                    self.done(now);
                    return Some(Act::Text(self.words.dtmf(digit)));
                }
                Step::FlatDtmf(digit) => {
                    self.done(now);
                    return Some(Act::Text(Words::flat_dtmf(digit)));
                }
                Step::UnheardOf => {
                    self.done(now);
                    self.waiting.extend(self.words.unheard_of());
                    return self.poll(now);
                }
                Step::Stop => {
                    self.done(now);
                    self.silent = true;
                    self.record.stopped = Some(now);
                    return Some(Act::Text(self.words.stop("callended")));
                }
                Step::Close => {
                    match self.record.closed {
                        None => {
                            self.record.closed = Some(now);
                            return Some(Act::Close);
                        }
                        Some(at) if now >= at + ANSWER => self.ended(now, End::Unanswered),
                        Some(_) => {}
                    }
                    return None;
                }
            }
            self.done(now);
        }
    }

    /// When to ask again, if nothing happens before.
    pub(super) fn next_due(&self) -> Option<Duration> {
        let step = match self.steps.front()? {
            Step::Stall(long) => self.since + *long,
            Step::Close => self.record.closed? + ANSWER,
            _ => self.next_frame,
        };
        Some(self.far.next_due().map_or(step, |mark| mark.min(step)))
    }

    /// The bot said something.
    pub(super) fn heard(&mut self, now: Duration, said: Said) {
        self.record.messages += 1;
        match &said.what {
            What::Media { bytes, loud } => {
                self.record.media_bytes += *bytes as u64;
                let arrival = self.far.media(now, *bytes as u64);
                let [shortest, longest] = STUTTER;
                let stutter = arrival.dry.is_some_and(|dry| (shortest..longest).contains(&dry));
                // Between two utterances a gap is none; a stream of silence has none that is heard.
                self.record.stutters += u64::from(stutter && *loud);
                self.record.most_ahead = self.record.most_ahead.max(arrival.ahead);
                if *loud {
                    self.last_loud = Some(now);
                    self.record.first_heard.get_or_insert(now);
                    self.record.answered |= self.record.asked.is_some();
                    self.loud_until = now + arrival.ahead;
                    if let Some(barge_in) = &mut self.record.barge_in
                        && barge_in.cleared.is_none()
                    {
                        barge_in.spoke_until = self.loud_until;
                    }
                }
            }
            What::Mark(name) => self.far.mark(now, name.as_deref().unwrap_or_default()),
            What::Clear => {
                let dropped = self.far.clear(now);
                self.loud_until = self.loud_until.min(now + self.far.ahead(now));
                if let Some(barge_in) = &mut self.record.barge_in {
                    barge_in.cleared.get_or_insert((now, dropped));
                }
            }
            What::Other => {}
        }
        if self.keep {
            self.record.said.push((now, said));
        }
    }

    pub(super) fn ponged(&mut self) {
        self.record.ponged |= self.record.pinged;
    }

    /// The connection is gone, or is of no use any more.
    pub(super) fn ended(&mut self, now: Duration, end: End) {
        if self.record.end.is_none() {
            self.record.unplayed = self.far.ahead(now);
            self.record.end = Some((now, end));
        }
    }

    /// Whether we have closed it.
    pub(super) fn closed(&self) -> bool {
        self.record.closed.is_some()
    }

    pub(super) fn over(&self) -> bool {
        self.record.end.is_some()
    }

    pub(super) fn record(self) -> Record {
        self.record
    }

    fn done(&mut self, now: Duration) {
        self.steps.pop_front();
        self.since = now;
    }

    /// From when on the bot has nothing more to say.
    fn quiet_from(&self) -> Duration {
        self.last_loud.map_or(Duration::ZERO, |at| self.loud_until.max(at) + PAUSE)
    }

    /// A frame, if one is due. After `stop` time passes, and nothing else.
    fn paced(&mut self, now: Duration, speaks: bool) -> Option<Act> {
        if now < self.next_frame {
            return None;
        }
        if self.silent {
            self.next_frame = now + FRAME;
            return None;
        }
        self.record.lateness = self.record.lateness.max(now - self.next_frame);
        self.next_frame += FRAME;
        Some(self.frame(speaks))
    }

    fn frame(&mut self, speaks: bool) -> Act {
        let ms = self.frame * FRAME_MS;
        let text = self.words.media(self.sound.frame(speaks, self.frame), ms);
        self.frame += 1;
        self.record.frames_sent += 1;
        Act::Text(text)
    }
}
