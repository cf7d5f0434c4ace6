//! Ordinary calls, as the labs' own tests of their network have them.

use crate::common::*;

#[test]
fn a_call_gets_its_reply() {
    for world in [World::new(), World::instant()] {
        assert_eq!(world.calls.reverse(&text("raft")).wait(), Ok(text("tfar")));
        assert_eq!(world.calls.next(&Number(1)).wait(), Ok(Number(2)));
    }
}
