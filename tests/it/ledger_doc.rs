//! The examples of docs/ledger.md are what the pricer computes.

use std::path::Path;

use meterline::domain::credits::Ucr;
use meterline::domain::media::{Measurement, MediaKind, TrackLength};
use meterline::domain::pricing::{Asked, BilledTrack, Rule};

#[test]
fn every_example_of_the_money_rules_is_computed() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ledger.md");
    let page = std::fs::read_to_string(page).expect("docs/ledger.md");
    let table = page
        .split("<!-- tests/it/ledger_doc.rs computes this table -->")
        .nth(1)
        .expect("the table");
    let rows = table
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'));
    let mut examples = 0;
    for row in rows {
        let cells: Vec<u64> = row
            .split('|')
            .filter_map(|cell| cell.trim().parse().ok())
            .collect();
        let [rate, quoted_ms, measured_ms, charged, ours] = cells[..] else {
            panic!("five numbers in {row}");
        };
        let credits = |n: u64| Ucr::from_credits(u32::try_from(n).expect("a few credits"));
        let rule = Rule::per_second(credits(rate), BilledTrack::Video).expect("a rule");
        let asked = Asked {
            max_ms: Some(quoted_ms),
            outputs: 1,
        };
        let video = Some(TrackLength::agreed(measured_ms));
        let measured = Measurement {
            kind: MediaKind::Video,
            video,
            audio: None,
        };
        let charge = rule.charge(&asked, &[measured]);
        assert_eq!(charge.captured_ucr, credits(charged), "{row}");
        assert_eq!(charge.absorbed_ucr, credits(ours), "{row}");
        examples += 1;
    }
    assert!(examples >= 9, "the table has its examples");
}
