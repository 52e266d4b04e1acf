//! The reference ledger beside the real scripts: the same operations at the same times, every answer and
//! every key compared after each.

mod acts;
mod answers;
mod credit;
mod pair;
mod real;
mod render;
mod table;

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::test_runner::{Config, RngSeed, TestRunner};

use acts::{Mix, acts};
use pair::Pair;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Operations that each of the tests compares at least; `scripts/explore` asks for more.
const OPERATIONS: usize = 3_400;

#[expect(clippy::disallowed_methods, reason = "no setting of the program")]
fn operations() -> usize {
    let asked = std::env::var("METERLINE_OPERATIONS").ok();
    asked.map_or(OPERATIONS, |text| {
        text.parse().expect("a number of operations")
    })
}

/// Lives a list of acts on both, to its end and on until nothing is open. Returns how many operations.
fn live(acts: &[acts::Act]) -> usize {
    runtime().block_on(async {
        let mut pair = Pair::new().await;
        for act in acts {
            for (at_ms, op) in act.ops(&pair) {
                pair.step(at_ms, op).await;
            }
            pair.clock_ms += act.lasts_ms();
        }
        pair.rest().await;
        pair.done.len()
    })
}

/// Lives so many lists that enough was compared; a failing one is shrunk and told as a table.
#[expect(clippy::print_stderr, reason = "how much was compared, for people")]
fn compare(mix: Mix) {
    let (compared, enough) = (AtomicUsize::new(0), operations());
    // A runner of its own each time, as it stops for good when it has had its cases. A seed that was given
    // is that of the first; the others' follow from it.
    for turn in 0_u64.. {
        if compared.load(Ordering::Relaxed) >= enough {
            break;
        }
        let usual = Config::default();
        let mut runner = TestRunner::new(Config {
            cases: 8,
            max_shrink_iters: 500,
            failure_persistence: None,
            rng_seed: match usual.rng_seed {
                RngSeed::Fixed(seed) => RngSeed::Fixed(seed.wrapping_add(turn)),
                RngSeed::Random => RngSeed::Random,
            },
            ..usual
        });
        let lived = runner.run(&acts(mix, 120), |acts| {
            compared.fetch_add(live(&acts), Ordering::Relaxed);
            Ok(())
        });
        if let Err(error) = lived {
            panic!("{error}");
        }
    }
    let compared = compared.load(Ordering::Relaxed);
    eprintln!("compared {compared} operations about {mix:?}");
}

#[test]
fn promise_01_and_03_credit_moves_as_the_reference_says() {
    compare(Mix::Money);
}

#[test]
fn promise_05_and_08_jobs_move_as_the_reference_says() {
    compare(Mix::Workers);
}

#[test]
fn promise_09_and_11_what_stands_still_does_as_the_reference_says() {
    compare(Mix::Everything);
}

/// Lives a table, as a failing case prints one.
fn live_table(text: &str) {
    runtime().block_on(async {
        let mut pair = Pair::new().await;
        for (at_ms, op) in table::read(text) {
            pair.step(at_ms, op).await;
        }
        pair.rest().await;
    });
}

#[test]
fn a_job_that_is_taken_over_is_charged_once_and_its_zombie_is_fenced() {
    live_table(
        "
        | at ms | operation                          |
        |     0 | open a0                            |
        |     0 | grant a0 op=1 20 daily until=40000 |
        |     0 | grant a0 op=2 20 purchase          |
        |     0 | submit a0 j1 25 normal key=1       |
        |     0 | submit a0 j2 25 normal key=1       |
        |   100 | tick                               |
        |   200 | claim w0 1                         |
        |   300 | intent j1#1 1                      |
        |   400 | handle j1#1                        |
        |  7000 | tick                               |
        | 14000 | tick                               |
        | 15300 | tick                               |
        | 16000 | reap                               |
        | 16000 | claim w1 1                         |
        | 17000 | artifact j1#2                      |
        | 17100 | settle j1#1 22                     |
        | 17200 | settle j1#2 22 absorbed=1          |
        | 17300 | settle j1#2 22 absorbed=1          |
        | 17400 | settle j1#2 21                     |
        | 17500 | fail j1#2 lost                     |
        | 41000 | refund j1 op=3                     |
        | 41000 | refund j1 op=3                     |
        ",
    );
}

#[test]
fn a_cancel_that_comes_after_the_clock_but_before_the_sweep_costs_no_expired_credit() {
    live_table(
        "
        | at ms | operation                         |
        |     0 | open a0                           |
        |     0 | grant a0 op=1 9 daily until=50000 |
        |     0 | submit a0 j1 9 high               |
        |     0 | submit a0 j2 0 high               |
        |  1000 | claim w0 1                        |
        |  2000 | defer j1#1 90000                  |
        | 62000 | cancel j1                         |
        | 62000 | cancel j2                         |
        | 62000 | cancel j2                         |
        ",
    );
}

#[test]
fn a_lane_that_a_claim_itself_lets_on_is_read_by_that_claim() {
    live_table(
        "
        | at ms | operation                |
        |     0 | open a0                  |
        |     0 | grant a0 op=1 9 purchase |
        |     0 | submit a0 j1 0 low       |
        |     0 | submit a0 j2 0 low       |
        | 60000 | submit a0 j3 0 low       |
        | 60000 | submit a0 j4 0 high      |
        | 60000 | claim w1 3 low-first     |
        ",
    );
}
