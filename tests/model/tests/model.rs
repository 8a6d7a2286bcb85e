//! The core does what the oracle says.

use selvedge_model::check::compare;

#[test]
fn the_core_and_the_oracle_agree() {
    match compare(1500, 7) {
        Ok(requests) => assert!(requests > 10_000, "plans are mostly requests: {requests}"),
        Err(difference) => panic!("{difference}"),
    }
}
