//! One call, from its `start` to its end: what the caller says goes to the backend, what the backend says goes to him at
//! the pace that the ear has. One task owns both connections, so all that it waits for stands in this one file; what it
//! does about each has a module of its own.

use std::{future::poll_fn, pin::pin, time::Duration};

use actix_web::web::Data;
use bytestring::ByteString;
use futures_util::{
    FutureExt,
    future::{LocalBoxFuture, OptionFuture},
};
use patchbay_voice::{
    Frame, Limits, Rate, Reader, Start,
    backend::{Brief, Heard, Says, ToolCall},
    exotel,
    inbound::{Inbound, Keep},
    outbound::{Cleared, Due, Echo, Outbound, Pace, Pushed},
};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{
    backend::{self, Backend, Form, Wants},
    brief::gather,
    call::{Call, For},
    elsewhere,
    frames::Frames,
    line::{Came, Gone, Line, Message},
    recorder::Recording,
    sessions::{NoPlace, Place, Waiting},
    story::{self, End, Story},
    tools::{self, Tools},
};
use crate::{
    app::Services,
    config::Voicebot,
    directory::{Bot, Entry},
    store::CallRef,
};

/// Until `start` must have come: Exotel sends it within a second (KS).
const START: Duration = Duration::from_secs(10);
/// Frames before it that are kept: there is one.
const EARLY: usize = 16;
/// What is taken of one side before the other has its turn.
const TURN: usize = 1000;
/// Of the drain timeout, what a polite end needs: a mark that comes back, or does not.
const FAREWELL: Duration = Duration::from_secs(3);
/// What is left unsaid when the service stops rather than waited for.
const LONG: Duration = Duration::from_secs(1);
/// How long a backend may take to be let go.
const LET_GO: Duration = Duration::from_secs(1);

/// What a bot that leaves may still be saying: so long after the last of it, and so long in all.
const STILL: Duration = Duration::from_secs(2);
const LEAVING: Duration = Duration::from_secs(15);

/// How a session ended, and why, where there is more to say.
type Over = (End, Option<String>);

/// The whole of a connection, from its handshake on.
pub(super) async fn run(services: Data<Services>, whom: For, waiting: Waiting, mut line: Line) {
    let mut reader = Reader::exotel(Limits::DEFAULT);
    let mut early = Vec::new();
    let started = tokio::select! {
        started = tokio::time::timeout(START, started(&mut line, &mut reader, &mut early)) => {
            started.unwrap_or(Err(End::NeverStarted))
        }
        () = services.stopping.cancelled() => Err(End::Stopping),
    };
    let start = match started {
        Ok(start) => start,
        Err(end) => {
            story::count(&services, "none", end);
            tracing::debug!(end = end.as_str(), "a voicebot's connection ended before a call had started on it");
            return line.close(CloseCode::Normal, "no call has started").await;
        }
    };
    let account = whom.account(&start);
    let Some(mut call) = Call::of(&services, &account, &start) else {
        story::count(&services, "none", End::NeverStarted);
        tracing::warn!(account, "Exotel has started a stream without saying of which call");
        return line.close(CloseCode::Normal, "no call is named").await;
    };
    let placed = whom.placed(&services, &call).await;
    call.add(placed.as_ref());
    let bot = whom.bot(&services, &account, &start, placed.as_ref());
    let mut story = Story::of(&services, waiting.session, &call, bot.as_ref().ok());
    let bot = match bot {
        Ok(bot) => bot,
        Err(why) => {
            story.end(End::NoBot, Some(why));
            return line.close(CloseCode::Normal, "there is no bot for this call").await;
        }
    };
    let of = CallRef { account, call_sid: call.call_sid.clone() };
    let place = match services.sessions.take(&of, story.session(), &bot.id, &services.config.voicebot) {
        Ok(place) => place,
        Err(NoPlace::Full) => {
            story.end(End::Full, Some("there are as many sessions as there may be ([voicebot])".to_owned()));
            return line.close(CloseCode::Again, "there are too many sessions").await;
        }
        Err(NoPlace::Replaced) => {
            story.end(End::Replaced, None);
            return line.close(CloseCode::Normal, "a newer connection has this call").await;
        }
    };
    drop(waiting);
    elsewhere::tell(&services, &of, story.session());
    let backend = match backend::open(&services, &bot.profile, &call) {
        Ok(backend) => backend,
        Err(why) => {
            story.end(End::NoBot, Some(why));
            return line.close(CloseCode::Normal, "this bot cannot answer").await;
        }
    };
    let recording = record(&services, &bot, &call, &mut story);
    story.begin();
    let brief = call.brief(&services);
    let tools = Tools::of(&services, &call, &bot.id, &bot.profile);
    let mut session = Session::of(&services, &call, line, reader, backend, tools, story);
    session.recording = recording;
    if session.form == Form::Frames {
        for frame in early {
            session.frames.push(frame, Duration::ZERO);
        }
    }
    if session.backend.waits_for_brief() {
        let (account, customer) = (call.account.clone(), call.customer.clone());
        session.gathering = Some(gather(services.clone(), account, customer, brief).boxed_local());
    } else {
        session.backend.begin(brief);
    }
    session.run(place).await;
}

/// The recording of a call, where its bot has one.
fn record(services: &Services, bot: &Entry<Bot>, call: &Call, story: &mut Story) -> Option<Recording> {
    if !bot.profile.record {
        return None;
    }
    let Some(directory) = &services.config.voicebot.recordings else {
        tracing::warn!(bot = bot.id, "this bot is to be recorded, and [voicebot] recordings names no directory");
        return None;
    };
    let recorder = &services.sessions.recorder;
    let recording = recorder.begin(directory, &call.account, &call.call_sid, story.session(), call.rate)?;
    story.recorded(Some(recording.name.clone()));
    Some(recording)
}

/// Reads up to `start`. What came before it, and it itself, is kept for a backend that wants frames.
async fn started(line: &mut Line, reader: &mut Reader, early: &mut Vec<Message>) -> Result<Box<Start>, End> {
    let mut pcm = Vec::new();
    loop {
        match line.next().await {
            Came::Frame(frame) => {
                let read = reader.read(frame.bytes(), &mut pcm);
                pcm.clear();
                if early.len() < EARLY || matches!(read, Ok(Frame::Start(_))) {
                    early.push(frame);
                }
                match read {
                    Ok(Frame::Start(start)) => return Ok(start),
                    Ok(Frame::Stop(_)) => return Err(End::Stopped),
                    Ok(_) | Err(_) => {}
                }
            }
            Came::Life => {}
            Came::Closed => return Err(End::Closed),
            Came::Broken(_) => return Err(End::Broken),
        }
    }
}

/// How audio goes out, as it is configured.
fn pace(voicebot: &Voicebot, rate: Rate) -> Pace {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let Voicebot { frame, ahead, strict_frames: strict, queue, .. } = *voicebot;
    Pace {
        frame_ms: ms(frame),
        ahead_ms: ms(ahead),
        burst_ms: ms(ahead),
        strict,
        queue_ms: ms(queue),
        ..Pace::of(rate)
    }
}

struct Session {
    services: Data<Services>,
    rate: Rate,
    /// All times of the voice crate are since then.
    began: Instant,
    line: Line,
    backend: Box<dyn Backend>,
    form: Form,
    /// Who calls is being found out; the backend connects meanwhile.
    gathering: Option<LocalBoxFuture<'static, Brief>>,
    /// Of Exotel's frames, and of those of a backend that has frames.
    reader: Reader,
    of_backend: Reader,
    writer: exotel::Writer,
    out: Outbound,
    inbound: Inbound,
    frames: Frames,
    pcm: Vec<u8>,
    printed: Vec<u8>,
    recording: Option<Recording>,
    /// The last sign of life from Exotel.
    alive_at: Instant,
    ping_at: Instant,
    /// When the end must be begun because the service stops.
    stop_at: Option<Instant>,
    tools: Tools,
    /// The bot has done its part, and may still be saying its last words.
    leaving: Option<Leaving>,
    /// It ends, politely: as this.
    ending: Option<Over>,
    story: Story,
}

/// It ends as this, once the bot has said what it was saying.
struct Leaving {
    over: Over,
    /// If nothing more of it comes.
    quiet_at: Instant,
    at_most: Instant,
}

impl Session {
    fn of(
        services: &Data<Services>,
        call: &Call,
        line: Line,
        reader: Reader,
        backend: Box<dyn Backend>,
        tools: Tools,
        story: Story,
    ) -> Self {
        let now = Instant::now();
        let voicebot = &services.config.voicebot;
        let style = exotel::Style {
            stream_sid: call.stream_sid.clone(),
            law: call.law,
            rate: call.rate,
            numbered: voicebot.numbered_frames,
        };
        Self {
            services: services.clone(),
            rate: call.rate,
            began: now,
            line,
            form: backend.form(),
            backend,
            gathering: None,
            reader,
            of_backend: Reader::exotel(Limits::DEFAULT),
            writer: exotel::Writer::new(&style),
            out: Outbound::new(&pace(voicebot, call.rate)),
            inbound: Inbound::new(call.rate, Keep::DEFAULT),
            frames: Frames::new(Keep::DEFAULT),
            pcm: Vec::new(),
            printed: Vec::new(),
            recording: None,
            alive_at: now,
            ping_at: now + voicebot.silence / 3,
            stop_at: None,
            tools,
            leaving: None,
            ending: None,
            story,
        }
    }

    async fn run(mut self, place: Place) {
        let Err((end, told)) = self.talk(&place).await;
        let Self { services, line, mut backend, mut story, mut out, inbound, frames, began, recording, .. } = self;
        backend.hear(Heard::Cleared { heard: out.clear(began.elapsed()).heard });
        for says in backend.rest() {
            if let Says::Said(said) = says {
                story.talk.said(began.elapsed(), said);
            }
        }
        story.tally.underruns = out.underruns();
        story.tally.dropped = inbound.dropped() + frames.dropped();
        if let Some(recording) = recording {
            let (lost, close) = recording.finish();
            story.tally.recording_lost = lost.audio;
            if lost.failed {
                story.recorded(None);
            }
            services.sessions.tell(close);
        }
        story.end(end, told);
        drop(place);
        let why = match end {
            End::BotDone => "the bot is done",
            End::HandedOver => "the bot hands over",
            End::BackendFailed => "the backend failed",
            End::Replaced => "a newer connection has this call",
            End::Stopping => "the service stops",
            _ => "",
        };
        // Whatever it was, the flow is to go on: this is the one code of which that is documented.
        let let_go = tokio::time::timeout(LET_GO, poll_fn(|cx| backend.poll_close(cx)));
        let _ = tokio::join!(line.close(CloseCode::Normal, why), let_go);
    }

    async fn talk(&mut self, place: &Place) -> Result<std::convert::Infallible, Over> {
        let services = self.services.clone();
        // All of these are waited for as one for the whole of the call: to begin anew with every frame costs more than
        // the frame.
        let mut replaced = pin!(place.replaced.cancelled());
        let mut hung_up = pin!(place.ended.cancelled());
        let mut stopping = pin!(services.stopping.cancelled());
        let mut clock = pin!(tokio::time::sleep_until(self.ping_at));
        loop {
            self.on_time()?;
            self.pass_on();
            for _ in 0..TURN {
                let Some(wants) = poll_fn(|cx| self.backend.poll(cx)).now_or_never() else { break };
                self.wants(wants).await?;
                self.pass_on();
            }
            self.send_due().await?;
            let wake = self.wake();
            if clock.deadline() != wake {
                clock.as_mut().reset(wake);
            }
            let Self { line, backend, gathering, tools, .. } = self;
            tokio::select! {
                biased;
                () = &mut replaced => return Err((End::Replaced, None)),
                () = &mut hung_up, if self.ending.is_none() => {
                    self.goodbye(End::BotDone, Some("it was hung up by the API".to_owned()))?;
                }
                () = &mut stopping, if self.stop_at.is_none() => {
                    let drain = services.config.server.drain_timeout;
                    self.stop_at = Some(Instant::now() + drain - FAREWELL.min(drain / 2));
                }
                Some(brief) = OptionFuture::from(gathering.as_mut()) => {
                    self.gathering = None;
                    self.story.briefed();
                    self.backend.begin(brief);
                }
                came = line.next() => {
                    self.came(came)?;
                    // A burst is seen as one: Exotel sends what was not read for a while all at once (KS).
                    for _ in 0..TURN {
                        let Some(came) = self.line.at_once() else { break };
                        self.came(came)?;
                    }
                }
                wants = poll_fn(|cx| backend.poll(cx)) => self.wants(wants).await?,
                (name, came) = poll_fn(|cx| tools.poll(cx)) => self.tool_came(&name, came),
                () = &mut clock => {}
            }
        }
    }

    /// What a clock alone decides.
    fn on_time(&mut self) -> Result<(), Over> {
        let now = Instant::now();
        let silence = self.services.config.voicebot.silence;
        if self.stop_at.is_some_and(|at| at <= now) {
            if self.out.queued() > LONG {
                self.clear();
            }
            self.goodbye(End::Stopping, None)?;
        }
        if self.leaving.as_ref().is_some_and(|leaving| leaving.quiet_at.min(leaving.at_most) <= now) {
            self.leave()?;
        }
        if self.story.talk.due().is_some_and(|due| due <= self.began.elapsed()) {
            self.story.tell();
        }
        if self.alive_at + silence <= now {
            return Err((End::Silent, None));
        }
        if self.ping_at <= now {
            self.line.ping();
            self.ping_at = now + silence / 3;
        }
        Ok(())
    }

    /// When there is something to do if nothing happens before.
    fn wake(&self) -> Instant {
        let silent = self.alive_at + self.services.config.voicebot.silence;
        let due = self.out.next_due().map(|due| self.began + due);
        let stop = self.stop_at.filter(|_| self.ending.is_none());
        let tell = self.story.talk.due().map(|due| self.began + due);
        let leaving = self.leaving.as_ref().map(|leaving| leaving.quiet_at.min(leaving.at_most));
        [Some(silent), Some(self.ping_at), due, stop, tell, leaving].into_iter().flatten().min().unwrap_or(silent)
    }

    fn came(&mut self, came: Came) -> Result<(), Over> {
        let frame = match came {
            Came::Frame(frame) => frame,
            Came::Life => {
                self.alive_at = Instant::now();
                return Ok(());
            }
            Came::Closed => return Err((End::Closed, None)),
            Came::Broken(why) => return Err((End::Broken, Some(why))),
        };
        self.alive_at = Instant::now();
        self.pcm.clear();
        let read = self.reader.read(frame.bytes(), &mut self.pcm);
        let audio = self.rate.duration(self.pcm.len() as u64);
        self.story.tally.heard += audio;
        if let Some(recording) = &mut self.recording {
            recording.heard(&self.pcm);
        }
        match self.form {
            // What we cannot read, whoever it is for may.
            Form::Frames => self.frames.push(frame, audio),
            Form::Audio => {
                if self.backend.away() {
                    self.inbound.away();
                }
                self.inbound.push(&self.pcm);
            }
        }
        match read {
            Ok(Frame::Dtmf(key)) if self.form == Form::Audio => {
                self.pass_on();
                self.backend.hear(Heard::Dtmf(&key));
            }
            Ok(Frame::Mark { name }) if self.form == Form::Audio => {
                if let Echo::Played(names) = self.out.echoed(self.began.elapsed(), &name) {
                    names.iter().for_each(|name| self.backend.hear(Heard::Mark(name)));
                }
            }
            Ok(Frame::Stop(stop)) => {
                self.pass_on();
                return Err((End::Stopped, stop.reason));
            }
            Ok(Frame::Unknown { event }) => tracing::debug!(event, "Exotel sends a frame that nobody has told us of"),
            Ok(_) => {}
            Err(error) => {
                self.story.tally.unreadable += 1;
                tracing::debug!(%error, "a frame of Exotel's cannot be read");
            }
        }
        Ok(())
    }

    /// What the caller said, as far as the backend takes it.
    fn pass_on(&mut self) {
        let Self { backend, inbound, frames, form, .. } = self;
        if !backend.takes() {
            return;
        }
        match form {
            Form::Audio => {
                inbound.ready();
                while backend.takes()
                    && let Some(pcm) = inbound.take(20)
                {
                    backend.hear(Heard::Audio(pcm));
                }
            }
            Form::Frames => {
                while backend.takes()
                    && let Some(frame) = frames.take()
                {
                    backend.frame(frame);
                }
            }
        }
    }

    async fn wants(&mut self, wants: Wants) -> Result<(), Over> {
        match wants {
            Wants::More => Ok(()),
            Wants::Frame(frame) => {
                self.pcm.clear();
                match self.of_backend.read(frame.bytes(), &mut self.pcm) {
                    Ok(Frame::Media(_)) => {
                        self.said(self.rate.duration(self.pcm.len() as u64));
                        if let Some(recording) = &mut self.recording {
                            recording.said(&self.pcm);
                        }
                    }
                    Ok(Frame::Clear) => {
                        self.story.tally.barge_ins += 1;
                        self.not_heard();
                    }
                    Ok(_) | Err(_) => {}
                }
                self.send(frame).await
            }
            Wants::That(says) => self.says(says).await,
        }
    }

    async fn says(&mut self, says: Says) -> Result<(), Over> {
        match says {
            Says::Audio(pcm) => {
                self.story.answers(self.began.elapsed());
                if let Some(leaving) = &mut self.leaving {
                    leaving.quiet_at = Instant::now() + STILL;
                }
                let epoch = self.out.epoch();
                if let Pushed::Taken(bytes) = self.out.push(self.began.elapsed(), epoch, &pcm)
                    && bytes < pcm.len()
                {
                    tracing::debug!(lost_bytes = pcm.len() - bytes, "a bot says more than may wait to be heard");
                }
            }
            Says::Finished => {
                self.out.finish();
                self.leave()?;
            }
            Says::Mark(name) => {
                if !self.out.mark(name.clone()) {
                    self.backend.hear(Heard::Mark(&name));
                }
            }
            Says::Clear => {
                self.story.tally.barge_ins += 1;
                if self.clear() {
                    self.not_heard();
                    self.writer.clear(&mut self.printed);
                    self.send_printed().await?;
                }
                // Who interrupts its last words does not wait for the others.
                self.leave()?;
            }
            Says::CallerDone => self.story.caller_done(self.began.elapsed()),
            Says::Said(said) => self.story.talk.said(self.began.elapsed(), said),
            Says::Withdrawn(id) => self.tools.withdraw(&id),
            Says::Calls(call) => self.calls(call),
            Says::Done => {
                self.leave()?;
                self.goodbye(End::BotDone, None)?;
            }
            Says::Failed(why) => {
                self.leave()?;
                self.goodbye(End::BackendFailed, Some(why))?;
            }
        }
        Ok(())
    }

    fn calls(&mut self, call: ToolCall) {
        let name = call.name.clone();
        let came = match &self.leaving {
            // What it wants beside its last wish would not be heard.
            Some(_) => Some(tools::Came::too_late(call)),
            None => self.tools.begin(call, &mut self.story),
        };
        if came.is_some() {
            return self.tool_came(&name, came);
        }
        // What waits for nobody has an answer before the bot's next word.
        let tools = &mut self.tools;
        if let Some((name, came)) = poll_fn(|cx| tools.poll(cx)).now_or_never() {
            self.tool_came(&name, came);
        }
    }

    /// What came of a tool; nothing of one that was withdrawn.
    fn tool_came(&mut self, name: &str, came: Option<tools::Came>) {
        let Some(came) = came else { return self.story.used(name, "withdrawn", Duration::ZERO) };
        let tools::Came { answer, leaves, handed_over, took } = came;
        self.story.used(name, if answer.failed { "failed" } else { "done" }, took);
        if let Some(hand_over) = handed_over {
            self.story.handed_over(hand_over);
        }
        if let Some(over) = leaves.filter(|_| self.leaving.is_none()) {
            let now = Instant::now();
            self.leaving = Some(Leaving { over, quiet_at: now + STILL, at_most: now + LEAVING });
        }
        self.backend.hear(Heard::Answered(&answer));
    }

    /// The bot has done its part, and said what it was saying.
    fn leave(&mut self) -> Result<(), Over> {
        match self.leaving.take() {
            Some(Leaving { over: (end, told), .. }) => self.goodbye(end, told),
            None => Ok(()),
        }
    }

    /// Nothing of what waits is wanted. Whether Exotel has some of it.
    fn clear(&mut self) -> bool {
        let Cleared { marks, heard, tell, .. } = self.out.clear(self.began.elapsed());
        marks.iter().for_each(|name| self.backend.hear(Heard::Mark(name)));
        self.backend.hear(Heard::Cleared { heard });
        tell
    }

    /// It ends when what was said has been heard. Of a backend that has frames nobody knows that but itself: at once.
    fn goodbye(&mut self, end: End, told: Option<String>) -> Result<(), Over> {
        if self.form == Form::Frames {
            return Err((end, told));
        }
        if self.ending.is_none() {
            self.ending = Some((end, told));
            self.out.hang_up();
        }
        Ok(())
    }

    async fn send_due(&mut self) -> Result<(), Over> {
        loop {
            let now = self.began.elapsed();
            let said = match self.out.poll(now) {
                None => return Ok(()),
                Some(Due::Media(pcm)) => {
                    self.writer.media(pcm, &mut self.printed);
                    if let Some(recording) = &mut self.recording {
                        recording.said(pcm);
                    }
                    self.rate.duration(pcm.len() as u64)
                }
                Some(Due::Mark(name)) => {
                    self.writer.mark(name, &mut self.printed);
                    Duration::ZERO
                }
                Some(Due::Close) => return Err(self.ending.take().unwrap_or((End::BotDone, None))),
            };
            self.said(said);
            self.send_printed().await?;
        }
    }

    /// Exotel is told to drop what it has not played.
    fn not_heard(&mut self) {
        if let Some(recording) = &mut self.recording {
            recording.cleared();
        }
    }

    fn said(&mut self, audio: Duration) {
        if !audio.is_zero() {
            self.story.tally.said += audio;
            self.story.first_audio(self.began.elapsed());
        }
    }

    async fn send_printed(&mut self) -> Result<(), Over> {
        let text = String::from_utf8_lossy(&self.printed).into_owned();
        self.send(Message::Text(ByteString::from(text))).await
    }

    async fn send(&mut self, frame: Message) -> Result<(), Over> {
        self.line.send(frame).await.map_err(|Gone| (End::Closed, None))
    }
}
