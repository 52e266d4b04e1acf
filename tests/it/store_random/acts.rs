//! What can happen to a store, and how often each of it does.

use proptest::prelude::*;

/// One thing that somebody does. Indexes are taken modulo what there is.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Grant {
        account: usize,
        credits: u32,
        kind: usize,
        lives_s: u64,
    },
    Owe {
        account: usize,
        credits: u32,
    },
    /// A correction: above zero up, else down.
    Adjust {
        account: usize,
        credits: i64,
    },
    Refund {
        job: usize,
        credits: Option<u32>,
    },
    /// What may be spent in a day; 0 = no cap.
    Cap {
        account: usize,
        credits: u32,
    },
    /// Active jobs; 0 = the default.
    Limit {
        account: usize,
        n: u32,
        of_queue: bool,
    },
    Submit {
        account: usize,
        credits: u32,
        priority: usize,
        delay_s: u64,
        key: u32,
    },
    Claim {
        worker: usize,
        n: u32,
    },
    Note {
        claim: usize,
        step: u32,
    },
    Settle {
        claim: usize,
        percent: i64,
    },
    Fail {
        claim: usize,
        class: usize,
        again_s: Option<u64>,
        has_verdict: bool,
    },
    Defer {
        claim: usize,
        delay_s: u64,
        keep: bool,
    },
    HandOver {
        claim: usize,
        keep: bool,
    },
    Leave {
        worker: usize,
    },
    Halt {
        act: usize,
    },
    Cancel {
        job: usize,
    },
    Beat {
        worker: usize,
    },
    HandBack {
        worker: usize,
        keep: usize,
    },
    /// Account 0 or 1, or the whole partition.
    Freeze {
        who: usize,
    },
    Clear {
        who: usize,
    },
    /// A step of a round of openings, of trimming, of the continuous audit.
    KeepBooks,
    Tick,
    Reap,
    /// The house lives on: it sweeps every five seconds, and reaps at the end.
    Live {
        s: u64,
    },
    /// Time goes by and nobody sweeps.
    Wait {
        ms: u64,
    },
}

pub(super) fn act() -> impl Strategy<Value = Act> {
    let (account, worker) = (0..2usize, 0..3usize);
    let claim = 0..40usize;
    prop_oneof![
        3 => (account.clone(), 1..40u32, 0..4usize, 0..60u64)
            .prop_map(|(account, credits, kind, lives_s)| Act::Grant { account, credits, kind, lives_s }),
        1 => (account.clone(), 1..6u32).prop_map(|(account, credits)| Act::Owe { account, credits }),
        1 => (account.clone(), -12..6i64).prop_map(|(account, credits)| Act::Adjust { account, credits }),
        2 => (0..40usize, prop::option::of(1..9u32)).prop_map(|(job, credits)| Act::Refund { job, credits }),
        1 => (account.clone(), prop_oneof![1 => Just(0u32), 1 => 20..90u32])
            .prop_map(|(account, credits)| Act::Cap { account, credits }),
        1 => (account.clone(), 0..5u32, any::<bool>())
            .prop_map(|(account, n, of_queue)| Act::Limit { account, n, of_queue }),
        8 => (account, 0..25u32, 0..3usize, prop_oneof![3 => Just(0u64), 1 => 1..8u64], 0..30u32)
            .prop_map(|(account, credits, priority, delay_s, key)| {
                Act::Submit { account, credits, priority, delay_s, key }
            }),
        7 => (worker.clone(), 1..4u32).prop_map(|(worker, n)| Act::Claim { worker, n }),
        5 => (claim.clone(), 0..3u32).prop_map(|(claim, step)| Act::Note { claim, step }),
        5 => (claim.clone(), 0..110i64).prop_map(|(claim, percent)| Act::Settle { claim, percent }),
        4 => (claim.clone(), 0..10usize, prop::option::of(0..6u64), any::<bool>())
            .prop_map(|(claim, class, again_s, has_verdict)| {
                Act::Fail { claim, class, again_s, has_verdict }
            }),
        2 => (claim.clone(), any::<bool>()).prop_map(|(claim, keep)| Act::HandOver { claim, keep }),
        1 => worker.clone().prop_map(|worker| Act::Leave { worker }),
        2 => prop_oneof![1 => Just(0usize), 1 => Just(1usize), 3 => Just(2usize)].prop_map(|act| Act::Halt { act }),
        3 => (claim, 0..4u64, any::<bool>())
            .prop_map(|(claim, delay_s, keep)| Act::Defer { claim, delay_s, keep }),
        2 => (0..40usize).prop_map(|job| Act::Cancel { job }),
        3 => worker.clone().prop_map(|worker| Act::Beat { worker }),
        1 => (worker, 0..3usize).prop_map(|(worker, keep)| Act::HandBack { worker, keep }),
        1 => (0..3usize).prop_map(|who| Act::Freeze { who }),
        2 => (0..3usize).prop_map(|who| Act::Clear { who }),
        4 => Just(Act::KeepBooks),
        4 => Just(Act::Tick),
        2 => Just(Act::Reap),
        5 => (1..18u64).prop_map(|s| Act::Live { s }),
        4 => prop_oneof![9 => 0..3_000u64, 1 => 0..20_000u64].prop_map(|ms| Act::Wait { ms }),
    ]
}
