//! What goes over the wire to Karibu and what is made of its answers, file by file in `cassettes/`.

use std::path::Path;

#[test]
fn every_cassette_holds() {
    patchbay_testkit::cassette::replay(Path::new(env!("CARGO_MANIFEST_DIR")).join("cassettes"), patchbay_karibu::build);
}
