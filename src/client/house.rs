//! The house: tools, queues, dead letters.

use super::call::Call;
use super::{Answer, Client, Error};
use crate::wire::{
    Costs, DeadFilter, DrainRequest, DropRequest, HaltAnswer, HaltRequest, Letter, Look, Page,
    Queue, RetryRequest, Run, Scale, Tool, Worker,
};

impl Client {
    /// The tools there are.
    pub async fn tools(&self) -> Result<Vec<Tool>, Error> {
        let call = Call::get(self.at(&["tools"]));
        Ok(self.call::<Page<Tool>>(&call).await?.body.data)
    }

    /// One tool, with its prices and the schema of its parameters.
    pub async fn tool(&self, tool: &str) -> Result<Tool, Error> {
        let call = Call::get(self.at(&["tools", tool]));
        Ok(self.call(&call).await?.body)
    }

    /// The queues as they stand.
    pub async fn queues(&self) -> Result<Vec<Queue>, Error> {
        let call = Call::get(self.at(&["queues"]));
        Ok(self.call::<Page<Queue>>(&call).await?.body.data)
    }

    /// What providers' work cost, by `provider`, `route`, `tool` or `day`; days as `2026-11-30`, of UTC.
    pub async fn costs(
        &self,
        by: &str,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<Costs, Error> {
        let asked = [("by", Some(by)), ("from", from), ("to", to)];
        let call = Call::get(self.at(&["costs"])).query(&asked);
        Ok(self.call(&call).await?.body)
    }

    /// How much work a queue has for how many slots.
    pub async fn scale(&self, queue: &str) -> Result<Scale, Error> {
        let call = Call::get(self.at(&["scale"])).query(&[("queue", Some(queue))]);
        Ok(self.call(&call).await?.body)
    }

    /// Pauses a queue, drains it, or lets it go on.
    pub async fn halt_queue(&self, queue: &str, halt: &HaltRequest) -> Result<HaltAnswer, Error> {
        let call = Call::post(self.at(&["queues", queue, "halt"]), None).body(halt)?;
        Ok(self.call(&call).await?.body)
    }

    /// The workers that have a lease.
    pub async fn workers(&self) -> Result<Vec<Worker>, Error> {
        let call = Call::get(self.at(&["workers"]));
        Ok(self.call::<Page<Worker>>(&call).await?.body.data)
    }

    /// Orders a worker to hand its jobs over and to end.
    pub async fn drain_worker(
        &self,
        worker: &str,
        why: &DrainRequest,
    ) -> Result<Answer<serde_json::Value>, Error> {
        let call = Call::post(self.at(&["workers", worker, "drain"]), None).body(why)?;
        self.call(&call).await
    }

    /// A page of dead letters, partition by partition, the oldest first.
    pub async fn dead_letters(&self, filter: &DeadFilter) -> Result<Page<Letter>, Error> {
        let limit = filter.limit.map(|limit| limit.to_string());
        let account = filter.account.as_ref().map(|account| account.as_str());
        let call = Call::get(self.at(&["dead-letters"])).query(&[
            ("tool", filter.tool.as_deref()),
            ("class", filter.class.as_deref()),
            ("account", account),
            ("since", filter.since.as_deref()),
            ("until", filter.until.as_deref()),
            ("limit", limit.as_deref()),
            ("cursor", filter.cursor.as_deref()),
        ]);
        Ok(self.call(&call).await?.body)
    }

    /// What a retry of dead letters would do; nothing is done.
    pub async fn look_at_retry(&self, asked: &RetryRequest) -> Result<Look, Error> {
        let dry = RetryRequest {
            dry_run: true,
            ..asked.clone()
        };
        let call = Call::post(self.at(&["dead-letters", "retry"]), None).body(&dry)?;
        Ok(self.call(&call).await?.body)
    }

    /// Begins to retry dead letters in the background.
    pub async fn begin_retry(&self, asked: &RetryRequest) -> Result<Run, Error> {
        let wet = RetryRequest {
            dry_run: false,
            ..asked.clone()
        };
        let call = Call::post(self.at(&["dead-letters", "retry"]), None).body(&wet)?;
        Ok(self.call(&call).await?.body)
    }

    /// How many dead letters would be dropped; nothing is done.
    pub async fn look_at_drop(&self, asked: &DropRequest) -> Result<Look, Error> {
        let dry = DropRequest {
            dry_run: true,
            ..asked.clone()
        };
        let call = Call::post(self.at(&["dead-letters", "drop"]), None).body(&dry)?;
        Ok(self.call(&call).await?.body)
    }

    /// Begins to drop dead letters in the background.
    pub async fn begin_drop(&self, asked: &DropRequest) -> Result<Run, Error> {
        let wet = DropRequest {
            dry_run: false,
            ..asked.clone()
        };
        let call = Call::post(self.at(&["dead-letters", "drop"]), None).body(&wet)?;
        Ok(self.call(&call).await?.body)
    }

    /// How far a retry, or a drop, has come.
    pub async fn run(&self, run: &str) -> Result<Run, Error> {
        let call = Call::get(self.at(&["runs", run]));
        Ok(self.call(&call).await?.body)
    }
}
