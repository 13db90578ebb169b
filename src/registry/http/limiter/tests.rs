use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::StreamExt as _;

use super::*;
use crate::retry::retry;

/// The tokens of a host with six connections.
const MAX_TOKENS: u32 = 22;

fn limiters() -> Limiters {
    Limiters::new(&RegistryOptions::default())
}

fn limiter(limiters: &Limiters, name: &str) -> Arc<Limiter> {
    limiters.host(&Origin::from_url(&format!("http://{name}/v2/").parse().unwrap()).unwrap())
}

fn refused(what: &str) -> Error {
    Error::new(ErrorKind::Transport, what).with_reason("connection refused").transient(None)
}

/// Requests 50 blobs, six at a time, from a host that is down until `up`; returns the attempts and the failed blobs.
async fn request_blobs(limiter: &Limiter, up: Option<Instant>) -> (u32, usize) {
    let attempts = AtomicU32::new(0);
    let blob = |number: u32| {
        let (attempts, what) = (&attempts, format!("blob {number}"));
        async move {
            let one = || async {
                let _turn = limiter.admit(RequestClass::Request, &what).await?;
                attempts.fetch_add(1, Ordering::Relaxed);
                if up.is_some_and(|up| Instant::now() >= up) {
                    limiter.record_response(StatusCode::OK);
                    return Ok(());
                }
                Err(limiter.record_failure(refused(&what)))
            };
            retry(&limiter.policy, one).await
        }
    };
    let results = futures_util::stream::iter((0..50).map(blob)).buffer_unordered(6);
    let failed = results.filter(|result| std::future::ready(result.is_err())).count().await;
    (attempts.into_inner(), failed)
}

#[tokio::test(start_paused = true)]
async fn dead_host_costs_tens_of_attempts() {
    let hosts = limiters();
    let dead = limiter(&hosts, "dead:1");
    let began = Instant::now();
    let (attempts, failed) = request_blobs(&dead, None).await;
    assert_eq!(failed, 50);
    assert!((MAX_TOKENS..40).contains(&attempts), "{attempts}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let error = dead.admit(RequestClass::Request, "blob x").await.unwrap_err();
    assert!(!error.is_transient());
    let text = error.chain();
    assert!(text.starts_with("blob x: dead:1: connection refused (unreachable, tried "), "{text}");
    assert!(
        limiter(&hosts, "other:1")
            .admit(RequestClass::Request, "blob x")
            .await
            .unwrap()
            .turn
            .is_none()
    );
    tokio::time::advance(MAX_GAP).await;
    assert!(
        dead.admit(RequestClass::Request, "blob x").await.unwrap().turn.is_none(),
        "it may be back"
    );
}

#[tokio::test(start_paused = true)]
async fn outage_of_known_host_shares_attempts_until_it_is_over() {
    let known = limiter(&limiters(), "known:1");
    known.record_response(StatusCode::OK);
    let up = Instant::now() + Duration::from_secs(60);
    let (attempts, failed) = request_blobs(&known, Some(up)).await;
    assert_eq!(failed, 0);
    assert!((50 + MAX_TOKENS..50 + 60).contains(&attempts), "{attempts}");
    assert!(up.elapsed() < Duration::from_secs(30), "{:?}", up.elapsed());
}

#[tokio::test(start_paused = true)]
async fn outage_beyond_time_ends_all_requests() {
    let known = limiter(&limiters(), "known:1");
    known.record_response(StatusCode::OK);
    let (began, never) = (Instant::now(), Instant::now() + Duration::from_secs(99_999));
    let (attempts, failed) = request_blobs(&known, Some(never)).await;
    assert_eq!(failed, 50);
    assert!(attempts < 80, "{attempts}");
    let took = began.elapsed().as_secs();
    assert!((120..180).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn tokens_are_given_back_for_requests_and_bytes() {
    let one = limiter(&limiters(), "one:1");
    let tokens = || one.state().tokens;
    for _ in 0..MAX_TOKENS + 2 {
        one.record_failure(refused("blob"));
    }
    assert_eq!(tokens(), 0);
    for _ in 0..=REQUESTS_PER_TOKEN {
        one.record_response(StatusCode::OK);
    }
    assert_eq!(tokens(), 1);
    one.record_bytes(2 * BYTES_PER_TOKEN);
    assert_eq!(tokens(), 3);
    one.record_bytes(u64::from(MAX_TOKENS) * BYTES_PER_TOKEN);
    assert_eq!(tokens(), MAX_TOKENS);
}

#[tokio::test(start_paused = true)]
async fn retry_after_pauses_host_for_all() {
    let hosts = limiters();
    let busy = limiter(&hosts, "busy:1");
    let slow_down = |seconds| {
        let error = Error::new(ErrorKind::Registry, "blob a").with_reason("slow down");
        error.with_status(429).transient(Some(Duration::from_secs(seconds)))
    };
    busy.pause(&slow_down(30));
    tokio::time::advance(Duration::from_secs(10)).await;
    busy.pause(&slow_down(5));
    let error = busy.admit(RequestClass::Request, "blob b").await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(20)));
    assert_eq!((error.status(), error.chain().as_str()), (Some(429), "blob b: busy:1: slow down"));
    assert!(limiter(&hosts, "other:1").admit(RequestClass::Request, "blob b").await.is_ok());
    let began = Instant::now();
    let sent = retry(&busy.policy, || busy.admit(RequestClass::Request, "blob b")).await;
    assert!(sent.is_ok() && began.elapsed() >= Duration::from_secs(20), "{:?}", began.elapsed());
    busy.pause(&slow_down(99_999));
    assert!(busy.admit(RequestClass::Request, "blob b").await.is_ok(), "not obeyed");
}

#[tokio::test(start_paused = true)]
async fn outage_begins_with_first_failure_after_answer() {
    let limiter = limiter(&limiters(), "localhost:5000");
    let outage = || {
        let error = Error::new(ErrorKind::Transport, "blob").transient(None);
        limiter.record_failure(error).outage()
    };
    assert_eq!(outage(), None);
    limiter.record_response(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(outage(), None, "it has not answered yet");
    limiter.record_response(StatusCode::UNAUTHORIZED);
    let new = Outage { lasted: Duration::ZERO, should_report: false };
    assert_eq!(outage(), Some(new));
    tokio::time::advance(Duration::from_secs(50)).await;
    limiter.record_response(StatusCode::BAD_GATEWAY);
    let later = Outage { lasted: Duration::from_secs(50), should_report: true };
    assert_eq!(outage(), Some(later));
    assert_eq!(outage(), Some(Outage { should_report: false, ..later }));
    tokio::time::advance(MAX_GAP).await;
    assert_eq!(outage(), Some(new), "no request was sent for a while");
    limiter.record_response(StatusCode::OK);
    assert_eq!(outage(), Some(new));
    let lasting = limiter.record_failure(Error::new(ErrorKind::Denied, "blob"));
    assert_eq!(lasting.outage(), None);
}

#[tokio::test(start_paused = true)]
async fn rate_limited_request_is_retried_as_long_as_outage() {
    let busy = limiter(&limiters(), "busy:1");
    busy.record_response(StatusCode::OK);
    let began = Instant::now();
    let one = || async {
        let _turn = busy.admit(RequestClass::Request, "blob").await?;
        // Other requests are served in between.
        busy.record_response(StatusCode::OK);
        busy.record_response(StatusCode::TOO_MANY_REQUESTS);
        let error = Error::new(ErrorKind::Registry, "blob").with_status(429).transient(None);
        Err::<(), _>(busy.record_failure(error))
    };
    assert!(retry(&busy.policy, one).await.is_err());
    assert!(began.elapsed() >= busy.policy.retry_for, "{:?}", began.elapsed());
}

#[test]
fn clock_shows_time_of_day() {
    let at = |seconds| clock(UNIX_EPOCH + Duration::from_secs(seconds));
    assert_eq!(at(86_400 * 9 + 43_390), "12:03:10 UTC");
}

#[test]
fn tokens_grow_with_connections() {
    let tokens = |connections| {
        let options = RegistryOptions::default().connections(connections);
        limiter(&Limiters::new(&options), "one:1").state().tokens
    };
    assert_eq!([1, 6, 64].map(tokens), [12, MAX_TOKENS, 138]);
}

/// Requests something that is always answered by 500, until it is given up; returns the attempts.
async fn request_broken(limiter: &Limiter, what: &str) -> u32 {
    let attempts = AtomicU32::new(0);
    let one = || async {
        let _turn = limiter.admit(RequestClass::Request, what).await?;
        attempts.fetch_add(1, Ordering::Relaxed);
        limiter.record_response(StatusCode::INTERNAL_SERVER_ERROR);
        let error = Error::new(ErrorKind::Registry, what).with_status(500).transient(None);
        Err::<(), _>(limiter.record_failure(error))
    };
    assert!(retry(&limiter.policy, one).await.is_err());
    attempts.into_inner()
}

#[tokio::test(start_paused = true)]
async fn broken_manifest_does_not_make_host_unreachable() {
    let known = limiter(&limiters(), "known:1");
    known.record_response(StatusCode::OK);
    tokio::time::advance(Duration::from_secs(1)).await;
    let began = Instant::now();
    assert!(request_broken(&known, "manifest a").await > 5, "the host may be down");
    assert!(began.elapsed() >= Duration::from_secs(119));
    assert!(known.admit(RequestClass::Request, "manifest a").await.is_err());
    let probe = known.admit(RequestClass::Request, "blob b").await.unwrap();
    let other = known.admit(RequestClass::Request, "blob c");
    let answered = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        known.record_response(StatusCode::OK);
        drop(probe);
    };
    let (other, ()) = tokio::join!(other, answered);
    assert!(other.unwrap().turn.is_none(), "it waits for the probe");
}

#[tokio::test(start_paused = true)]
async fn unreachable_host_is_probed_once() {
    let known = limiter(&limiters(), "known:1");
    known.record_response(StatusCode::OK);
    request_broken(&known, "manifest a").await;
    assert_eq!(request_broken(&known, "manifest b").await, 1);
    assert_eq!(request_broken(&known, "manifest c").await, 0);
}

#[tokio::test(start_paused = true)]
async fn broken_manifest_is_given_up_soon_where_others_are_answered() {
    let known = limiter(&limiters(), "known:1");
    known.record_response(StatusCode::OK);
    tokio::time::advance(Duration::from_secs(1)).await;
    let began = Instant::now();
    let others = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        known.record_response(StatusCode::OK);
    };
    let (attempts, ()) = tokio::join!(request_broken(&known, "manifest a"), others);
    assert_eq!(attempts, 6, "the first failure may be an outage");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
