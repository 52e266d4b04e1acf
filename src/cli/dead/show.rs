//! `dead show`: one dead letter: what was asked, what happened, what a retry would cost whom.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::cli::Call;
use crate::cli::failure::{Exit, Failure, Kind};
use crate::cli::job::{brief, event_json, find};
use crate::cli::output::{credits, facts, rfc3339, rows, table};
use crate::cli::server::Server;
use crate::domain::ids::AccountId;
use crate::domain::job::State;
use crate::domain::payload::Payload;
use crate::store::{AccountView, JobView, Store, TimelineEvent};

/// Show a dead letter: what was asked for, what happened, what a retry would cost
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  meterline dead show JOB")]
pub(in crate::cli) struct Args {
    /// The job's id
    job: String,
}

/// Everything there is to know.
struct Letter {
    view: JobView,
    /// `None` where it was retried or dropped.
    payload: Option<Payload>,
    account: Option<AccountView>,
    obligations: Vec<HashMap<String, String>>,
    timeline: Vec<TimelineEvent>,
}

pub(super) async fn run(call: &Call, args: Args) -> Result<Exit, Failure> {
    let letter = match call.server()? {
        Some(server) => through(&server, &args.job).await?,
        None => {
            let store = call.house()?.store().await?;
            let view = find(&store, &args.job).await?;
            read(&store, view).await?
        }
    };
    call.out.show(&letter.json(), || letter.text())?;
    Ok(Exit::Done)
}

/// From a server, which says neither what was asked for nor what providers may still do.
async fn through(server: &Server, job: &str) -> Result<Letter, Failure> {
    let found = server.job(job).await?;
    let view = found.view;
    let was_one = !view.text("redriven_as").is_empty();
    if !matches!(view.state(), Some(State::Failed | State::TimedOut)) && !was_one {
        return Err(none(&view));
    }
    let account = view.text("account").parse();
    let account = match account {
        Ok(account) => Some(server.account(&account).await?),
        Err(_) => None,
    };
    Ok(Letter {
        payload: None,
        account,
        obligations: Vec::new(),
        timeline: found.timeline,
        view,
    })
}

fn none(view: &JobView) -> Failure {
    let state = view.text("state").to_owned();
    let message = format!("job {} is no dead letter: it is {state}", view.job);
    Failure::new(Kind::NotADeadLetter, message).with("state", state)
}

async fn read(store: &Store, view: JobView) -> Result<Letter, Failure> {
    let job = &view.job;
    let was_one = ["redriven_as", "dropped_at"].map(|field| !view.text(field).is_empty());
    if store.dead_letter(job).await?.is_none() && !was_one.contains(&true) {
        return Err(none(&view));
    }
    let payload = store.payload(job).await?;
    let account = match AccountId::try_from(view.text("account").to_owned()) {
        Ok(account) => store.account(&account).await?,
        Err(_) => None,
    };
    let submissions = u32::try_from(view.number("submissions")).unwrap_or(0);
    Ok(Letter {
        payload: payload.and_then(|text| serde_json::from_str(&text).ok()),
        account,
        obligations: store.obligations_of(job, submissions).await?,
        timeline: store.timeline(job).await?,
        view,
    })
}

impl Letter {
    /// What its account could spend for it, below zero while it is owing.
    fn available_ucr(&self) -> i64 {
        let account = self.account.as_ref();
        account.map_or(0, |account| account.available_ucr - account.debt_ucr)
    }

    fn account_state(&self) -> &str {
        let account = self.account.as_ref();
        account.map_or("unknown", |account| account.state.as_str())
    }

    /// Whether the account could pay for a retry now.
    fn can_pay(&self) -> bool {
        self.account_state() == "open" && self.available_ucr() >= self.view.number("hold_ucr")
    }

    fn json(&self) -> Value {
        let some = |field: &str| Some(self.view.text(field)).filter(|text| !text.is_empty());
        let mut value = brief(&self.view);
        value["redriven_payer"] = json!(some("payer_again"));
        let dropped_at = self.view.maybe("dropped_at").and_then(rfc3339);
        value["dropped_at"] = json!(dropped_at);
        value["ended_by"] = json!(some("ended_by"));
        value["end_reason"] = json!(some("end_reason"));
        let request = self.payload.as_ref().map(|payload| &payload.request);
        value["params"] = json!(request.map(|request| &request.params));
        value["routes"] = json!(request.map(|request| &request.routes));
        value["route"] = json!(self.view.number("route"));
        value["obligations"] = json!(self.obligations);
        value["retry"] = json!({
            "hold_ucr": self.view.number("hold_ucr"),
            "account_state": self.account_state(),
            "account_available_ucr": self.available_ucr(),
            "account_can_pay": self.can_pay(),
        });
        value["timeline"] = self.timeline.iter().map(event_json).collect();
        value
    }

    fn text(&self) -> String {
        let view = &self.view;
        let mut told = facts();
        told.add_row(["account", view.text("account")]);
        told.add_row(["tool", view.text("tool")]);
        told.add_row(["submissions", &view.number("submissions").to_string()]);
        for route in self
            .payload
            .iter()
            .flat_map(|payload| &payload.request.routes)
        {
            let words = format!("{} ({}, {})", route.name, route.provider, route.model);
            told.add_row(["route", &words]);
        }
        let params = self
            .payload
            .iter()
            .flat_map(|payload| &payload.request.params);
        for (name, value) in params {
            told.add_row([format!("  {name}"), value.to_string()]);
        }
        if !self.obligations.is_empty() {
            let owed = format!("{} of its submissions", self.obligations.len());
            told.add_row(["a provider may still run", &owed]);
        }
        if !view.text("ended_by").is_empty() {
            let words = format!("{}: {}", view.text("ended_by"), view.text("end_reason"));
            told.add_row(["ended by", &words]);
        }
        let mut events = table(&["at", "event", "detail"]);
        for event in &self.timeline {
            let at = i64::try_from(event.at_ms).ok().and_then(rfc3339);
            let (event, detail) = (event.event.clone(), event.detail.clone());
            events.add_row([at.unwrap_or_default(), event, detail]);
        }
        let message = Some(view.text("message")).filter(|text| !text.is_empty());
        format!(
            "dead letter {}: {} ({}){}\n{}\n\n{}\n\n{}",
            view.job,
            view.text("state"),
            view.text("fail_class"),
            message.map(|text| format!("\n{text}")).unwrap_or_default(),
            rows(&told, ""),
            self.cost(),
            rows(&events, "no events"),
        )
    }

    /// What a retry would cost whom.
    fn cost(&self) -> String {
        let (view, ceiling) = (&self.view, credits(self.view.number("hold_ucr")));
        if !view.text("redriven_as").is_empty() {
            let (new, payer) = (view.text("redriven_as"), view.text("payer_again"));
            return format!("retried as job {new}; payer: {payer}");
        }
        if !view.text("dropped_at").is_empty() {
            return "dropped: it cannot be retried any more".to_owned();
        }
        let account = match self.account_state() {
            "open" if self.can_pay() => {
                format!("the account has {}", credits(self.available_ucr()))
            }
            "open" => {
                let available = credits(self.available_ucr());
                format!("the account cannot pay it: it has {available}")
            }
            state => format!("the account is {state}"),
        };
        format!("a retry holds {ceiling}; {account}")
    }
}
