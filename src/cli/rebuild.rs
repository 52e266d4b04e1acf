//! `rebuild`: brings the store back from history.

use secrecy::ExposeSecret;
use serde_json::json;

use super::Call;
use super::failure::{Exit, Failure, Kind};
use super::house::store_options;
use super::output::{credits, rows, table};
use crate::ledger::postgres::{self, Figures, Plan, Rebuild};
use crate::store::Store;

/// Lines of a table that are shown.
const SHOWN_MAX: usize = 50;

/// Bring the store back to what history in Postgres says
///
/// For a store that was lost, or that lost acknowledged writes in a failover. Balances, grants, limits and
/// operation ids become what history has; open jobs that the store still has go on; holds whose jobs are
/// lost are given back (`store_lost`). Entries that only the store has are taken out and kept in the
/// database. Each rebuilt partition stays frozen until `freeze clear`. Partitions in which store and history
/// agree are left alone. An interrupted rebuild is simply run again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline rebuild --dry-run\n  meterline rebuild --partition 3 --reason \"failover of the 22nd\""
)]
pub(super) struct Args {
    /// Only this partition
    #[arg(long, value_name = "P")]
    partition: Option<u16>,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Why; not needed with --dry-run
    #[arg(long, required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Who
    #[arg(long, env = "USER", default_value = "cli")]
    actor: String,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let house = call.house()?;
    let settings = house.settings();
    let Some(url) = settings.postgres.address() else {
        let message = "there is no history: set postgres.url (METERLINE__POSTGRES__URL)";
        return Err(Failure::new(Kind::Usage, message));
    };
    let Some(known) = postgres::known(url).await? else {
        let message = "the database holds no history to rebuild from";
        return Err(Failure::new(Kind::RebuildRefused, message));
    };
    let redis = settings.redis.url.expose_secret();
    let there = Store::open_existing(redis, store_options(settings)).await?;
    let was_empty = there.is_none();
    let store = match there {
        Some(store) => store,
        None => Store::over(redis, store_options(settings), &known.tags).await?,
    };
    let all = 0..store.partitions();
    if args
        .partition
        .is_some_and(|partition| !all.contains(&partition))
    {
        let message = format!("there is no such partition, the store has {}", all.end);
        return Err(Failure::new(Kind::Usage, message));
    }
    let rebuild = Rebuild::open(store.clone(), url).await?;
    let reason = args.reason.unwrap_or_default();
    if !args.dry_run {
        // Before anybody can take a server for a store that is not whole yet.
        rebuild.freeze_what_differs(&reason, &args.actor).await?;
        if was_empty {
            Store::open_as(redis, store_options(settings), &known.tags).await?;
        }
    }
    let mut plans = Vec::new();
    for partition in all.filter(|one| args.partition.is_none_or(|wanted| wanted == *one)) {
        plans.push(if args.dry_run {
            rebuild.plan(partition).await?
        } else {
            rebuild.apply(partition, &reason, &args.actor).await?
        });
    }
    let value = json!({"dry_run": args.dry_run, "partitions": plans});
    call.out.show(&value, || text(&plans, args.dry_run))?;
    Ok(Exit::Done)
}

fn text(plans: &[Plan], dry_run: bool) -> String {
    let mut shown = table(&[
        "partition",
        "store",
        "history",
        "",
        "accounts",
        "differ",
        "jobs kept",
        "ended",
        "holds lost",
        "credits of them",
        "entries taken out",
    ]);
    for plan in plans {
        shown.add_row([
            plan.partition.to_string(),
            plan.store_seq
                .map_or("half rebuilt".to_owned(), |seq| seq.to_string()),
            plan.history_seq.to_string(),
            if plan.in_step { "in step" } else { "differs" }.to_owned(),
            plan.accounts.to_string(),
            plan.changes.len().to_string(),
            plan.jobs_kept.to_string(),
            plan.jobs_ended.to_string(),
            plan.holds_lost.to_string(),
            credits(plan.holds_lost_ucr),
            plan.dropped.len().to_string(),
        ]);
    }
    let mut parts = vec![rows(&shown, "no partitions")];
    parts.extend(changes(plans));
    parts.extend(dropped(plans));
    let differ = plans.iter().any(|plan| !plan.in_step);
    parts.push(
        match (differ, dry_run) {
            (false, _) => "store and history agree: nothing to do",
            (true, true) => "nothing was changed; run it without --dry-run and with --reason",
            (true, false) => {
                "rebuilt. The partitions stay frozen: look at them (`meterline audit`), then \
                 `meterline freeze clear --partition P --reason ...`"
            }
        }
        .to_owned(),
    );
    parts.join("\n\n")
}

fn changes(plans: &[Plan]) -> Option<String> {
    let all: Vec<_> = plans.iter().flat_map(|plan| &plan.changes).collect();
    let mut shown = table(&["account", "", "available", "held", "debt"]);
    for change in all.iter().take(SHOWN_MAX) {
        for (whose, figures) in [("store", change.store), ("history", change.history)] {
            let one = |of: fn(&Figures) -> i64| {
                figures.as_ref().map_or("-".to_owned(), |f| credits(of(f)))
            };
            shown.add_row([
                change.account.clone(),
                whose.to_owned(),
                one(|f| f.available_ucr),
                one(|f| f.held_ucr),
                one(|f| f.debt_ucr),
            ]);
        }
    }
    (!all.is_empty()).then(|| more(rows(&shown, ""), all.len(), "accounts"))
}

fn dropped(plans: &[Plan]) -> Option<String> {
    let all: Vec<_> = plans.iter().flat_map(|plan| &plan.dropped).collect();
    let mut shown = table(&["entry taken out", "what", "account", "operation", "job"]);
    for entry in all.iter().take(SHOWN_MAX) {
        let words = [
            &entry.id,
            &entry.kind,
            &entry.account,
            &entry.op,
            &entry.job,
        ];
        shown.add_row(words.map(Clone::clone));
    }
    let text = rows(&shown, "");
    (!all.is_empty()).then(|| {
        more(text, all.len(), "entries")
            + "\nWhat they did is undone. A grant, refund or correction among them that has to stand is sent \
               again with its operation id."
    })
}

fn more(text: String, all: usize, what: &str) -> String {
    if all > SHOWN_MAX {
        format!("{text}\n... and {} more {what}", all - SHOWN_MAX)
    } else {
        text
    }
}
