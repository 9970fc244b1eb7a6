//! The rules a bot's server is held to, each with where it is known from: what is expected, what it is judged by, why it
//! matters, and what to do. Tags such as S1, D1, KS stand for the public sources that docs/VOICEBOTS.md names.

mod judge;

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    calls::{Call, Calls},
    words::Shape,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Pass,
    Warn,
    Fail,
    NotApplicable,
}

impl Verdict {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::NotApplicable => "n/a",
        }
    }
}

/// What a rule says of some calls: the verdict, and a sentence of what came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    pub(super) came: String,
}

pub(super) struct Rule {
    pub(super) id: &'static str,
    pub(super) expects: &'static str,
    /// The worst it can say.
    pub(super) worst: Verdict,
    pub(super) why: &'static str,
    pub(super) source: &'static str,
    pub(super) cure: &'static str,
    /// The calls it needs beside the plain one.
    pub(super) calls: &'static [Call],
    pub(super) judge: fn(&Calls) -> Judgement,
}

impl Rule {
    /// Of a run in which no call could be made.
    pub(super) fn judge(&self, calls: &Calls) -> Judgement {
        let made = matches!(calls.get(Call::Plain), Some(Ok(_)));
        if !made && !["handshake", "query"].contains(&self.id) {
            return judge::not_applicable("no call could be made: see handshake and query");
        }
        (self.judge)(calls)
    }
}

/// Calls in which the bot is expected to speak as it always does.
const SPEAKING: &[Call] = &[Call::OtherRate, Call::BargeIn];
const SHAPES: &[Call] = &[
    Call::Shaped(Shape::OTHERS[0]),
    Call::Shaped(Shape::OTHERS[1]),
    Call::Shaped(Shape::OTHERS[2]),
    Call::Shaped(Shape::OTHERS[3]),
    Call::Shaped(Shape::OTHERS[4]),
];

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "handshake",
        expects: "the WebSocket handshake of a Go client, without Origin or subprotocol, is answered within 10 s",
        worst: Verdict::Fail,
        why: "Exotel gives up after 10 s and tries once more; then the flow goes on without the bot",
        source: "S2, D2, D7, RT",
        cure: "accept the upgrade first and prepare the bot after it; ask for no header that Go does not send",
        calls: &[],
        judge: judge::handshake,
    },
    Rule {
        id: "query",
        expects: "the server takes the call without the query of its URL",
        worst: Verdict::Fail,
        why: "Exotel takes the query off and puts its pairs into start.custom_parameters",
        source: "IVR, MIRA, CRM, PD",
        cure: "put a secret into the path or into the URL's user and password; read parameters from start",
        calls: &[Call::WithQuery],
        judge: judge::query,
    },
    Rule {
        id: "shapes",
        expects: "every writing of start that is known is taken: strings or numbers, with and without bit_rate and parameters",
        worst: Verdict::Fail,
        why: "documents and captures differ in all of this, and what is sent has changed before",
        source: "CAP, IVR, S1, D1, D3, AS, #52587541174",
        cure: "read each number as string or number, take no field but stream_sid for granted, treat SIDs as opaque",
        calls: SHAPES,
        judge: judge::shapes,
    },
    Rule {
        id: "rate",
        expects: "the rate is taken from start.media_format.sample_rate",
        worst: Verdict::Fail,
        why: "the URL's query does not reach the server; at the wrong rate the bot is too slow or too fast to be understood",
        source: "S5, D3, AS-EL, SHU",
        cure: "read sample_rate (a string) from start, and resample both ways to it",
        calls: &[Call::OtherRate],
        judge: judge::rate,
    },
    Rule {
        id: "frames",
        expects: "each message is one JSON text frame: media, mark or clear, with fields of the documented names and types",
        worst: Verdict::Fail,
        why: "Exotel reads with typed structs: one field of another type can cost the whole message",
        source: "S1, D1, RT",
        cure: "send {\"event\":\"media\",\"stream_sid\":…,\"media\":{\"payload\":…}} as text; numbers, if at all, as strings",
        calls: SPEAKING,
        judge: judge::frames,
    },
    Rule {
        id: "stream_sid",
        expects: "messages name the stream as start did, as stream_sid",
        worst: Verdict::Fail,
        why: "it is optional today; the name of another stream, such as the first one's after a retry, is not",
        source: "PC changelog 5219, D1",
        cure: "keep start's stream_sid with the connection and send it back unchanged",
        calls: SPEAKING,
        judge: judge::stream_sid,
    },
    Rule {
        id: "alignment",
        expects: "payloads are multiples of 320 bytes, and of 20 ms at the stream's rate",
        worst: Verdict::Fail,
        why: "Exotel cuts a message into packets, and a short last one takes the time of a whole one: a gap is heard",
        source: "S1, ACB E-5",
        cure: "carry what is left over into the next message; fill up with silence only at the end of an utterance",
        calls: SPEAKING,
        judge: judge::alignment,
    },
    Rule {
        id: "size",
        expects: "payloads have at most 100 kB, and 3200 bytes or more",
        worst: Verdict::Fail,
        why: "larger messages may time out; smaller ones are documented as too small, and work in the field",
        source: "S1; UD, PC, RA, AS for smaller ones",
        cure: "send 100 to 200 ms at a time",
        calls: SPEAKING,
        judge: judge::size,
    },
    Rule {
        id: "ahead",
        expects: "no more than 5 s of audio are sent ahead of what has been played",
        worst: Verdict::Warn,
        why: "what lies at Exotel cannot be steered, and a burst holds up the caller's own audio; calls ended after 4 s",
        source: "SHU, AS wss_server.py, bridge.py",
        cure: "keep the rest in a queue of your own and send in real time, 200 to 400 ms ahead",
        calls: SPEAKING,
        judge: judge::ahead,
    },
    Rule {
        id: "starving",
        expects: "while the bot speaks there is always something to play",
        worst: Verdict::Warn,
        why: "each message that comes too late is a gap in a word",
        source: "S1",
        cure: "send the first 200 ms at once and keep that lead; pace by a clock, not by sleeping between messages",
        calls: SPEAKING,
        judge: judge::starving,
    },
    Rule {
        id: "marks",
        expects: "a mark has a name, and no other of the call has the same",
        worst: Verdict::Fail,
        why: "its echo is the only word on what was played, and comes back for cleared audio, too",
        source: "S1, D1, SHU",
        cure: "number your marks",
        calls: SPEAKING,
        judge: judge::marks,
    },
    Rule {
        id: "barge_in",
        expects: "when the caller speaks over the bot, it sends clear within 2 s",
        worst: Verdict::Warn,
        why: "without clear Exotel plays all it has, and the bot talks on over the caller",
        source: "S1, SHU",
        cure: "send clear as soon as speech is detected, empty your own queue, and drop what is still generated",
        calls: &[Call::BargeIn],
        judge: judge::barge_in,
    },
    Rule {
        id: "payloads",
        expects: "payloads of any size are taken, also odd and empty ones",
        worst: Verdict::Fail,
        why: "20 ms are usual, other multiples of 320 have been seen, and nothing says that it ends there",
        source: "IVR, KS",
        cure: "put the bytes into one stream and cut your own frames from it; keep an odd byte for the next message",
        calls: &[Call::Payloads],
        judge: judge::payloads_taken,
    },
    Rule {
        id: "dtmf",
        expects: "keys are taken, as {\"dtmf\":{\"digit\":…}} and as {\"digit\":…}",
        worst: Verdict::Fail,
        why: "callers press keys whether they are asked or not; the documents have both writings",
        source: "S1, D1, D4",
        cure: "read both, and pass by what you have no use for",
        calls: &[Call::Dtmf],
        judge: judge::dtmf,
    },
    Rule {
        id: "unknown",
        expects: "events and fields nobody knows are passed by",
        worst: Verdict::Fail,
        why: "one document lists events that no other has, and new ones may come any day",
        source: "D4, S1 (clear)",
        cure: "log what is unknown by its name, and go on",
        calls: &[Call::Unknown],
        judge: judge::unknown,
    },
    Rule {
        id: "stop",
        expects: "after stop the bot says nothing more, and the connection ends in order",
        worst: Verdict::Fail,
        why: "nobody listens any more, while speech is still being paid for",
        source: "S1, D1",
        cure: "end the session on stop and close with 1000",
        calls: &[],
        judge: judge::stop,
    },
    Rule {
        id: "no_stop",
        expects: "a close without stop ends the call, and is answered within 2 s",
        worst: Verdict::Fail,
        why: "of 7 real calls 2 had a stop",
        source: "KS",
        cure: "treat the end of the connection as stop",
        calls: &[Call::NoStop],
        judge: judge::no_stop,
    },
    Rule {
        id: "goodbye",
        expects: "a bot that ends the call closes with 1000, after all it said has been played",
        worst: Verdict::Fail,
        why: "closing is how a bot hangs up or hands over, and it cuts off what has not been played",
        source: "S1, S7, SHU",
        cure: "last media, mark, wait for its echo, then close",
        calls: &[],
        judge: judge::goodbye,
    },
    Rule {
        id: "stall",
        expects: "3 s without audio and then all of it at once are survived",
        worst: Verdict::Fail,
        why: "stalls of up to 10 s were seen, after which everything came in one burst",
        source: "KS",
        cure: "do not end a call for a pause; after one skip what is old, or it stays as a delay",
        calls: &[Call::Stall],
        judge: judge::stall,
    },
    Rule {
        id: "second",
        expects: "a second connection with the same call_sid is served",
        worst: Verdict::Fail,
        why: "Exotel tries once more when the handshake failed, and the first may still seem to be there",
        source: "S2, D2, D7",
        cure: "let the newer connection take the call over",
        calls: &[Call::First, Call::Second],
        judge: judge::second,
    },
];

/// The table of docs/VOICEBOTS.md.
pub fn markdown() -> String {
    let mut text =
        String::from("| rule | what is expected | at worst | why | source | what to do |\n|---|---|---|---|---|---|\n");
    for rule in RULES {
        let Rule { id, expects, worst, why, source, cure, .. } = rule;
        let cell = |text: &str| text.replace('|', "\\|");
        // Writing into a String does not fail.
        let _ = writeln!(
            text,
            "| `{id}` | {} | {} | {} | {source} | {} |",
            cell(expects),
            worst.name().to_lowercase(),
            cell(why),
            cell(cure)
        );
    }
    text
}
