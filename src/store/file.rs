//! The server's append-only file after a start on one that was cut off.
//!
//! A machine that is lost, and a process that is killed in the middle of a write, leave a file that ends
//! inside a command. The server starts on it without the script that the command belongs to, but keeps what
//! is whole of that script, with its open `MULTI`, at the end of its file, and appends behind it (seen with
//! Redis 7.0 and Valkey 8.0). At the next start half a script is done, and what came after it is done on top
//! of that. A file that was rewritten meanwhile is one of whole steps again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::connection::Node;
use super::{Error, Store};

/// What came of a look at the server's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileRenewal {
    /// It keeps no file, or has written it anew since it started, or is about to.
    NotNeeded,
    /// It writes it anew now, from what it has in memory.
    Begun,
}

/// Whether the file may still hold what an earlier server process left at its end.
fn is_of_an_earlier_process(info: &str) -> bool {
    let fields: BTreeMap<&str, &str> = info
        .lines()
        .filter_map(|line| line.trim().split_once(':'))
        .collect();
    let is = |name: &str, value: &str| fields.get(name) == Some(&value);
    let is_under_way = is("aof_rewrite_in_progress", "1") || is("aof_rewrite_scheduled", "1");
    let was_renewed =
        !is("aof_last_rewrite_time_sec", "-1") && is("aof_last_bgrewrite_status", "ok");
    is("aof_enabled", "1") && is("loading", "0") && !is_under_way && !was_renewed
}

impl Store {
    /// Lets each server that has not written its append-only file anew since it started do so. Any number of
    /// processes may ask, and as often as they like. An error also where one does not allow it; the others
    /// are asked all the same.
    pub async fn renew_file(&self) -> Result<FileRenewal, Error> {
        let mut renewal = Ok(FileRenewal::NotNeeded);
        for node in self.inner.connections.all().await? {
            renewal = match (renewal, self.renew_file_of(&node).await) {
                (Err(error), _) | (_, Err(error)) => Err(error),
                (Ok(FileRenewal::NotNeeded), Ok(own)) => Ok(own),
                (Ok(FileRenewal::Begun), Ok(_)) => Ok(FileRenewal::Begun),
            };
        }
        renewal
    }

    async fn renew_file_of(&self, node: &Arc<Node>) -> Result<FileRenewal, Error> {
        let look = redis::cmd("INFO").arg("persistence").clone();
        let info: String = self.read_from(node, &look, "INFO").await?;
        if !is_of_an_earlier_process(&info) {
            return Ok(FileRenewal::NotNeeded);
        }
        let order = redis::cmd("BGREWRITEAOF");
        let _said: String = self.read_from(node, &order, "BGREWRITEAOF").await?;
        Ok(FileRenewal::Begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_renewed_once_after_each_start_of_its_server() {
        let info = |enabled, under_way, last, status| {
            format!(
                "# Persistence\r\nloading:0\r\naof_enabled:{enabled}\r\naof_rewrite_in_progress:{under_way}\r\n\
                 aof_rewrite_scheduled:0\r\naof_last_rewrite_time_sec:{last}\r\n\
                 aof_last_bgrewrite_status:{status}\r\n"
            )
        };
        for (text, needed) in [
            (info(1, 0, -1, "ok"), true),
            (info(1, 0, 0, "ok"), false),
            (info(1, 1, -1, "ok"), false),
            (info(1, 0, 0, "err"), true),
            (info(0, 0, -1, "ok"), false),
            (String::new(), false),
        ] {
            assert_eq!(is_of_an_earlier_process(&text), needed, "{text}");
        }
        let loads = info(1, 0, -1, "ok").replace("loading:0", "loading:1");
        assert!(!is_of_an_earlier_process(&loads));
    }
}
