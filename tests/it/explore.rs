//! Every state that a small house can come to: one account with two grants, two jobs, two workers, and
//! whatever goes wrong between them. The reference ledger is the store, and the promises are asked in each
//! state; what a test of chosen cases does not think of is among them.

mod act;
mod defects;
mod promises;
mod world;

use std::time::Instant;

use stateright::{Checker, Model};

use world::{Budget, House};

/// Walks all of a house's states and says how many there were.
#[expect(
    clippy::print_stderr,
    reason = "scripts/explore shows what came of the walk"
)]
fn explore(name: &str, house: House) {
    let threads = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .min(4);
    let began = Instant::now();
    let house_budget = house.budget;
    let checker = house.checker().threads(threads).spawn_bfs().join();
    let found = checker.discoveries();
    let broken: Vec<String> = found
        .iter()
        .filter(|(property, _)| {
            checker.discovery_classification(property).to_string() == "counterexample"
        })
        .map(|(property, path)| format!("{property}: {:#?}", path.clone().into_actions()))
        .collect();
    eprintln!(
        "explored {name}: {} states, {} of them different, {} steps deep, {} s",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        began.elapsed().as_secs()
    );
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(checker.is_done(), "not every state was looked at");
    let has_lost_workers = house_budget.deaths + house_budget.stalls > 0;
    for (property, _) in promises::SEEN {
        let can_come = has_lost_workers || property != promises::TAKEN_OVER;
        assert!(
            !can_come || found.contains_key(property),
            "{name}: {property:?} never came up"
        );
    }
}

/// How much may go wrong: in the script that looks deeper, more.
fn budget(usual: Budget, deep: Budget) -> Budget {
    #[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
    let is_deep = std::env::var("METERLINE_EXPLORE").is_ok_and(|word| word == "deep");
    if is_deep { deep } else { usual }
}

const CALM: Budget = Budget {
    deaths: 0,
    unheard: 0,
    echoes: 0,
    stalls: 0,
    failures: 0,
    cancels: 0,
    refunds: 0,
    sleeps: 0,
    fail_overs: 0,
    price_rises: 0,
};

#[test]
fn promises_05_and_08_hold_whenever_workers_die_or_fall_silent_and_their_words_come_late() {
    let usual = Budget {
        stalls: 1,
        echoes: 1,
        ..CALM
    };
    let deep = Budget {
        deaths: 2,
        stalls: 1,
        echoes: 2,
        sleeps: 1,
        ..CALM
    };
    explore(
        "a house whose workers die",
        House::sound(budget(usual, deep)),
    );
}

#[test]
fn promises_03_and_10_hold_whichever_answers_are_lost_and_calls_sent_again() {
    let usual = Budget {
        unheard: 1,
        echoes: 1,
        refunds: 1,
        ..CALM
    };
    let deep = Budget {
        unheard: 3,
        echoes: 2,
        refunds: 2,
        stalls: 1,
        ..CALM
    };
    explore(
        "a house whose answers get lost",
        House::sound(budget(usual, deep)),
    );
}

#[test]
fn promises_01_to_05_hold_whatever_fails_and_when() {
    let usual = Budget {
        failures: 1,
        echoes: 1,
        ..CALM
    };
    let deep = Budget {
        failures: 2,
        echoes: 1,
        price_rises: 1,
        ..CALM
    };
    explore("a house whose jobs fail", House::sound(budget(usual, deep)));
}

#[test]
fn promises_05_and_09_hold_whatever_is_cancelled_and_when() {
    let usual = Budget {
        cancels: 1,
        echoes: 1,
        ..CALM
    };
    let deep = Budget {
        cancels: 2,
        sleeps: 2,
        echoes: 1,
        ..CALM
    };
    explore(
        "a house whose jobs are cancelled",
        House::sound(budget(usual, deep)),
    );
}

#[test]
fn promise_11_after_lost_writes_only_the_fence_the_sweep_and_the_ends_act() {
    let usual = Budget {
        fail_overs: 1,
        echoes: 1,
        ..CALM
    };
    let deep = Budget {
        fail_overs: 1,
        echoes: 1,
        deaths: 1,
        ..CALM
    };
    explore(
        "a house whose server fails over",
        House::sound(budget(usual, deep)),
    );
}
