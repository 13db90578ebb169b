use std::cell::RefCell;

use super::*;

const STEP: Duration = Duration::from_millis(10);

/// Runs for this time with as many connections as allowed, at a source with this rate; returns them at the end.
fn run(
    growth: &mut Growth,
    now: &mut Instant,
    time: Duration,
    blobs: usize,
    rate: impl Fn(usize) -> u64,
) -> usize {
    let (end, mut in_use) = (*now + time, blobs);
    while *now < end {
        *now += STEP;
        growth.record(*now, rate(in_use) / 100);
        in_use =
            growth.allowed(*now, in_use).max(growth.unmeasured(*now, MIN_UNMEASURED)).max(blobs);
    }
    in_use
}

#[test]
fn growth_reaches_maximum_where_each_connection_has_its_own_limit() {
    let (mut growth, mut now) = (Growth::new(16), Instant::now());
    let limited = |connections: usize| connections as u64 * 20_000_000;
    let reached = run(&mut growth, &mut now, Duration::from_millis(1500), 1, limited);
    assert_eq!(reached, 16);
}

#[test]
fn growth_stops_where_link_is_limit() {
    let (mut growth, mut now) = (Growth::new(16), Instant::now());
    let link = |_: usize| 50_000_000;
    assert_eq!(run(&mut growth, &mut now, Duration::from_secs(4), 1, link), 1);
    assert_eq!(growth.proven(), 0);
    let shared = |connections: usize| 20_000_000 * connections.min(4) as u64;
    let (mut growth, mut now) = (Growth::new(16), Instant::now());
    assert_eq!(
        run(&mut growth, &mut now, Duration::from_secs(4), 1, shared),
        6,
        "three were slower"
    );
}

#[test]
fn growth_of_far_source_begins_with_more_connections() {
    for (round_trip, wanted) in [(19, 0), (20, 5)] {
        let (mut growth, now) = (Growth::new(16), Instant::now());
        growth.record_round_trip(Duration::from_millis(round_trip));
        assert_eq!(growth.unmeasured(now, MIN_UNMEASURED), wanted);
    }
    let (mut growth, now) = (Growth::new(16), Instant::now());
    growth.record_round_trip(FAR_ROUND_TRIP);
    growth.cut(now, 1);
    assert_eq!(growth.unmeasured(now, MIN_UNMEASURED), 0, "the source has refused requests");
    let mut growth = Growth::new(16);
    growth.record_round_trip(FAR_ROUND_TRIP);
    assert_eq!(growth.unmeasured(now, MIN_UNMEASURED - 1), 0, "the blob is small");
}

/// The numbers of connections that a source with this round trip gets in three seconds, in order.
fn steps(round_trip: u64, rate: impl Fn(usize) -> u64) -> Vec<usize> {
    let (mut growth, mut now) = (Growth::new(16), Instant::now());
    growth.record_round_trip(Duration::from_millis(round_trip));
    let seen = RefCell::new(vec![]);
    run(&mut growth, &mut now, Duration::from_secs(3), 1, |connections| {
        seen.borrow_mut().push(connections);
        rate(connections)
    });
    let mut seen = seen.into_inner();
    seen.dedup();
    seen
}

#[test]
fn growth_tries_few_connections_where_link_is_nearly_full() {
    let link = |connections: usize| 12_500_000 * connections.min(4) as u64;
    assert_eq!(steps(1, link), [1, 3, 6, 8, 6]);
    assert_eq!(steps(50, link), [1, 5, 7, 5]);
}

#[test]
fn growth_doubles_where_rate_grows_with_connections() {
    let limited = |connections: usize| connections as u64 * 5_000_000;
    assert_eq!(steps(1, limited), [1, 3, 6, 12, 16]);
    assert_eq!(steps(50, limited), [1, 5, 7, 14, 16]);
}

#[test]
fn growth_is_halved_once_per_burst_and_recovers() {
    let (mut growth, mut now) = (Growth::new(16), Instant::now());
    let limited = |connections: usize| connections as u64 * 20_000_000;
    run(&mut growth, &mut now, Duration::from_secs(2), 1, limited);
    for _ in 0..5 {
        growth.cut(now, 16);
    }
    assert_eq!(growth.allowed(now, 8), 8);
    let reached = run(&mut growth, &mut now, Duration::from_secs(60), 1, limited);
    assert_eq!(reached, 16);
}

#[test]
fn growth_shrinks_when_rate_falls() {
    let (mut growth, mut now) = (Growth::new(16), Instant::now());
    let limited = |connections: usize| connections as u64 * 20_000_000;
    run(&mut growth, &mut now, Duration::from_secs(2), 1, limited);
    let crowded = |connections: usize| 100_000_000 / connections as u64;
    let mut least = 16;
    for _ in 0..10 {
        let reached = run(&mut growth, &mut now, Duration::from_secs(1), 1, crowded);
        least = least.min(reached);
    }
    assert!(least <= 12, "{least}");
}

/// A server with limited connections that serves one after the other, then pauses: seen at nginx 1.22.
#[test]
fn growth_sees_gain_where_bytes_come_in_pulses() {
    for pause in 75..125 {
        let (mut growth, mut now, mut in_use) = (Growth::new(16), Instant::now(), 4);
        let end = now + Duration::from_secs(3);
        while now < end {
            let open = in_use;
            for _ in 0..open {
                now += Duration::from_millis(3);
                growth.record(now, 2_000_000);
                in_use = growth.allowed(now, in_use).max(4);
            }
            now += Duration::from_millis(pause);
        }
        assert_eq!(in_use, 16, "{pause}");
    }
}

#[test]
fn growth_trial_without_use_proves_nothing() {
    let (mut growth, mut now) = (Growth::new(16), Instant::now());
    for _ in 0..200 {
        now += STEP;
        growth.record(now, 200_000);
        growth.allowed(now, 3);
    }
    assert!(!growth.proven() > 0 && growth.held_until.is_none());
}
