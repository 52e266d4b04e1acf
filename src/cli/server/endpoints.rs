//! Endpoints through a server, in the store's own views.

use crate::cli::failure::{Failure, Kind};
use crate::cli::server::{PAGE, Server, views};
use crate::domain::ids::{AccountId, EndpointId};
use crate::store::EndpointView;
use crate::wire::{Endpoint, EndpointStateRequest, GivenUp};

impl Server {
    pub(in crate::cli) async fn endpoints(
        &self,
        account: &AccountId,
    ) -> Result<Vec<EndpointView>, Failure> {
        let found = self.client.webhooks(account.as_str()).await?;
        found.into_iter().map(view).collect()
    }

    pub(in crate::cli) async fn endpoint(
        &self,
        endpoint: &EndpointId,
    ) -> Result<EndpointView, Failure> {
        view(self.client.webhook(endpoint.as_str()).await?)
    }

    /// Whether the endpoint was not so before.
    pub(in crate::cli) async fn set_endpoint(
        &self,
        endpoint: &EndpointId,
        state: &str,
        reason: String,
    ) -> Result<bool, Failure> {
        let state = state.to_owned();
        let asked = EndpointStateRequest { state, reason };
        let done = self.client.set_webhook_state(endpoint.as_str(), &asked);
        Ok(done.await?.changed)
    }

    /// The newest messages that were given up.
    pub(in crate::cli) async fn given_up(
        &self,
        endpoint: &EndpointId,
        limit: usize,
    ) -> Result<Vec<GivenUp>, Failure> {
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        while found.len() < limit {
            let most = (limit - found.len()).min(PAGE);
            let page = self
                .client
                .webhook_dead_letters(endpoint.as_str(), most, cursor.as_deref());
            let page = page.await?;
            found.extend(page.data);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

fn view(endpoint: Endpoint) -> Result<EndpointView, Failure> {
    let foreign = |what: String| {
        let message = format!("failed to understand the answer: {what}");
        Failure::new(Kind::ForeignServer, message)
    };
    let time = |text: Option<String>| views::ms(text.as_deref()).unwrap_or(0);
    let id = endpoint.endpoint.parse();
    let topics = endpoint.events.join(",").parse();
    Ok(EndpointView {
        endpoint: id.map_err(|_| foreign(format!("{:?} is no endpoint", endpoint.endpoint)))?,
        account: endpoint.account,
        url: endpoint.url,
        topics: topics.map_err(|error| foreign(format!("{error}")))?,
        description: endpoint.description.unwrap_or_default(),
        enabled: endpoint.state != "disabled",
        why: endpoint.why.unwrap_or_default(),
        created_ms: time(endpoint.created_at),
        changed_ms: time(endpoint.changed_at),
        old_until_ms: time(endpoint.old_secret_until),
        waiting: endpoint.waiting,
        dead: endpoint.dead,
        delivered: endpoint.delivered,
        failed: endpoint.failed,
        dropped: endpoint.dropped,
        failing_since_ms: time(endpoint.failing_since),
        throttled_until_ms: time(endpoint.throttled_until),
        last_ms: time(endpoint.last_at),
        last: endpoint.last.unwrap_or_default(),
        test: endpoint.test.unwrap_or_default(),
        test_result: endpoint.test_result.unwrap_or_default(),
    })
}
