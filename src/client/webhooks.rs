//! Endpoints, where accounts are told of their jobs, and messages that were given up.

use super::call::Call;
use super::{Answer, Client, Error};
use crate::wire::{
    Endpoint, EndpointRequest, EndpointRotateRequest, EndpointSecret, EndpointState,
    EndpointStateRequest, EndpointTest, EndpointTestRequest, GivenUp, Page, RedeliverRequest,
    Redelivery,
};

impl Client {
    /// Makes an endpoint of an account, one for each key.
    pub async fn create_webhook(
        &self,
        account: &str,
        new: &EndpointRequest,
        key: Option<&str>,
    ) -> Result<Answer<EndpointSecret>, Error> {
        let url = self.at(&["accounts", account, "webhooks"]);
        self.call(&Call::post(url, key).body(new)?).await
    }

    /// An account's endpoints.
    pub async fn webhooks(&self, account: &str) -> Result<Vec<Endpoint>, Error> {
        let call = Call::get(self.at(&["accounts", account, "webhooks"]));
        Ok(self.call::<Page<Endpoint>>(&call).await?.body.data)
    }

    /// One endpoint as it stands.
    pub async fn webhook(&self, endpoint: &str) -> Result<Endpoint, Error> {
        let call = Call::get(self.at(&["webhooks", endpoint]));
        Ok(self.call(&call).await?.body)
    }

    /// Enables an endpoint, disables or removes it.
    pub async fn set_webhook_state(
        &self,
        endpoint: &str,
        asked: &EndpointStateRequest,
    ) -> Result<EndpointState, Error> {
        let url = self.at(&["webhooks", endpoint, "state"]);
        Ok(self.call(&Call::post(url, None).body(asked)?).await?.body)
    }

    /// Gives an endpoint a new secret.
    pub async fn rotate_webhook(
        &self,
        endpoint: &str,
        asked: &EndpointRotateRequest,
    ) -> Result<Answer<EndpointSecret>, Error> {
        let url = self.at(&["webhooks", endpoint, "rotate"]);
        self.call(&Call::post(url, None).body(asked)?).await
    }

    /// Posts a message that says nothing.
    pub async fn test_webhook(
        &self,
        endpoint: &str,
        asked: &EndpointTestRequest,
    ) -> Result<EndpointTest, Error> {
        let url = self.at(&["webhooks", endpoint, "test"]);
        Ok(self.call(&Call::post(url, None).body(asked)?).await?.body)
    }

    /// A page of the messages of an endpoint that were given up, the newest first; up to 100.
    pub async fn webhook_dead_letters(
        &self,
        endpoint: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<GivenUp>, Error> {
        let limit = limit.clamp(1, 100).to_string();
        let url = self.at(&["webhooks", endpoint, "dead-letters"]);
        let call = Call::get(url).query(&[("limit", Some(limit.as_str())), ("cursor", cursor)]);
        Ok(self.call(&call).await?.body)
    }

    /// Puts one message that was given up, or the oldest hundred, back into the outbox.
    pub async fn redeliver_webhook(
        &self,
        endpoint: &str,
        asked: &RedeliverRequest,
    ) -> Result<Redelivery, Error> {
        let url = self.at(&["webhooks", endpoint, "redeliver"]);
        Ok(self.call(&Call::post(url, None).body(asked)?).await?.body)
    }
}
