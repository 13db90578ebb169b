use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::StreamExt as _;

use super::*;
use crate::retry::retry;

fn host(name: &str) -> Origin {
    Origin::of(&format!("http://{name}/v2/").parse().unwrap()).unwrap()
}

/// Requests 50 blobs, six at a time, from a host that is down until `up`; returns the attempts and the failed blobs.
async fn request_blobs(budget: &RetryBudget, host: &Origin, up: Option<Instant>) -> (u32, usize) {
    let attempts = AtomicU32::new(0);
    let blob = |number: u32| {
        let (attempts, what) = (&attempts, format!("blob {number}"));
        async move {
            let one = || async {
                let _turn = budget.admit(host, &what).await?;
                attempts.fetch_add(1, Ordering::Relaxed);
                if up.is_some_and(|up| Instant::now() >= up) {
                    budget.record_success(host);
                    return Ok(());
                }
                budget.record_failure(host, "connection refused", None);
                let error = Error::new(ErrorKind::Transport, &what).transient(None);
                let lasted = Duration::ZERO;
                let outage = Outage { lasted, is_news: false };
                Err(if up.is_some() { error.in_outage(outage) } else { error })
            };
            retry(&budget.policy, one).await
        }
    };
    let results = futures_util::stream::iter((0..50).map(blob)).buffer_unordered(6);
    let failed = results.filter(|result| std::future::ready(result.is_err())).count().await;
    (attempts.into_inner(), failed)
}

#[tokio::test(start_paused = true)]
async fn dead_host_costs_tens_of_attempts() {
    let (budget, dead) = (RetryBudget::default(), host("dead:1"));
    let began = Instant::now();
    let (attempts, failed) = request_blobs(&budget, &dead, None).await;
    assert_eq!(failed, 50);
    assert!((MAX_TOKENS..40).contains(&attempts), "{attempts}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let error = budget.admit(&dead, "blob x").await.unwrap_err();
    assert!(!error.is_transient());
    let text = error.chain();
    assert!(text.starts_with("blob x: dead:1: connection refused (unreachable, tried "), "{text}");
    assert!(budget.admit(&host("other:1"), "blob x").await.unwrap().is_none());
    tokio::time::advance(MAX_GAP).await;
    assert!(budget.admit(&dead, "blob x").await.unwrap().is_none(), "it may be back");
}

#[tokio::test(start_paused = true)]
async fn outage_of_known_host_shares_attempts_until_it_is_over() {
    let (budget, known) = (RetryBudget::default(), host("known:1"));
    budget.record_success(&known);
    let up = Instant::now() + Duration::from_secs(60);
    let (attempts, failed) = request_blobs(&budget, &known, Some(up)).await;
    assert_eq!(failed, 0);
    assert!((50 + MAX_TOKENS..50 + 60).contains(&attempts), "{attempts}");
    assert!(up.elapsed() < Duration::from_secs(30), "{:?}", up.elapsed());
}

#[tokio::test(start_paused = true)]
async fn outage_beyond_time_ends_all_requests() {
    let (budget, known) = (RetryBudget::default(), host("known:1"));
    budget.record_success(&known);
    let (began, never) = (Instant::now(), Instant::now() + Duration::from_secs(99_999));
    let (attempts, failed) = request_blobs(&budget, &known, Some(never)).await;
    assert_eq!(failed, 50);
    assert!(attempts < 80, "{attempts}");
    let took = began.elapsed().as_secs();
    assert!((120..180).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn tokens_are_given_back_for_requests_and_bytes() {
    let (budget, one) = (RetryBudget::default(), host("one:1"));
    let tokens = || budget.hosts()[&one].tokens;
    for _ in 0..MAX_TOKENS + 2 {
        budget.record_failure(&one, "reset", None);
    }
    assert_eq!(tokens(), 0);
    for _ in 0..=REQUESTS_PER_TOKEN {
        budget.record_success(&one);
    }
    assert_eq!(tokens(), 1);
    budget.record_bytes(&one, 2 * BYTES_PER_TOKEN);
    assert_eq!(tokens(), 3);
    budget.record_bytes(&one, u64::from(MAX_TOKENS) * BYTES_PER_TOKEN);
    assert_eq!(tokens(), MAX_TOKENS);
}

#[tokio::test(start_paused = true)]
async fn retry_after_pauses_host_for_all() {
    let (budget, busy) = (RetryBudget::default(), host("busy:1"));
    let slow_down = |seconds| {
        let error = Error::new(ErrorKind::Registry, "blob a").with_reason("slow down");
        error.with_status(429).transient(Some(Duration::from_secs(seconds)))
    };
    budget.pause(&busy, &slow_down(30));
    tokio::time::advance(Duration::from_secs(10)).await;
    budget.pause(&busy, &slow_down(5));
    let error = budget.admit(&busy, "blob b").await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(20)));
    assert_eq!((error.status(), error.chain().as_str()), (Some(429), "blob b: busy:1: slow down"));
    assert!(budget.admit(&host("other:1"), "blob b").await.is_ok());
    let began = Instant::now();
    let sent = retry(&budget.policy, || budget.admit(&busy, "blob b")).await;
    assert!(sent.is_ok() && began.elapsed() >= Duration::from_secs(20), "{:?}", began.elapsed());
    budget.pause(&busy, &slow_down(99_999));
    assert!(budget.admit(&busy, "blob b").await.is_ok(), "not obeyed");
}
