//! Many items with few calls: those of one partition go into one script together.
//!
//! Each item is checked and written as if it had come alone, and has an answer of its own. What happens
//! to a call as a whole (a lost connection, a full server) happens to each of its items.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::reply::Reply;
use super::scripts::Script;
use super::{Durability, Error, Store};

/// Most items of one call: so many the server does without looking at anybody else.
const ITEMS_MAX: usize = 100;
/// Longest arguments of one call, bytes; an item that is longer goes alone.
const BYTES_MAX: usize = 1 << 20;

/// One item of a call.
pub(super) struct Item {
    /// Where its keys are.
    pub(super) partition: u16,
    /// Its arguments, as the script's header numbers them.
    pub(super) args: Vec<String>,
}

impl Item {
    fn bytes(&self) -> usize {
        self.args.iter().map(String::len).sum()
    }
}

impl Store {
    /// Runs a script over items, with one call for up to a hundred of a partition. `shared` are the
    /// arguments that all items have in common, `wish` is what each call waits for. The answers are in the order of the items.
    pub(super) async fn run_many(
        &self,
        wish: Durability,
        script: &Script,
        shared: &[String],
        items: Vec<Item>,
    ) -> Vec<Result<Reply, Error>> {
        let mut answers: Vec<_> = items.iter().map(|_| Err(script.no_answer())).collect();
        let calls = calls_of(items);
        let asked = calls.into_iter().map(|call| async move {
            let reply = self.run_call(wish, script, shared, call.partition, call.args);
            (call.places, reply.await)
        });
        for (places, reply) in join_all(asked).await {
            match reply {
                Ok(rows) => {
                    for (place, row) in places.into_iter().zip(rows) {
                        answers[place] = row;
                    }
                }
                Err(error) => {
                    for place in places {
                        answers[place] = Err(error.clone());
                    }
                }
            }
        }
        answers
    }

    async fn run_call(
        &self,
        wish: Durability,
        script: &Script,
        shared: &[String],
        partition: u16,
        args: Vec<String>,
    ) -> Result<Vec<Result<Reply, Error>>, Error> {
        let keys = [self.keys(partition)?.meta()];
        let args: [&[String]; 2] = [shared, &args];
        self.run_safely(wish, script, &keys, &args).await?.answers()
    }
}

/// One call: the arguments of its items, and where in the caller's list they stand.
struct Call {
    partition: u16,
    args: Vec<String>,
    places: Vec<usize>,
    bytes: usize,
}

/// Sorts items into calls, in their order within each partition.
fn calls_of(items: Vec<Item>) -> Vec<Call> {
    let mut full = Vec::new();
    let mut open: BTreeMap<u16, Call> = BTreeMap::new();
    for (place, item) in items.into_iter().enumerate() {
        let (partition, bytes) = (item.partition, item.bytes());
        let call = open
            .entry(partition)
            .or_insert_with(|| Call::new(partition));
        if call.places.len() == ITEMS_MAX || call.bytes > 0 && call.bytes + bytes > BYTES_MAX {
            full.push(std::mem::replace(call, Call::new(partition)));
        }
        call.args.extend(item.args);
        call.places.push(place);
        call.bytes += bytes;
    }
    full.into_iter().chain(open.into_values()).collect()
}

impl Call {
    fn new(partition: u16) -> Self {
        Self {
            partition,
            args: Vec::new(),
            places: Vec::new(),
            bytes: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(partition: u16, bytes: usize) -> Item {
        Item {
            partition,
            args: vec!["x".repeat(bytes)],
        }
    }

    fn places(items: Vec<Item>) -> Vec<Vec<usize>> {
        let mut places: Vec<_> = calls_of(items)
            .into_iter()
            .map(|call| call.places)
            .collect();
        places.sort();
        places
    }

    #[test]
    fn items_of_one_partition_share_a_call_and_keep_their_order() {
        let items = [3, 1, 3, 1, 3].map(|partition| item(partition, 1)).into();
        assert_eq!(places(items), [vec![0, 2, 4], vec![1, 3]]);
    }

    #[test]
    fn a_call_has_a_hundred_items_and_a_megabyte_at_most() {
        let many = (0..ITEMS_MAX + 1).map(|_| item(0, 1)).collect();
        let sizes: Vec<usize> = places(many).iter().map(Vec::len).collect();
        assert_eq!(sizes, [ITEMS_MAX, 1]);
        let long = vec![item(0, BYTES_MAX / 2), item(0, BYTES_MAX / 2), item(0, 1)];
        assert_eq!(places(long), [vec![0, 1], vec![2]]);
        assert_eq!(places(vec![item(0, BYTES_MAX + 1)]), [vec![0]]);
    }
}
