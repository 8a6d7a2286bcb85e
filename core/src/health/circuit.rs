//! A circuit breaker: a place that keeps failing is left alone for a while.

use std::time::Duration;

use super::rule::BreakerRule;
use super::{BodyEnd, CircuitState};
use crate::time::Timestamp;

/// How many of the last outcomes count for the rate of failures.
const WINDOW: u32 = 64;

/// How many there must be for it.
const LEAST: u32 = 20;

/// How often the time that a circuit is open may double.
const MAX_DOUBLINGS: u32 = 2;

/// How many probes may still be under way that have had their time: their verdict counts, and they keep nobody out.
const OVERDUE: usize = 16;

/// Whether requests reach a place.
#[derive(Clone, Debug, Default)]
pub(super) struct Circuit {
    phase: Phase,
    /// How often it opened since a request last succeeded.
    openings: u32,
    /// Failures since a request last succeeded.
    failures: u32,
    /// The last outcomes, the latest one in the lowest bit: set for a failure.
    outcomes: u64,
    /// How many of them there are.
    count: u32,
    /// Without a verdict since the circuit was last open, the oldest first.
    probes: Vec<Probe>,
    /// No two probes have one number, so that what comes late is no verdict on another.
    next_probe: u32,
}

/// A request that tries a place.
#[derive(Clone, Copy, Debug)]
struct Probe {
    number: u32,
    /// When its body, or before that the wait for its head, has kept others out for long enough.
    until: Timestamp,
    has_head: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Closed,
    /// No request is sent until then.
    Open(Timestamp),
    /// Some are, to see.
    Probing { successes: u32 },
}

/// How a request reaches a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// As one of many.
    Regular,
    /// To see whether the place answers again, with a number.
    Probe(u32),
}

impl Circuit {
    /// Lets a request through whose head is there, or will never be, by a time; or says how much longer none is.
    pub(super) fn enter(
        &mut self,
        rule: BreakerRule,
        head_by: Timestamp,
        now: Timestamp,
    ) -> Result<Passage, Duration> {
        if let Phase::Open(until) = self.phase {
            let left = until.saturating_since(now);
            if !left.is_zero() {
                return Err(left);
            }
            self.phase = Phase::Probing { successes: 0 };
        }
        match self.phase {
            Phase::Probing { .. } if !self.has_room(rule, now) => Err(Duration::from_secs(1)),
            Phase::Probing { .. } => Ok(Passage::Probe(self.begin_probe(rule, head_by))),
            Phase::Closed | Phase::Open(_) => Ok(Passage::Regular),
        }
    }

    /// Returns whether a request would be let through.
    pub(super) fn is_passable(&self, rule: BreakerRule, now: Timestamp) -> bool {
        match self.phase {
            Phase::Closed => true,
            Phase::Open(until) => until <= now,
            Phase::Probing { .. } => self.has_room(rule, now),
        }
    }

    /// Returns what becomes of requests, as far as that depends on no rule.
    pub(super) fn state(&self, now: Timestamp) -> CircuitState {
        match self.phase {
            Phase::Closed => CircuitState::Closed,
            Phase::Open(until) if until > now => CircuitState::Open(until.saturating_since(now)),
            Phase::Open(_) | Phase::Probing { .. } => CircuitState::HalfOpen,
        }
    }

    /// The head of a response is there and is no failure. A probe needs the end of its body too.
    pub(super) fn on_head(&mut self, rule: BreakerRule, passage: Passage, now: Timestamp) {
        match passage {
            Passage::Regular => self.on_success(rule, passage),
            Passage::Probe(number) => {
                let probe = self.probes.iter_mut().find(|probe| probe.number == number);
                probe.into_iter().for_each(|probe| (probe.until, probe.has_head) = (now + rule.open, true));
            }
        }
    }

    /// A body ended whose head was no failure.
    pub(super) fn on_body(&mut self, rule: BreakerRule, probe: Option<u32>, end: BodyEnd, now: Timestamp) {
        let probe = probe.filter(|number| self.probes.iter().any(|probe| probe.number == *number));
        match (end, probe.map(Passage::Probe)) {
            (BodyEnd::Whole | BodyEnd::Unread, Some(passage)) => self.on_success(rule, passage),
            (BodyEnd::Left, Some(passage)) => self.on_nothing(passage),
            (BodyEnd::Broken | BodyEnd::Late, Some(passage)) => self.on_failure(rule, passage, now),
            (BodyEnd::Broken | BodyEnd::Late, None) => self.on_cut(rule, now),
            (BodyEnd::Whole | BodyEnd::Unread | BodyEnd::Left, None) => {}
        }
    }

    pub(super) fn on_success(&mut self, rule: BreakerRule, passage: Passage) {
        self.note(false);
        self.failures = 0;
        let is_probe = self.end_probe(passage);
        let Phase::Probing { successes } = &mut self.phase else { return };
        if is_probe {
            *successes += 1;
            if *successes >= rule.probes {
                *self = Self { next_probe: self.next_probe, ..Self::default() };
            }
        }
    }

    pub(super) fn on_failure(&mut self, rule: BreakerRule, passage: Passage, now: Timestamp) {
        self.note(true);
        self.failures = self.failures.saturating_add(1);
        let is_probe = self.end_probe(passage);
        match self.phase {
            Phase::Closed if self.failures >= rule.failures || self.is_over(rule.rate_percent) => {
                self.open(rule, now);
            }
            Phase::Probing { .. } if is_probe => self.open(rule, now),
            // What left before it opened changes nothing.
            Phase::Closed | Phase::Open(_) | Phase::Probing { .. } => {}
        }
    }

    /// A response failed after its head, which was noted as a success: the latest one is taken back.
    fn on_cut(&mut self, rule: BreakerRule, now: Timestamp) {
        let latest = self.outcomes.trailing_ones();
        if latest < self.count {
            self.outcomes |= 1 << latest;
        } else {
            self.note(true);
        }
        self.failures = self.failures.saturating_add(1).max(self.outcomes.trailing_ones());
        let is_over = self.failures >= rule.failures || self.is_over(rule.rate_percent);
        if self.phase == Phase::Closed && is_over {
            self.open(rule, now);
        }
    }

    /// A request that let nobody know how the place fares is over.
    pub(super) fn on_nothing(&mut self, passage: Passage) {
        self.end_probe(passage);
    }

    /// Whether one more request may try the place.
    fn has_room(&self, rule: BreakerRule, now: Timestamp) -> bool {
        let keeps_out = |probe: &&Probe| probe.until > now;
        self.probes.iter().filter(keeps_out).count() < rule.probes as usize
    }

    fn begin_probe(&mut self, rule: BreakerRule, head_by: Timestamp) -> u32 {
        if self.probes.len() >= rule.probes as usize + OVERDUE {
            let oldest = self.probes.iter().position(|probe| probe.has_head).unwrap_or_default();
            self.probes.remove(oldest);
        }
        let number = self.next_probe;
        self.next_probe = number.wrapping_add(1);
        self.probes.push(Probe { number, until: head_by, has_head: false });
        number
    }

    /// Returns whether that was a probe without a verdict.
    fn end_probe(&mut self, passage: Passage) -> bool {
        let Passage::Probe(number) = passage else { return false };
        let at = self.probes.iter().position(|probe| probe.number == number);
        at.map(|at| self.probes.remove(at)).is_some()
    }

    fn open(&mut self, rule: BreakerRule, now: Timestamp) {
        let time = rule.open * 2_u32.pow(self.openings.min(MAX_DOUBLINGS));
        self.openings = self.openings.saturating_add(1);
        self.phase = Phase::Open(now + time);
        (self.outcomes, self.count) = (0, 0);
        self.probes.clear();
    }

    fn note(&mut self, has_failed: bool) {
        self.outcomes = (self.outcomes << 1) | u64::from(has_failed);
        self.count = (self.count + 1).min(WINDOW);
    }

    fn is_over(&self, rate_percent: u32) -> bool {
        self.count >= LEAST && self.outcomes.count_ones() * 100 >= rate_percent * self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: BreakerRule =
        BreakerRule { failures: 3, rate_percent: 50, open: Duration::from_secs(10), probes: 2 };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    /// The wait for a head is over after five seconds.
    fn enter(circuit: &mut Circuit, now: Timestamp) -> Result<Passage, Duration> {
        circuit.enter(RULE, now + Duration::from_secs(5), now)
    }

    fn fail(circuit: &mut Circuit, times: u32, now: Timestamp) {
        for _ in 0..times {
            circuit.on_failure(RULE, Passage::Regular, now);
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let mut circuit = Circuit::default();
        fail(&mut circuit, 2, at(0));
        circuit.on_success(RULE, Passage::Regular);
        fail(&mut circuit, 2, at(0));
        assert_eq!(enter(&mut circuit, at(0)), Ok(Passage::Regular));
        fail(&mut circuit, 1, at(0));
        assert_eq!(enter(&mut circuit, at(4)), Err(Duration::from_secs(6)));
        assert_eq!(circuit.state(at(4)), CircuitState::Open(Duration::from_secs(6)));
        assert!(!circuit.is_passable(RULE, at(9)) && circuit.is_passable(RULE, at(10)));
    }

    #[test]
    fn every_other_failure_opens_it_once_there_are_enough() {
        let mut circuit = Circuit::default();
        for at_request in 0..LEAST {
            assert_eq!(enter(&mut circuit, at(0)), Ok(Passage::Regular), "{at_request}");
            match at_request % 2 {
                0 => circuit.on_success(RULE, Passage::Regular),
                _ => circuit.on_failure(RULE, Passage::Regular, at(0)),
            }
        }
        assert!(enter(&mut circuit, at(0)).is_err());
    }

    #[test]
    fn as_many_probes_as_the_rule_has_go_out_at_once_and_close_it() {
        let mut circuit = Circuit::default();
        assert_eq!(circuit.state(at(0)), CircuitState::Closed);
        fail(&mut circuit, 3, at(0));
        assert_eq!(circuit.state(at(10)), CircuitState::HalfOpen, "the next request tries it");
        for expected in [Ok(Passage::Probe(0)), Ok(Passage::Probe(1)), Err(Duration::from_secs(1))] {
            assert_eq!(enter(&mut circuit, at(10)), expected);
        }
        circuit.on_success(RULE, Passage::Probe(0));
        assert_eq!(enter(&mut circuit, at(10)), Ok(Passage::Probe(2)), "one more may go out");
        assert_eq!(circuit.state(at(10)), CircuitState::HalfOpen);
        circuit.on_nothing(Passage::Probe(2));
        circuit.on_success(RULE, Passage::Probe(1));
        assert_eq!(circuit.state(at(10)), CircuitState::Closed);
        assert_eq!(enter(&mut circuit, at(10)), Ok(Passage::Regular));
    }

    /// A circuit that has been open and is tried by as many probes as may be; their heads came at this time.
    fn probing(now: Timestamp) -> Circuit {
        let mut circuit = Circuit::default();
        fail(&mut circuit, 3, at(0));
        for number in 0..RULE.probes {
            assert_eq!(enter(&mut circuit, now), Ok(Passage::Probe(number)));
            circuit.on_head(RULE, Passage::Probe(number), now);
        }
        circuit
    }

    #[test]
    fn a_body_that_does_not_end_keeps_others_out_for_the_time_that_the_circuit_is_open_and_no_longer() {
        let mut circuit = probing(at(10));
        assert!(!circuit.is_passable(RULE, at(19)) && enter(&mut circuit, at(19)).is_err());
        assert!(circuit.is_passable(RULE, at(20)));
        for number in [2, 3] {
            assert_eq!(enter(&mut circuit, at(20)), Ok(Passage::Probe(number)));
        }
        assert!(enter(&mut circuit, at(24)).is_err(), "a head has a time of its own");
        for number in [4, 5] {
            assert_eq!(enter(&mut circuit, at(25)), Ok(Passage::Probe(number)), "it is over");
        }
        circuit.on_body(RULE, Some(0), BodyEnd::Whole, at(90));
        assert_eq!(circuit.state(at(90)), CircuitState::HalfOpen, "two are needed");
        circuit.on_body(RULE, Some(1), BodyEnd::Whole, at(90));
        assert_eq!(circuit.state(at(90)), CircuitState::Closed, "a verdict that comes late is one");
    }

    #[test]
    fn bodies_that_never_end_take_no_more_memory() {
        let mut circuit = probing(at(10));
        for round in 2..1000 {
            while let Ok(passage) = enter(&mut circuit, at(10 * round)) {
                circuit.on_head(RULE, passage, at(10 * round));
            }
        }
        assert_eq!(circuit.probes.len(), RULE.probes as usize + OVERDUE);
        circuit.on_body(RULE, Some(0), BodyEnd::Broken, at(9_990));
        assert_eq!(circuit.state(at(9_990)), CircuitState::HalfOpen, "the oldest are forgotten");
    }

    #[test]
    fn a_probe_from_before_the_circuit_opened_again_is_no_verdict() {
        let mut circuit = probing(at(10));
        circuit.on_body(RULE, Some(0), BodyEnd::Broken, at(11));
        assert_eq!(circuit.state(at(11)), CircuitState::Open(Duration::from_secs(20)));
        for number in [2, 3] {
            assert_eq!(enter(&mut circuit, at(31)), Ok(Passage::Probe(number)));
        }
        for end in BodyEnd::ALL {
            circuit.on_body(RULE, Some(1), end, at(31));
            assert_eq!(circuit.state(at(31)), CircuitState::HalfOpen, "{end:?}");
        }
    }

    #[test]
    fn a_probe_that_fails_opens_it_for_twice_as_long_up_to_a_bound() {
        let mut circuit = Circuit::default();
        fail(&mut circuit, 3, at(0));
        let mut now = at(0);
        for seconds in [10, 20, 40, 40, 40] {
            let left = enter(&mut circuit, now).expect_err("it is open");
            assert_eq!(left, Duration::from_secs(seconds));
            now = now + left;
            let probe = enter(&mut circuit, now).expect("it is to be tried");
            assert_ne!(probe, Passage::Regular);
            circuit.on_failure(RULE, probe, now);
        }
    }

    #[test]
    fn a_response_that_fails_after_its_head_counts_as_a_failure_and_not_as_a_success() {
        let mut circuit = Circuit::default();
        for opens in [false, false, true] {
            assert_eq!(enter(&mut circuit, at(0)), Ok(Passage::Regular));
            circuit.on_success(RULE, Passage::Regular);
            circuit.on_cut(RULE, at(0));
            assert_eq!(circuit.is_passable(RULE, at(9)), !opens);
        }
        circuit.on_cut(RULE, at(5));
        assert!(circuit.is_passable(RULE, at(10)), "one from before it opened changes nothing");
    }

    #[test]
    fn responses_that_come_whole_between_those_that_fail_keep_it_closed() {
        let mut circuit = Circuit::default();
        for _ in 0..WINDOW {
            (0..4).for_each(|_| circuit.on_success(RULE, Passage::Regular));
            circuit.on_cut(RULE, at(0));
        }
        assert_eq!(enter(&mut circuit, at(0)), Ok(Passage::Regular));
        assert_eq!(circuit.outcomes.count_ones(), WINDOW / 4, "one of four failed");
    }

    #[test]
    fn what_left_before_it_opened_changes_nothing() {
        let mut circuit = Circuit::default();
        fail(&mut circuit, 3, at(0));
        fail(&mut circuit, 3, at(9));
        circuit.on_success(RULE, Passage::Regular);
        assert_eq!(enter(&mut circuit, at(9)), Err(Duration::from_secs(1)));
        assert_eq!(enter(&mut circuit, at(10)), Ok(Passage::Probe(0)));
        circuit.on_success(RULE, Passage::Regular);
        circuit.on_failure(RULE, Passage::Regular, at(10));
        assert_eq!(enter(&mut circuit, at(10)), Ok(Passage::Probe(1)), "only probes decide");
    }
}
