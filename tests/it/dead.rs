//! Dead letters: found page by page by any filter, and dropped.

use std::collections::BTreeSet;

use meterline::domain::failure::FailureClass;
use meterline::domain::ids::{AccountId, JobId};
use meterline::store::{
    DeadFilter, DeadLetter, DropOutcome, HoldView, Payer, Redrive, Sorting, Store,
};

use crate::support::*;

/// A dead letter of one credit and this class.
async fn dead(store: &Store, account: &AccountId, tool: &str, class: FailureClass) -> JobId {
    let mut job = job_for(store, account, 1);
    job.tool = tool.to_owned();
    accept(store, &job).await;
    let claimed = claim_one(store, "w1").await;
    fail(store, &claimed, &ends(class)).await;
    claimed.job
}

/// Every dead letter that fits, page by page.
async fn all(store: &Store, filter: &DeadFilter, order: Sorting) -> Vec<DeadLetter> {
    let (mut found, mut place) = (Vec::new(), None);
    loop {
        let page = store.dead_page(0, filter, order, place.as_ref()).await;
        let page = page.expect("a page");
        assert!(page.letters.len() <= 100, "a page is bounded");
        found.extend(page.letters);
        place = page.next;
        if place.is_none() {
            return found;
        }
    }
}

fn jobs(letters: &[DeadLetter]) -> Vec<JobId> {
    letters.iter().map(|letter| letter.job.clone()).collect()
}

#[tokio::test]
async fn every_filter_finds_its_own_and_nothing_else() {
    use FailureClass::{Lost, ProviderFault};
    let store = store().await;
    let (acme, zeta) = (
        funded(&store, "acme", 50).await,
        funded(&store, "zeta", 50).await,
    );
    let made = [
        dead(&store, &acme, "upscale", ProviderFault).await,
        dead(&store.at(T0 + 1_000), &acme, "image-to-video", Lost).await,
        dead(&store.at(T0 + 2_000), &zeta, "upscale", Lost).await,
    ];
    let none = DeadFilter::default;
    let cases = [
        (none(), vec![0, 1, 2]),
        (
            DeadFilter {
                tool: Some("upscale".to_owned()),
                ..none()
            },
            vec![0, 2],
        ),
        (
            DeadFilter {
                class: Some(Lost),
                ..none()
            },
            vec![1, 2],
        ),
        (
            DeadFilter {
                account: Some(zeta),
                ..none()
            },
            vec![2],
        ),
        (
            DeadFilter {
                since_ms: Some(T0 + 1_000),
                ..none()
            },
            vec![1, 2],
        ),
        (
            DeadFilter {
                until_ms: Some(T0 + 1_000),
                ..none()
            },
            vec![0, 1],
        ),
        (
            DeadFilter {
                class: Some(Lost),
                account: Some(acme),
                since_ms: Some(T0 + 1_001),
                ..none()
            },
            vec![],
        ),
    ];
    for (filter, expected) in cases {
        let mut expected: Vec<JobId> = expected
            .into_iter()
            .map(|n: usize| made[n].clone())
            .collect();
        assert_eq!(
            jobs(&all(&store, &filter, Sorting::Earliest).await),
            expected,
            "{filter:?}"
        );
        expected.reverse();
        assert_eq!(
            jobs(&all(&store, &filter, Sorting::Latest).await),
            expected,
            "{filter:?}"
        );
    }
    let one = store
        .dead_letter(&made[1])
        .await
        .expect("a look")
        .expect("one");
    assert_eq!(
        (one.ended_ms, one.ceiling, one.class.as_str()),
        (T0 + 1_000, credits(1), "lost")
    );
    assert_eq!(one, all(&store, &none(), Sorting::Earliest).await[1]);
}

#[tokio::test]
async fn pages_lose_and_repeat_nothing_though_all_died_at_one_moment_and_leave_meanwhile() {
    for order in [Sorting::Earliest, Sorting::Latest] {
        let (store, raw) = store_and_raw(options()).await;
        let acme = funded(&store, "acme", 1).await;
        // Records as a failing provider leaves them by the thousand: all at one time.
        let index = key("part", "deadletters");
        let mut made = BTreeSet::new();
        for _ in 0..350 {
            let job = store.new_job_id(&acme);
            let hash = key("job", job.as_str());
            raw.run::<()>(&[
                "HSET", &hash, "state", "failed", "account", "acme", "hold_ucr", "1",
            ])
            .await;
            raw.run::<()>(&["ZADD", &index, &T0.to_string(), job.as_str()])
                .await;
            made.insert(job);
        }
        let (mut seen, mut place, mut pages) = (Vec::new(), None, 0);
        loop {
            let filter = DeadFilter::default();
            let page = store
                .dead_page(0, &filter, order, place.as_ref())
                .await
                .expect("a page");
            pages += 1;
            for letter in &page.letters {
                // Every second one goes away as soon as it was seen, the last of a page among them.
                if seen.len() % 2 == 1 {
                    raw.run::<()>(&["ZREM", &index, letter.job.as_str()]).await;
                }
                seen.push(letter.job.clone());
            }
            place = page.next;
            if place.is_none() {
                break;
            }
        }
        assert_eq!(pages, 4);
        assert_eq!(seen.len(), 350, "{order:?}");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), made);
    }
}

#[tokio::test]
async fn a_dropped_dead_letter_is_gone_with_what_was_asked_and_moves_no_money() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 10).await;
    let job = dead(&store, &acme, "upscale", FailureClass::UserInput).await;
    let before = money(&store, &acme).await;
    let drop = async || store.drop_dead(&job, "spam", "ops").await.expect("drop");
    let dropped = |replayed| DropOutcome::Dropped {
        account: "acme".to_owned(),
        ceiling: credits(1),
        replayed,
    };
    assert_eq!(drop().await, dropped(false));
    assert_eq!(store.payload(&job).await.expect("payload"), None);
    assert_eq!(
        all(&store, &DeadFilter::default(), Sorting::Latest).await,
        []
    );
    assert_eq!(money(&store, &acme).await, before);
    let after = raw.dump().await;
    assert_eq!(drop().await, dropped(true));
    assert_eq!(raw.dump().await, after);
    let acts = store.acts(0, "-", 9).await.expect("acts");
    assert_eq!(acts.len(), 1);
    assert_eq!(
        (acts[0].act.as_str(), acts[0].reason.as_str()),
        ("drop", "spam")
    );
    assert_eq!(
        (acts[0].subject.as_str(), acts[0].actor.as_str()),
        (job.as_str(), "ops")
    );
    assert_sound(&store).await;
}

#[tokio::test]
async fn promise_09_only_a_dead_letter_can_be_dropped() {
    let (store, raw) = store_and_raw(options()).await;
    let acme = funded(&store, "acme", 10).await;
    let again = dead(&store, &acme, "upscale", FailureClass::Lost).await;
    let request = Redrive {
        dead: again.clone(),
        job: store.successor_id(&again),
        payer: Payer::Account,
        reason: String::new(),
        actor: "ops".to_owned(),
    };
    store.redrive(&request).await.expect("redrive");
    let before = raw.dump().await;
    let drop = async |job: &JobId| store.drop_dead(job, "spam", "ops").await.expect("drop");
    assert_eq!(
        drop(&again).await,
        DropOutcome::Redriven(request.job.clone())
    );
    assert_eq!(
        drop(&request.job).await,
        DropOutcome::NotDead("queued".to_owned())
    );
    assert_eq!(
        drop(&store.new_job_id(&acme)).await,
        DropOutcome::UnknownJob
    );
    assert_eq!(raw.dump().await, before);
}

#[tokio::test]
async fn open_holds_say_for_which_job_and_out_of_which_grants() {
    let store = store().await;
    let (acme, zeta) = (
        funded(&store, "acme", 10).await,
        funded(&store, "zeta", 50).await,
    );
    give(
        &store,
        &zeta,
        5,
        meterline::store::GrantKind::Promo,
        Some(T0 + 9_000),
        "p",
    )
    .await;
    let first = accept(&store, &job_for(&store, &acme, 7)).await.job;
    let second = accept(&store.at(T0 + 5), &job_for(&store, &zeta, 20))
        .await
        .job;
    let over = accept(&store, &job_for(&store, &acme, 3)).await.job;
    cancel(&store, &over).await;
    let holds = async |account: Option<&AccountId>| -> Vec<HoldView> {
        let page = store.hold_page(0, account, None).await.expect("a page");
        assert_eq!(page.next, None);
        page.holds
    };
    let both = holds(None).await;
    let ids: Vec<&JobId> = both.iter().map(|hold| &hold.job).collect();
    assert_eq!(ids, [&first, &second]);
    assert_eq!(
        both[1].slices,
        [
            ("g2".to_owned(), credits(5)),
            ("g1".to_owned(), credits(15))
        ]
    );
    assert_eq!((both[1].amount, both[1].since_ms), (credits(20), T0 + 5));
    assert_eq!(holds(Some(&acme)).await, both[..1]);
    assert_eq!(holds(Some(&account("nobody"))).await, []);
}
