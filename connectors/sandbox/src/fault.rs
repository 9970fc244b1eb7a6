//! What a real network and a real service do to a request, as data, so that a test or a demo can order it.

use std::{collections::VecDeque, time::Duration};

use http::Method;

use crate::{Request, message::segments};

/// One thing that goes wrong with one request.
///
/// The faults differ in what they leave behind, which is what a sender has to get right: nothing done, done without a
/// word, or done later than the sender waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The service's own error body under this status; nothing done. A number that is no HTTP status becomes 500.
    Status(u16),
    /// The service's own "too many requests"; nothing done.
    RateLimited { retry_after_s: u64 },
    /// The connection is dropped; nothing done.
    ResetBefore,
    /// Carried out, then the connection is dropped without a byte of an answer.
    ResetAfter,
    /// Carried out at once, answered this much later.
    StallAfter(Duration),
    /// Waits, then carries it out and answers. It is carried out even if the client has gone by then.
    LateCommit(Duration),
    /// Never answered; nothing done.
    BlackHole,
    /// Carried out at once; the answer trickles in over this long, beginning with its head.
    Slow(Duration),
    /// 200 with a page of HTML, as a proxy or a maintenance page gives; nothing done.
    Garbage,
}

/// Which requests a scripted fault waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct On {
    method: Option<Method>,
    path: Option<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    segments: Vec<String>,
    longer_too: bool,
}

impl On {
    /// Every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests to this very path; a segment `*` stands for any one segment: `/api/v2/tickets/*/notes`.
    pub fn exactly(method: impl Into<Option<Method>>, path: &str) -> Self {
        Self::path(method, path, false)
    }

    /// Requests to this path and to what is under it; `*` as in [`On::exactly`].
    pub fn under(method: impl Into<Option<Method>>, path: &str) -> Self {
        Self::path(method, path, true)
    }

    fn path(method: impl Into<Option<Method>>, path: &str, longer_too: bool) -> Self {
        Self { method: method.into(), path: Some(Pattern { segments: segments(path), longer_too }) }
    }

    fn matches(&self, request: &Request) -> bool {
        self.method.as_ref().is_none_or(|method| *method == request.method)
            && self.path.as_ref().is_none_or(|pattern| pattern.matches(&request.path))
    }
}

impl Pattern {
    fn matches(&self, path: &[String]) -> bool {
        (path.len() == self.segments.len() || self.longer_too && path.len() > self.segments.len())
            && self.segments.iter().zip(path).all(|(wanted, is)| wanted == "*" || wanted == is)
    }
}

/// A random mix, the same for the same seed and order of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mix {
    pub seed: u64,
    /// Each fault with its share in thousandths; what is left of 1000 goes well.
    pub per_mille: Vec<(Fault, u16)>,
}

/// The faults in force: an outage before a script before a random mix.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    down: bool,
    script: VecDeque<(On, Option<Fault>)>,
    mix: Option<(Mix, SplitMix64)>,
    turns: u64,
}

impl Faults {
    /// Everything goes well.
    pub fn none() -> Self {
        Self::default()
    }

    /// An outage: every request meets a dropped connection or a 503, in turns, until [`Faults::lift`].
    pub fn down() -> Self {
        Self { down: true, ..Self::default() }
    }

    /// The next requests, whatever they are, meet these, one each.
    pub fn script(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self { script: faults.into_iter().map(|fault| (On::any(), Some(fault))).collect(), ..Self::default() }
    }

    /// A random mix.
    pub fn mix(mix: Mix) -> Self {
        let mut faults = Self::default();
        faults.set_mix(Some(mix));
        faults
    }

    /// Adds to the script: the next request that matches, and that no earlier entry takes, meets this fault.
    pub fn push(&mut self, on: On, fault: Fault) -> &mut Self {
        self.script.push_back((on, Some(fault)));
        self
    }

    /// Adds to the script: the next request that matches goes well.
    pub fn push_pass(&mut self, on: On) -> &mut Self {
        self.script.push_back((on, None));
        self
    }

    /// Sets, replaces or ends the random mix.
    pub fn set_mix(&mut self, mix: Option<Mix>) {
        self.mix = mix.map(|mix| {
            let numbers = SplitMix64(mix.seed);
            (mix, numbers)
        });
    }

    /// Begins an outage.
    pub fn go_down(&mut self) {
        self.down = true;
    }

    /// Ends an outage; script and mix stay.
    pub fn lift(&mut self) {
        self.down = false;
    }

    /// Forgets everything: from here on all goes well.
    pub fn clear(&mut self) {
        *self = Self::none();
    }

    /// How many scripted entries still wait for their request.
    pub fn waiting(&self) -> usize {
        self.script.len()
    }

    /// What this request meets. A scripted entry is used up by it.
    pub fn take(&mut self, request: &Request) -> Option<Fault> {
        if self.down {
            self.turns = self.turns.wrapping_add(1);
            return Some(if self.turns % 2 == 1 { Fault::ResetBefore } else { Fault::Status(503) });
        }
        if let Some(at) = self.script.iter().position(|(on, _)| on.matches(request)) {
            return self.script.remove(at).and_then(|(_, fault)| fault);
        }
        let (mix, numbers) = self.mix.as_mut()?;
        let mut drawn = numbers.next() % 1000;
        for (fault, share) in &mix.per_mille {
            match drawn.checked_sub(u64::from(*share)) {
                Some(rest) => drawn = rest,
                None => return Some(*fault),
            }
        }
        None
    }
}

/// Sebastiano Vigna's splitmix64: eight lines, and the same numbers everywhere.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn request(method: Method, target: &str) -> Request {
        Request::parse(method, target, HeaderMap::new(), Bytes::new())
    }

    #[test]
    fn a_scripted_fault_waits_for_its_request() {
        let mut faults = Faults::none();
        faults.push(On::exactly(Method::POST, "/tickets/*/notes"), Fault::ResetAfter);
        faults.push_pass(On::exactly(Method::POST, "/tickets"));
        faults.push(On::under(None, "/tickets"), Fault::Garbage);
        assert_eq!(faults.take(&request(Method::POST, "/tickets")), None, "the pass is taken");
        assert_eq!(faults.take(&request(Method::GET, "/contacts")), None);
        assert_eq!(faults.take(&request(Method::GET, "/tickets/1")), Some(Fault::Garbage));
        assert_eq!(faults.take(&request(Method::POST, "/tickets/1/notes?x=1")), Some(Fault::ResetAfter));
        assert_eq!(faults.waiting(), 0);
    }

    #[test]
    fn an_outage_precedes_the_script_and_can_be_lifted() {
        let mut faults = Faults::script([Fault::Garbage]);
        faults.go_down();
        let asked = request(Method::GET, "/");
        assert_eq!(faults.take(&asked), Some(Fault::ResetBefore));
        assert_eq!(faults.take(&asked), Some(Fault::Status(503)));
        faults.lift();
        assert_eq!(faults.take(&asked), Some(Fault::Garbage));
        assert_eq!(faults.take(&asked), None);
    }

    #[test]
    fn a_mix_keeps_its_shares_and_repeats_itself() {
        let mix = Mix { seed: 7, per_mille: vec![(Fault::ResetAfter, 100), (Fault::Status(500), 200)] };
        let draw = || {
            let mut faults = Faults::mix(mix.clone());
            let asked = request(Method::GET, "/");
            (0..10_000).map(|_| faults.take(&asked)).collect::<Vec<_>>()
        };
        let drawn = draw();
        assert_eq!(drawn, draw());
        let count = |wanted| drawn.iter().filter(|fault| **fault == wanted).count();
        assert!((900..1100).contains(&count(Some(Fault::ResetAfter))));
        assert!((1850..2150).contains(&count(Some(Fault::Status(500)))));
        assert!((6800..7200).contains(&count(None)));
    }

    #[test]
    fn splitmix_gives_the_published_numbers() {
        let mut numbers = SplitMix64(1_234_567);
        assert_eq!(numbers.next(), 6_457_827_717_110_365_317);
        assert_eq!(numbers.next(), 3_203_168_211_198_807_973);
    }
}
