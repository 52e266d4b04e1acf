//! Group commit: what is said of one partition while a call is under way there waits for it, and goes
//! together in the next one.
//!
//! With nothing under way a call leaves at once, alone: at a quiet pace nobody waits for anybody. Entering
//! a script and the partition's head are paid once for all items of a call, so that the busier the store
//! is, the less an item costs. Each item has an answer of its own; what happens to a call as a whole
//! happens to each of its items, as if it had been sent alone.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::many::Item;
use super::reply::Reply;
use super::scripts::{self, Script};
use super::{Durability, Error, Store};

/// Most items of one call: more would keep the server from everybody else for milliseconds.
const ITEMS_MAX: usize = 32;

/// The calls that gather.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Submit,
    Intent,
    Checkpoint,
    Settle,
    Fail,
}

/// How many kinds there are.
const KINDS: usize = 5;

impl Kind {
    fn script(self) -> &'static Script {
        match self {
            Self::Submit => &scripts::SUBMIT,
            Self::Intent => &scripts::CHECKPOINT_INTENT,
            Self::Checkpoint => &scripts::CHECKPOINT,
            Self::Settle => &scripts::SETTLE,
            Self::Fail => &scripts::FAIL,
        }
    }
}

type Answer = Result<Reply, Error>;

/// What waits, by partition and kind.
#[derive(Default)]
pub(super) struct Gathers {
    lanes: Vec<[Arc<Lane>; KINDS]>,
}

impl Gathers {
    pub(super) fn new(partitions: usize) -> Self {
        Self {
            lanes: (0..partitions).map(|_| Default::default()).collect(),
        }
    }

    fn lane(&self, kind: Kind, partition: u16) -> Option<&Arc<Lane>> {
        let lanes = self.lanes.get(usize::from(partition))?;
        lanes.get(kind as usize)
    }
}

/// The line in front of one partition for calls of one kind.
#[derive(Default)]
struct Lane(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    /// Somebody has the turn: whoever comes now waits.
    taken: bool,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    item: Item,
    answer: oneshot::Sender<Answer>,
}

/// How an item got into its lane.
enum Entered {
    /// Nothing is under way: it goes alone, at once.
    First(Item),
    /// It goes with the next call.
    Waits(oneshot::Receiver<Answer>),
}

impl Lane {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, item: Item) -> Entered {
        let mut queue = self.queue();
        if !queue.taken {
            queue.taken = true;
            return Entered::First(item);
        }
        let (answer, answered) = oneshot::channel();
        queue.waiting.push_back(Waiting { item, answer });
        Entered::Waits(answered)
    }

    /// The next call's items. Who has stopped waiting is left out: nothing was sent for it. With nobody
    /// left the turn is free.
    fn next(&self) -> (Vec<Item>, Vec<oneshot::Sender<Answer>>) {
        let mut queue = self.queue();
        let (mut items, mut answers) = (Vec::new(), Vec::new());
        while items.len() < ITEMS_MAX
            && let Some(waiting) = queue.waiting.pop_front()
        {
            if !waiting.answer.is_closed() {
                items.push(waiting.item);
                answers.push(waiting.answer);
            }
        }
        queue.taken = !items.is_empty();
        (items, answers)
    }

    /// Frees the turn and lets go of who waits: each is told that its outcome is unknown.
    fn give_up(&self) {
        let mut queue = self.queue();
        queue.taken = false;
        queue.waiting.clear();
    }
}

impl Store {
    /// Runs a script for one item, together with others of its partition where a call is under way.
    pub(super) async fn gathered(&self, kind: Kind, item: Item) -> Answer {
        let answer = self.gather(kind, item).await;
        if let Ok(reply) = &answer {
            self.count_fenced(reply);
        }
        answer
    }

    /// Counts a word that came from a worker whose job another has; the next heartbeat takes the count along.
    pub(super) fn count_fenced(&self, reply: &Reply) {
        if reply.word().is_ok_and(|word| word == "fenced") {
            self.inner.fenced.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn gather(&self, kind: Kind, item: Item) -> Answer {
        let lane = self.inner.gathers.lane(kind, item.partition);
        // Items of two clocks cannot share a call.
        let Some(lane) = lane.filter(|_| self.now_ms == 0) else {
            return self.run_alone(kind, item).await;
        };
        match lane.enter(item) {
            Entered::First(item) => {
                let _turn = Turn {
                    store: self,
                    kind,
                    lane,
                };
                self.run_alone(kind, item).await
            }
            Entered::Waits(answered) => answered.await.unwrap_or_else(|_| {
                let text = "the call it waited for was given up";
                Err(Error::Unknown(text.to_owned()))
            }),
        }
    }

    async fn run_alone(&self, kind: Kind, item: Item) -> Answer {
        let mut answers = self.run_gathered(kind, vec![item]).await;
        let answer = answers.pop();
        answer.unwrap_or_else(|| Err(kind.script().no_answer()))
    }

    async fn run_gathered(&self, kind: Kind, items: Vec<Item>) -> Vec<Answer> {
        let limits;
        let shared: &[String] = match kind {
            Kind::Submit => {
                limits = self.submit_limits();
                &limits
            }
            Kind::Intent | Kind::Checkpoint | Kind::Settle | Kind::Fail => &[],
        };
        self.run_many(self.wish_of(kind), kind.script(), shared, items)
            .await
    }

    /// What a call waits for before its items are accepted.
    fn wish_of(&self, kind: Kind) -> Durability {
        match kind {
            Kind::Submit => self.options().durability.submits,
            Kind::Settle => self.options().durability.settlements,
            Kind::Intent | Kind::Checkpoint | Kind::Fail => Durability::None,
        }
    }

    /// Makes calls until nobody waits.
    async fn work_off(self, kind: Kind, mut turn: LastTurn) {
        loop {
            let (items, answers) = turn.lane.next();
            if items.is_empty() {
                turn.is_over = true;
                return;
            }
            let replies = self.run_gathered(kind, items).await;
            for (reply, answer) in replies.into_iter().zip(answers) {
                // Who is gone needs no answer; what was done for it stands.
                let _ = answer.send(reply);
            }
        }
    }
}

/// The first caller's turn. When it ends, also by being dropped in the middle, a task of its own goes on
/// with those who came meanwhile.
struct Turn<'a> {
    store: &'a Store,
    kind: Kind,
    lane: &'a Arc<Lane>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queue = self.lane.queue();
        if queue.waiting.is_empty() {
            queue.taken = false;
            return;
        }
        drop(queue);
        let turn = LastTurn {
            lane: Arc::clone(self.lane),
            is_over: false,
        };
        // Without a runtime, as at its end, the turn is given up here.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(self.store.clone().work_off(self.kind, turn));
        }
    }
}

/// The turn of the task that goes on: where it ends before its work does, by a panic or with its runtime,
/// nobody is left waiting.
struct LastTurn {
    lane: Arc<Lane>,
    /// The turn is free already, and may be another's by now.
    is_over: bool,
}

impl Drop for LastTurn {
    fn drop(&mut self) {
        if !self.is_over {
            self.lane.give_up();
        }
    }
}
