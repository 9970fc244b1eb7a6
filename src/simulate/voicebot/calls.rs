//! The calls of which the kit's rules are judged: few, since a bot's speech may cost money, and each made for something.

use std::time::Duration;

use patchbay_voice::Rate;
use uuid::Uuid;

use super::{
    session::{Moment, Plan, Record, Step},
    words::{Caller, Shape},
};

/// What a bot may say before the caller answers, and after.
const SPEECH: Duration = ms(8_000);
/// After `stop`, the server has so long to end the call itself.
const AFTER_STOP: Duration = ms(1_500);
/// Sizes of payloads: any multiple of 320 has been seen (IVR), nothing says that others do not come. Halves of samples
/// meet, so that what follows is audio both for who carries them over and for who lets them go.
const ODD: [usize; 8] = [0, 1, 319, 640, 3, 1597, 4096, 32_000];

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What a call is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    /// Nothing special: what the others are compared with.
    Plain,
    /// The handshake with the query that Exotel takes off, if it is refused without.
    WithQuery,
    OtherRate,
    Shaped(Shape),
    BargeIn,
    Payloads,
    Dtmf,
    Unknown,
    NoStop,
    Stall,
    /// The first of two with one CallSid.
    First,
    Second,
}

impl Call {
    /// How the report calls it.
    pub(super) fn name(self) -> String {
        match self {
            Self::Plain => "the plain call".to_owned(),
            Self::WithQuery => "the call with the query".to_owned(),
            Self::OtherRate => "the call at another rate".to_owned(),
            Self::Shaped(shape) => format!("the call with a start {}", shape.name()),
            Self::BargeIn => "the call with barge-in".to_owned(),
            Self::Payloads => "the call with odd payloads".to_owned(),
            Self::Dtmf => "the call with DTMF".to_owned(),
            Self::Unknown => "the call with unknown events".to_owned(),
            Self::NoStop => "the call without stop".to_owned(),
            Self::Stall => "the call with a stall".to_owned(),
            Self::First => "the first connection".to_owned(),
            Self::Second => "the second connection".to_owned(),
        }
    }

    /// What is played, if the bot gets so long to begin to speak.
    pub(super) fn steps(self, listen: Duration) -> Vec<Step> {
        use Step::{Ask, Close, Dtmf, FlatDtmf, LetFinish, Listen, Odd, Ping, Quiet, Speak, Stall, Stop, UnheardOf};
        let tried = Step::Moment(Moment::Tried);
        let ends = || [Ping, Stop, Quiet(ms(300)), Close];
        let answers = || [Speak(ms(600)), Listen(listen), Ping, Stop, Quiet(ms(300)), Close];
        let mut steps = Vec::new();
        match self {
            Self::WithQuery => steps.extend([Quiet(ms(100)), Stop, Close]),
            Self::Plain | Self::OtherRate => {
                steps.extend([Listen(listen), LetFinish(SPEECH), Speak(ms(1500)), Listen(listen), LetFinish(SPEECH)]);
                steps.extend([Ping, Stop, Quiet(AFTER_STOP), Close]);
            }
            Self::Shaped(_) => {
                steps.extend([tried, Listen(listen), Ask(listen)]);
                steps.extend(ends());
            }
            Self::BargeIn => {
                steps.extend([Listen(listen), Ask(listen), Quiet(ms(400)), Step::Moment(Moment::BargeIn)]);
                steps.extend([Speak(ms(1500)), Quiet(ms(1000))]);
                steps.extend(ends());
            }
            Self::Payloads => {
                steps.extend([Quiet(ms(200)), tried]);
                steps.extend(ODD.map(Odd));
                steps.extend(answers());
            }
            Self::Dtmf => {
                steps.extend([Quiet(ms(200)), tried]);
                steps.extend([Dtmf('1'), FlatDtmf('5')]);
                // Those that may mean something last; not #, by which many a bot ends its call in order.
                steps.extend(['0', '*'].map(Dtmf));
                steps.extend(answers());
            }
            Self::Unknown => {
                steps.extend([Quiet(ms(200)), tried, UnheardOf]);
                steps.extend(answers());
            }
            Self::NoStop => steps.extend([Quiet(ms(200)), tried, Speak(ms(600)), Quiet(ms(300)), Close]),
            Self::Stall => {
                steps.extend([Quiet(ms(500)), tried, Stall(ms(3000))]);
                steps.extend(answers());
            }
            Self::First => steps.extend([Quiet(ms(2000)), Stop, Quiet(ms(300)), Close]),
            Self::Second => {
                steps.push(tried);
                steps.extend(answers());
            }
        }
        steps
    }
}

/// What all calls of a run have in common.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) account_sid: String,
    /// The ExoPhone, in national form.
    pub(super) called: String,
    pub(super) rate: Rate,
    pub(super) listen: Duration,
    pub(super) parameters: Vec<(String, String)>,
}

impl Line {
    pub(super) fn other_rate(&self) -> Rate {
        if self.rate == Rate::Hz24000 { Rate::Hz8000 } else { Rate::Hz24000 }
    }

    pub(super) fn plan(&self, call: Call, call_sid: &str) -> Plan {
        Plan {
            caller: self.caller(0, call_sid),
            shape: if let Call::Shaped(shape) = call { shape } else { Shape::Captured },
            rate: if call == Call::OtherRate { self.other_rate() } else { self.rate },
            steps: call.steps(self.listen),
            keep: true,
        }
    }

    pub(super) fn caller(&self, number: u32, call_sid: &str) -> Caller {
        Caller {
            stream_sid: new_sid('l'),
            call_sid: call_sid.to_owned(),
            account_sid: self.account_sid.clone(),
            from: format!("098765{:05}", number % 100_000),
            to: self.called.clone(),
            parameters: self.parameters.clone(),
        }
    }
}

/// 32 characters, the last of them no hexadecimal digit, as in the captures.
pub(super) fn new_sid(last: char) -> String {
    let mut sid = Uuid::new_v4().simple().to_string();
    sid.pop();
    sid.push(last);
    sid
}

/// What came of all calls, each with how its handshake went.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Whether the address had a query to take off.
    pub(super) queried: bool,
    pub(super) all: Vec<(Call, Result<Record, String>)>,
}

impl Calls {
    pub(super) fn get(&self, call: Call) -> Option<&Result<Record, String>> {
        self.all.iter().find(|(made, _)| *made == call).map(|(_, record)| record)
    }

    /// The record of a call that was made.
    pub(super) fn record(&self, call: Call) -> Option<&Record> {
        self.get(call)?.as_ref().ok()
    }

    pub(super) fn records(&self) -> impl Iterator<Item = (Call, &Record)> {
        self.all.iter().filter_map(|(call, record)| Some((*call, record.as_ref().ok()?)))
    }
}
