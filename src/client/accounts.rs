//! Accounts: opened, looked at, given credits, added up.

use super::call::Call;
use super::{Answer, Client, Error};
use crate::wire::{
    Account, AdjustBody, Adjusted, ClawbackBody, Entry, GrantBody, Granted, NewAccount, Page,
    Statement,
};

/// Which stretch of time a statement is of, and how it is sorted.
#[derive(Debug, Clone, Default)]
pub struct StretchQuery {
    /// From when, RFC 3339, included.
    pub from: Option<String>,
    /// Until when, RFC 3339, not included.
    pub to: Option<String>,
    /// `day`, `tool` or `grant`.
    pub by: Option<String>,
}

impl Client {
    /// Opens an account; one that is there stays as it is.
    pub async fn create_account(&self, new: &NewAccount) -> Result<Answer<Account>, Error> {
        let call = Call::post(self.at(&["accounts"]), None).body(new)?;
        self.call(&call).await
    }

    /// An account as it stands.
    pub async fn account(&self, account: &str) -> Result<Account, Error> {
        let call = Call::get(self.at(&["accounts", account]));
        Ok(self.call(&call).await?.body)
    }

    /// A page of all accounts.
    pub async fn accounts(&self, cursor: Option<&str>) -> Result<Page<Account>, Error> {
        let call = Call::get(self.at(&["accounts"])).query(&[("cursor", cursor)]);
        Ok(self.call(&call).await?.body)
    }

    /// Grants credits, once for each key: the payment's id, say.
    pub async fn grant(
        &self,
        account: &str,
        grant: &GrantBody,
        key: &str,
    ) -> Result<Answer<Granted>, Error> {
        let url = self.at(&["accounts", account, "grants"]);
        self.call(&Call::post(url, Some(key)).body(grant)?).await
    }

    /// Gives an account the reward of the day, once per day of UTC by the store's clock.
    pub async fn daily_reward(&self, account: &str) -> Result<Answer<Granted>, Error> {
        let url = self.at(&["accounts", account, "daily-reward"]);
        self.call(&Call::post(url, None)).await
    }

    /// Corrects a balance up or down, once for each key.
    pub async fn adjust(
        &self,
        account: &str,
        correction: &AdjustBody,
        key: &str,
    ) -> Result<Answer<Adjusted>, Error> {
        let url = self.at(&["accounts", account, "adjustments"]);
        let call = Call::post(url, Some(key)).body(correction)?;
        self.call(&call).await
    }

    /// Takes back the credits of a payment, once for each key.
    pub async fn claw_back(
        &self,
        account: &str,
        clawback: &ClawbackBody,
        key: &str,
    ) -> Result<Answer<Adjusted>, Error> {
        let url = self.at(&["accounts", account, "clawbacks"]);
        let call = Call::post(url, Some(key)).body(clawback)?;
        self.call(&call).await
    }

    /// What happened to an account's credits in a stretch of time.
    pub async fn statement(
        &self,
        account: &str,
        stretch: &StretchQuery,
    ) -> Result<Statement, Error> {
        let url = self.at(&["accounts", account, "statement"]);
        let call = Call::get(url).query(&[
            ("from", stretch.from.as_deref()),
            ("to", stretch.to.as_deref()),
            ("by", stretch.by.as_deref()),
        ]);
        Ok(self.call(&call).await?.body)
    }

    /// A page of an account's entries in the books, the newest first; up to 100.
    pub async fn ledger(
        &self,
        account: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<Entry>, Error> {
        let limit = limit.clamp(1, 100).to_string();
        let url = self.at(&["accounts", account, "ledger"]);
        let call = Call::get(url).query(&[("limit", Some(limit.as_str())), ("cursor", cursor)]);
        Ok(self.call(&call).await?.body)
    }
}
