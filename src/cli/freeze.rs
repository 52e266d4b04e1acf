//! `freeze`: what stands still, why, and letting it go on.

use clap::Subcommand;
use serde_json::{Value, json};

use super::Call;
use super::audit::no_partition;
use super::failure::{Exit, Failure, Kind};
use super::output::{rfc3339, rows, table};
use crate::domain::ids::{AccountId, OperationId};
use crate::ledger;
use crate::store::{ClearOutcome, FreezeAct, FreezeOutcome, Frozen, Scope, Store};

/// Look at what is frozen, and let it go on
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  meterline freeze ls")]
pub(super) enum Command {
    Ls(LsArgs),
    Partition(PartitionArgs),
    Clear(ClearArgs),
}

/// List the accounts and partitions that are frozen, since when, by whom and why
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline freeze ls --output json")]
pub(super) struct LsArgs {}

/// Freeze a whole partition: nothing new is held for any of its accounts, none of their jobs starts
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  meterline freeze partition 3 --reason \"restored from a backup\""
)]
pub(super) struct PartitionArgs {
    #[arg(value_name = "N")]
    partition: u16,
    #[command(flatten)]
    signed: Signed,
}

/// Let an account or a partition go on; shows what had differed, and what still does
///
/// What an audit of the partition still finds will be frozen again by the next round of the continuous
/// audit.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  meterline freeze clear acme --reason \"balance corrected, ticket 12\"\n  meterline freeze clear --partition 3 --reason \"journal restored\""
)]
pub(super) struct ClearArgs {
    #[arg(required_unless_present = "partition")]
    account: Option<AccountId>,
    /// The whole partition instead of an account
    #[arg(long, value_name = "N", conflicts_with = "account")]
    partition: Option<u16>,
    #[command(flatten)]
    signed: Signed,
}

/// What every act of an operator carries.
#[derive(Debug, clap::Args)]
pub(super) struct Signed {
    /// Why, for the log of acts
    #[arg(long)]
    reason: String,
    /// Who does it, for the log of acts
    #[arg(long, env = "USER", default_value = "cli")]
    actor: String,
    /// What makes it happen once [default: a new one]
    #[arg(long, value_name = "ID")]
    op_id: Option<OperationId>,
}

pub(super) async fn run(call: &Call, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Ls(LsArgs {}) => ls(call).await,
        Command::Partition(args) => set(call, Scope::Partition(args.partition), args.signed).await,
        Command::Clear(args) => {
            let scope = match (args.account, args.partition) {
                (Some(account), None) => Scope::Account(account),
                (_, Some(partition)) => Scope::Partition(partition),
                (None, None) => {
                    return Err(Failure::new(
                        Kind::Usage,
                        "name an account or a --partition",
                    ));
                }
            };
            clear(call, scope, args.signed).await
        }
    }
}

async fn ls(call: &Call) -> Result<Exit, Failure> {
    let all = match call.server()? {
        Some(server) => server.frozen().await?,
        None => frozen(&call.house()?.store().await?).await?,
    };
    let values: Vec<Value> = all.iter().map(frozen_json).collect();
    call.out.show(&values, || {
        let mut list = table(&["partition", "account", "since", "by", "reason"]);
        for one in &all {
            list.add_row([
                one.partition.to_string(),
                one.account
                    .clone()
                    .unwrap_or_else(|| "(all of it)".to_owned()),
                since(one).unwrap_or_default(),
                one.actor.clone(),
                one.reason.clone(),
            ]);
        }
        rows(&list, "nothing is frozen")
    })?;
    Ok(Exit::Done)
}

async fn frozen(store: &Store) -> Result<Vec<Frozen>, Failure> {
    let mut all = Vec::new();
    for partition in 0..store.partitions() {
        all.extend(store.frozen(partition).await?);
    }
    Ok(all)
}

/// Freezes an account or a partition.
pub(super) async fn set(call: &Call, scope: Scope, signed: Signed) -> Result<Exit, Failure> {
    let is_named = signed.op_id.is_some();
    let act = act(scope, signed)?;
    let (frozen, status) = match call.server()? {
        Some(server) => {
            let done = server.freeze(&act).await;
            let (frozen, before) = done.map_err(|failure| repeatable(failure, &act))?;
            // Under an id that was made right now nothing can have happened before.
            let status = match (before, is_named) {
                (false, _) => "frozen",
                (true, true) => "replayed",
                (true, false) => "already",
            };
            (frozen, status)
        }
        None => set_at_the_store(call, &act).await?,
    };
    let mut value = frozen_json(&frozen);
    value["status"] = json!(status);
    value["op_id"] = json!(act.operation);
    call.out.show(&value, || {
        let had = match status {
            "already" => "was frozen already",
            "replayed" => "had been frozen under this operation id",
            _ => "is frozen",
        };
        let subject = subject(&frozen);
        format!("{subject} {had}: {} ({})", frozen.reason, frozen.actor)
    })?;
    Ok(Exit::Done)
}

async fn set_at_the_store(call: &Call, act: &FreezeAct) -> Result<(Frozen, &'static str), Failure> {
    let outcome = store(call, act).await?.freeze(act, &[]).await;
    match outcome.map_err(|error| repeatable(error.into(), act))? {
        FreezeOutcome::Frozen {
            frozen,
            replayed: false,
        } => Ok((frozen, "frozen")),
        FreezeOutcome::Frozen {
            frozen,
            replayed: true,
        } => Ok((frozen, "replayed")),
        FreezeOutcome::Already(frozen) => Ok((frozen, "already")),
        FreezeOutcome::UnknownAccount => {
            let Scope::Account(account) = &act.scope else {
                return Err(Failure::new(Kind::StoreError, "a partition is no account"));
            };
            Err(Failure::unknown_account(account))
        }
        FreezeOutcome::Mismatch => Err(mismatch(act)),
    }
}

async fn clear(call: &Call, scope: Scope, signed: Signed) -> Result<Exit, Failure> {
    let act = act(scope, signed)?;
    let (was, parked, replayed, still) = match call.server()? {
        Some(server) => {
            let done = server.clear(&act).await;
            done.map_err(|failure| repeatable(failure, &act))?
        }
        None => clear_at_the_store(call, &act).await?,
    };
    let mut value = frozen_json(&was);
    value["status"] = json!(if replayed { "replayed" } else { "cleared" });
    value["op_id"] = json!(act.operation);
    value["jobs_due"] = json!(parked);
    value["still_differs"] = json!(still);
    call.out
        .show(&value, || clear_text(&was, parked, replayed, &still))?;
    Ok(Exit::Done)
}

/// What had stood still, jobs that are due now, whether it went on before, what still differs.
async fn clear_at_the_store(
    call: &Call,
    act: &FreezeAct,
) -> Result<(Frozen, u32, bool, Vec<String>), Failure> {
    let store = store(call, act).await?;
    let outcome = store.clear(act).await;
    let (was, parked, replayed) = match outcome.map_err(|error| repeatable(error.into(), act))? {
        ClearOutcome::Cleared {
            was,
            parked,
            replayed,
        } => (was, parked, replayed),
        ClearOutcome::NotFrozen => {
            let what = match &act.scope {
                Scope::Account(account) => format!("account {account}"),
                Scope::Partition(partition) => format!("partition {partition}"),
            };
            let message = format!("{what} is not frozen");
            return Err(Failure::new(Kind::NotFrozen, message));
        }
        ClearOutcome::Mismatch => return Err(mismatch(act)),
    };
    let still = ledger::still_differs(&store, &act.scope)
        .await
        .map_err(|error| Failure::from(error).harmless())?;
    Ok((was, parked, replayed, still))
}

fn clear_text(was: &Frozen, parked: u32, replayed: bool, still: &[String]) -> String {
    let since = since(was).unwrap_or_default();
    let mut lines = vec![format!(
        "{} had been frozen since {since} by {}: {}",
        subject(was),
        was.actor,
        was.reason
    )];
    lines.extend(was.differed.iter().map(|line| format!("  then: {line}")));
    lines.extend(still.iter().map(|line| format!("  NOW: {line}")));
    lines.push(match (replayed, parked) {
        (true, _) => "it was cleared before, under this operation id".to_owned(),
        (false, 0) => "it goes on".to_owned(),
        (false, 1) => "it goes on, and so does 1 job that had been put off".to_owned(),
        (false, n) => format!("it goes on, and so do {n} jobs that had been put off"),
    });
    lines.push(if still.is_empty() {
        "an audit finds no differences".to_owned()
    } else {
        "what still differs will be frozen again by the next audit".to_owned()
    });
    lines.join("\n")
}

fn act(scope: Scope, signed: Signed) -> Result<FreezeAct, Failure> {
    if signed.reason.trim().is_empty() {
        return Err(Failure::new(Kind::Usage, "--reason must say why"));
    }
    let operation = match signed.op_id {
        Some(operation) => operation,
        None => format!("cli-{}", uuid::Uuid::now_v7()).parse()?,
    };
    Ok(FreezeAct {
        scope,
        reason: signed.reason,
        actor: signed.actor,
        operation,
    })
}

/// The store, where it has what the act is about.
async fn store(call: &Call, act: &FreezeAct) -> Result<Store, Failure> {
    let store = call.house()?.store().await?;
    match act.scope {
        Scope::Partition(partition) if partition >= store.partitions() => {
            Err(no_partition(partition, &store))
        }
        Scope::Partition(_) | Scope::Account(_) => Ok(store),
    }
}

fn repeatable(failure: Failure, act: &FreezeAct) -> Failure {
    match failure.kind() {
        Kind::UnknownOutcome => failure
            .and_say(&format!("repeat with --op-id {}", act.operation))
            .with("op_id", act.operation.as_str()),
        _ => failure,
    }
}

fn mismatch(act: &FreezeAct) -> Failure {
    let message = format!("operation id {} was used for something else", act.operation);
    Failure::new(Kind::OperationMismatch, message)
}

fn frozen_json(frozen: &Frozen) -> Value {
    let mut value = json!(frozen);
    value["at"] = json!(since(frozen));
    value
}

fn since(frozen: &Frozen) -> Option<String> {
    i64::try_from(frozen.at_ms).ok().and_then(rfc3339)
}

fn subject(frozen: &Frozen) -> String {
    match &frozen.account {
        Some(account) => format!("account {account}"),
        None => format!("partition {}", frozen.partition),
    }
}
