//! `audit --last`: what the continuous audit found last, partition by partition.

use serde_json::{Value, json};

use crate::cli::Call;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{duration, rfc3339, rows, table};
use crate::store::Store;

/// Exit code 1 where the last audit of any partition found a difference.
pub(super) async fn run(call: &Call, store: &Store, partitions: &[u16]) -> Result<Exit, Failure> {
    let mut values = Vec::with_capacity(partitions.len());
    for partition in partitions {
        values.push(of(store, *partition).await?);
    }
    call.out.show(&values, || text(&values))?;
    let differs = |value: &Value| value["ok"] == false;
    Ok(if values.iter().any(differs) {
        Exit::Failed
    } else {
        Exit::Done
    })
}

async fn of(store: &Store, partition: u16) -> Result<Value, Failure> {
    let last = store.last_audit(partition).await?;
    let frozen = store.frozen(partition).await?.len();
    let mut value = match &last {
        Some(last) => serde_json::from_str(&last.report).unwrap_or_else(|_| json!({})),
        None => json!({"ok": null}),
    };
    let set_back = store.clock_set_back(partition).await?;
    value["clock_set_back_ms"] = json!(set_back.map(|set| set.by_ms));
    value["clock_set_back_at_ms"] = json!(set_back.map(|set| set.at_ms));
    value["partition"] = json!(partition);
    value["frozen"] = json!(frozen);
    value["auditor"] = json!(last.as_ref().map(|last| &last.auditor));
    value["at_ms"] = json!(last.as_ref().map(|last| last.at_ms));
    let at = last.and_then(|last| i64::try_from(last.at_ms).ok());
    value["at"] = json!(at.and_then(rfc3339));
    Ok(value)
}

fn text(values: &[Value]) -> String {
    let mut list = table(&[
        "partition",
        "at",
        "result",
        "entries",
        "compared",
        "frozen",
        "took",
        "by",
    ]);
    for value in values {
        let word = |name: &str| match &value[name] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let result = match value["ok"].as_bool() {
            Some(true) => "ok".to_owned(),
            Some(false) => format!("{} DIFFERENCES", word("differences_in_all")),
            None => "never audited".to_owned(),
        };
        list.add_row([
            word("partition"),
            word("at"),
            result,
            word("entries"),
            word("accounts"),
            word("frozen"),
            value["took_ms"].as_u64().map(duration).unwrap_or_default(),
            word("auditor"),
        ]);
    }
    let mut text = rows(&list, "no partitions");
    for value in values {
        let (at, by) = (&value["clock_set_back_at_ms"], &value["clock_set_back_ms"]);
        let at = at.as_i64().and_then(rfc3339);
        if let (Some(at), Some(by)) = (at, by.as_u64()) {
            let by = duration(by);
            text.push_str(&format!(
                "\nthe clock of partition {} was set back by {by} at {at}: the server's had been ahead",
                value["partition"]
            ));
        }
    }
    text
}
