//! What stands still or is set aside: freezes, and open holds.

use super::call::Call;
use super::{Answer, Client, Error};
use crate::wire::{Cleared, Freeze, FreezeRequest, HoldQuery, Holds, Page};

impl Client {
    /// The accounts and partitions that stand still.
    pub async fn freezes(&self) -> Result<Vec<Freeze>, Error> {
        let call = Call::get(self.at(&["freezes"]));
        Ok(self.call::<Page<Freeze>>(&call).await?.body.data)
    }

    /// Lets an account or a partition stand still, once for each key.
    pub async fn freeze(
        &self,
        asked: &FreezeRequest,
        key: Option<&str>,
    ) -> Result<Answer<Freeze>, Error> {
        let call = Call::post(self.at(&["freezes"]), key).body(asked)?;
        self.call(&call).await
    }

    /// Lets an account or a partition go on, once for each key.
    pub async fn clear_freeze(
        &self,
        asked: &FreezeRequest,
        key: Option<&str>,
    ) -> Result<Answer<Cleared>, Error> {
        let call = Call::post(self.at(&["freezes", "clear"]), key).body(asked)?;
        self.call(&call).await
    }

    /// The oldest holds that fit, 100 at most, and what all that fit come to.
    pub async fn holds(&self, asked: &HoldQuery) -> Result<Holds, Error> {
        let (older, limit) = (asked.older_than_ms, asked.limit);
        let call = Call::get(self.at(&["holds"])).query(&[
            ("account", asked.account.as_ref().map(ToString::to_string)),
            ("older_than_ms", older.map(|ms| ms.to_string())),
            ("limit", limit.map(|limit| limit.to_string())),
        ]);
        Ok(self.call(&call).await?.body)
    }
}
