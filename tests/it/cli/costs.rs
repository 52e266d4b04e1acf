//! `costs`: the same figures from the store, through a server and from the history.

use serde_json::{Value, json};

use super::history::run;
use super::through_server::Both;
use super::{bare, ran};
use crate::costs_history::live;
use crate::support::T0;
use crate::support::postgres::{fresh_history, project};

const JANUARY: [&str; 4] = ["--from", "2027-01-01", "--to", "2027-01-31"];

fn of(by: &str) -> Vec<&str> {
    [&["costs", "--by", by], &JANUARY[..]].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn costs_are_the_same_through_a_server_and_refunds_come_off_in_the_history() {
    let both = Both::start().await;
    let store = both.api.store.at(T0);
    live(&store).await;
    for (by, name) in [
        ("provider", "sim"),
        ("route", "sim/fast"),
        ("tool", "image-to-video"),
        ("day", "2027-01-15"),
    ] {
        let found = both.same(&of(by), &[]);
        assert_eq!(found["lines"][0][by], json!(name), "{found}");
        let total = json!({"submissions": 3, "wasted": 2, "cost_usd_micros": 1_110,
            "waste_usd_micros": 110, "paid_ucr": 5_000_000, "margin_usd_micros": null});
        assert_eq!(found["total"], total);
        assert_eq!(
            (&found["by"], &found["source"]),
            (&json!(by), &json!("store"))
        );
    }
    let mut table = bare(&of("tool"));
    let table = ran(table.args(["--config", "config/dev", "--redis", &both.cli.url])).stdout;
    for cell in ["image-to-video", "$0.00111", "$0.00011", "total", "refunds"] {
        assert!(table.contains(cell), "{cell}: {table}");
    }
    let none = both.same(
        &["costs", "--from", "2020-01-01", "--to", "2020-01-31"],
        &[],
    );
    assert_eq!(
        (&none["lines"], &none["total"]["submissions"]),
        (&json!([]), &json!(0))
    );
    both.same(
        &["costs", "--from", "2027-02-01", "--to", "2027-01-01"],
        &[],
    );

    let url = fresh_history().await;
    project(&store, &url).await;
    let history = secrecy::ExposeSecret::expose_secret(&url);
    let (code, found): (_, Value) = run(&both.cli, history, &of("day"));
    assert_eq!((code, &found["source"]), (Some(0), &json!("history")));
    assert_eq!(found["total"]["paid_ucr"], json!(2_000_000));
    let (code, _) = run(&both.cli, "postgres://127.0.0.1:1/none", &of("day"));
    assert_eq!(
        code,
        Some(1),
        "where it is on, the store's part alone would be half the truth"
    );
}
