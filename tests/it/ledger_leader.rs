//! One process at a time audits a partition, and only its findings are kept.

use meterline::store::Store;

use crate::support::*;

const LEASE: u64 = 10_000;

async fn lead(store: &Store, who: &str) -> bool {
    store.lead_audit(0, who, LEASE).await.expect("lead")
}

async fn keep(store: &Store, who: &str, seq: u64) -> bool {
    let kept = store.keep_audit(0, who, "{}", true, seq, 0);
    kept.await.expect("keep")
}

#[tokio::test]
async fn what_somebody_found_who_no_longer_leads_is_not_kept() {
    let (store, raw) = store_and_raw(options()).await;
    assert!(lead(&store, "a1").await);
    assert!(!lead(&store, "a2").await, "a1 leads");
    assert!(keep(&store, "a1", 3).await);

    // The lease has lapsed and nobody has asked for it yet: whoever does not hold it has no say.
    let later = store.at(T0 + LEASE);
    let before = raw.dump().await;
    assert!(!keep(&later, "a2", 9).await);
    assert_eq!(raw.dump().await, before);
    assert!(lead(&later, "a2").await);
    let before = raw.dump().await;
    assert!(!keep(&later, "a1", 9).await, "a2 leads now");
    assert_eq!(raw.dump().await, before);
    assert!(keep(&later, "a2", 4).await);
}
