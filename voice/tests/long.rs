//! The same questions as the properties ask, for as long as one likes:
//!
//! ```sh
//! cargo test --release -p patchbay-voice --test long -- --ignored
//! ROUNDS=20000000 cargo test --release -p patchbay-voice --test long -- --ignored
//! ```

mod support;

use patchbay_voice::{Limits, Reader};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use support::{media_frame, mutated};

fn rounds() -> u32 {
    std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(500_000)
}

#[test]
#[ignore = "as long as one likes"]
fn no_bytes_confuse_a_reader() {
    let frames = prop_oneof![6 => mutated(), 3 => media_frame(), 1 => proptest::collection::vec(any::<u8>(), 0..600)];
    let mut runner = TestRunner::new(Config { cases: rounds(), failure_persistence: None, ..Config::default() });
    // One reader for all: what one frame leaves behind, the next one meets.
    let readers = std::cell::RefCell::new((Reader::exotel(Limits::DEFAULT), Reader::twilio(Limits::DEFAULT)));
    let tried = runner.run(&frames, |frame| {
        let (exotel, twilio) = &mut *readers.borrow_mut();
        for reader in [exotel, twilio] {
            let (mut pcm, mut wanted) = (Vec::new(), Vec::new());
            let mut patient = reader.clone();
            let read = reader.read(&frame, &mut pcm);
            prop_assert_eq!(read, patient.read_patiently(&frame, &mut wanted));
            prop_assert!(pcm == wanted && pcm.len() <= 2 * frame.len() + 1 && pcm.len().is_multiple_of(2));
        }
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("{error}"));
}
