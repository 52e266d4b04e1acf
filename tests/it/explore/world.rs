//! The small house: the store, the workers' own views, what is under way, and how much may still go wrong.

use meterline::domain::failure::FailureClass;
use meterline::domain::job::{Priority, Stage, State};
use meterline::domain::reference::{
    Book, Done, Entry, EntryKind, JobNo, Kind, Note, Op, Partition, Reply, Rules, WorkerNo,
};
use stateright::{Model, Property};

use super::act::Act;
use super::defects::{self, Defect};
use super::promises;

/// When the house begins, ms.
const BEGIN_MS: u64 = 1_000_000;
/// Seconds it lives: longer than any job can.
const END_S: u8 = 6;
/// Until when jobs are submitted, s.
const SUBMITS_UNTIL_S: u8 = 1;

pub(super) const JOBS: [JobNo; 2] = [1, 2];
pub(super) const WORKERS: [WorkerNo; 2] = [0, 1];
/// What is held for each job, and what its output turns out to cost: less, and more.
const HOLDS: [i64; 2] = [3, 2];
const COSTS: [i64; 2] = [2, 4];

pub(super) const RULES: Rules = Rules {
    lease_ms: 2_000,
    sweep_ms: 1_000,
    queue_ttl_ms: 2_000,
    deadline_ms: 4_000,
    cancel_grace_ms: 1_000,
    retention_ms: 1_000_000,
    dead_letter_ms: 1_000_000,
    takeovers_max: 1,
    max_active: 1,
    lane_max: 2,
    open_max: 4,
    grants_max: 4,
};

/// How often each thing may still go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    pub(super) deaths: u8,
    pub(super) unheard: u8,
    pub(super) echoes: u8,
    pub(super) stalls: u8,
    pub(super) failures: u8,
    pub(super) cancels: u8,
    pub(super) refunds: u8,
    pub(super) sleeps: u8,
    pub(super) fail_overs: u8,
    pub(super) price_rises: u8,
}

/// What a worker knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Worker {
    /// It never asked for anything.
    New,
    /// It runs nothing.
    Free,
    /// It runs a job.
    Runs {
        job: JobNo,
        take: u32,
        stage: Stage,
        submission: u32,
    },
    /// It is dead.
    Dead,
}

/// What has become of a job in the books and before its user's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Story {
    /// Entries that ended its hold.
    pub(super) ends: u8,
    /// It was charged something.
    pub(super) was_charged: bool,
    /// Its whole hold was given back.
    pub(super) was_released: bool,
    /// It was charged after its deadline, or above the price it was submitted at.
    pub(super) was_charged_late: bool,
    /// The price of its output when it was submitted.
    pub(super) price: i64,
    /// How it ended first.
    pub(super) ended: Option<State>,
    /// It was something else afterwards.
    pub(super) rose_again: bool,
}

/// The store, and what the journal says of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Store {
    pub(super) state: Partition,
    /// Available, held and debt as the entries add up.
    pub(super) booked: [i64; 3],
    pub(super) stories: [Story; 2],
}

/// A state of the house.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) store: Store,
    /// The store as the server that would take over knows it.
    replica: Option<Box<Store>>,
    pub(super) now_s: u8,
    pub(super) workers: [Worker; 2],
    pub(super) is_heard: [bool; 2],
    /// The last settlement or failure that each worker sent.
    sent: [Option<Op>; 2],
    pub(super) left: Budget,
    /// The catalogue's price on top of the first one.
    dearer: i64,
    /// Claims and holds there were when the fence fell.
    pub(super) fence: Option<(u32, usize)>,
    /// What a defect keeps outside of the store.
    pub(super) aside: Option<(WorkerNo, JobNo, Box<Partition>)>,
}

/// The model that is walked.
#[derive(Debug, Clone)]
pub(super) struct House {
    pub(super) budget: Budget,
    pub(super) defect: Option<Defect>,
}

impl World {
    pub(super) fn now_ms(&self) -> u64 {
        BEGIN_MS + u64::from(self.now_s) * 1_000
    }

    pub(super) fn is_over(&self) -> bool {
        self.now_s >= END_S
    }

    /// Claims and holds so far.
    pub(super) fn handed_out(&self) -> (u32, usize) {
        let jobs = &self.store.state.jobs;
        (jobs.values().map(|job| job.takes).sum(), jobs.len())
    }

    fn worker(&mut self, no: WorkerNo) -> &mut Worker {
        &mut self.workers[usize::from(no)]
    }

    /// What a worker says next.
    fn next_word(&self, house: &House, no: WorkerNo) -> Option<Op> {
        let Worker::Runs {
            job,
            take,
            stage,
            submission,
        } = self.workers[usize::from(no)]
        else {
            return None;
        };
        Some(match stage {
            Stage::Fresh => Op::Note {
                job,
                take,
                note: Note::Intent(submission),
            },
            Stage::Intent => Op::Note {
                job,
                take,
                note: Note::Handle,
            },
            Stage::Handle | Stage::Artifact => self.settlement(house, job, take),
        })
    }

    /// The price frozen at the submission, never above the hold; the rest is absorbed.
    fn settlement(&self, house: &House, job: JobNo, take: u32) -> Op {
        let n = usize::from(job) - 1;
        let price = match house.defect {
            Some(Defect::PricesAnew) => COSTS[n] + self.dearer,
            _ => self.store.stories[n].price,
        };
        let ucr = match house.defect {
            Some(Defect::ChargesAboveTheHold) => price,
            _ => price.min(HOLDS[n]),
        };
        Op::Settle {
            job,
            take,
            ucr,
            absorbed_ucr: price - ucr,
        }
    }

    fn submission(&self, job: JobNo) -> Op {
        Op::Submit {
            account: 0,
            job,
            ucr: HOLDS[usize::from(job) - 1],
            priority: Priority::Normal,
            delay_ms: 0,
            key: None,
        }
    }

    /// Does an operation in the store, with the defect that is seeded, and writes down what the journal says.
    fn call(&mut self, house: &House, op: &Op) -> Reply {
        let now_ms = self.now_ms();
        let jobs = &self.store.state.jobs;
        let was_over = JOBS.map(|no| jobs.get(&no).is_some_and(|job| now_ms >= job.over_ms()));
        let done = match house.defect {
            Some(defect) => defect.apply(self, now_ms, op),
            None => self.store.state.apply(&RULES, now_ms, op),
        };
        self.read_journal(was_over, &done);
        done.reply
    }

    pub(super) fn read_journal(&mut self, was_over: [bool; 2], done: &Done) {
        for entry in &done.entries {
            for (book, booked) in [Book::Available, Book::Held, Book::Debt]
                .iter()
                .zip(&mut self.store.booked)
            {
                *booked += entry.postings.get(book).copied().unwrap_or(0);
            }
            self.tell(was_over, entry);
        }
        for (no, story) in JOBS.iter().zip(&mut self.store.stories) {
            let state = self.store.state.jobs.get(no).map(|job| job.state);
            let ended = state.filter(|state| state.is_terminal());
            story.rose_again |= story.ended.is_some() && story.ended != ended;
            story.ended = story.ended.or(ended);
        }
    }

    /// What an entry is to its job's user.
    fn tell(&mut self, was_over: [bool; 2], entry: &Entry) {
        let Some(no) = entry.job else {
            return;
        };
        let dearer = self.dearer;
        let story = &mut self.store.stories[usize::from(no) - 1];
        match entry.kind {
            EntryKind::Hold => story.price = COSTS[usize::from(no) - 1] + dearer,
            EntryKind::Settle | EntryKind::Release => {
                story.ends += 1;
                let is_charged = entry.kind == EntryKind::Settle;
                let is_late = was_over[usize::from(no) - 1];
                story.was_charged |= is_charged;
                story.was_released |= !is_charged;
                story.was_charged_late |= is_charged && is_late;
            }
            EntryKind::Open
            | EntryKind::Set
            | EntryKind::Grant
            | EntryKind::Adjust
            | EntryKind::Refund
            | EntryKind::Expire
            | EntryKind::Opening => {}
        }
    }

    /// What a worker makes of an answer to its word.
    fn hear(&mut self, no: WorkerNo, op: &Op, reply: &Reply) {
        let worker = self.worker(no);
        *worker = match (reply, *worker) {
            (
                Reply::Noted,
                Worker::Runs {
                    job,
                    take,
                    submission,
                    ..
                },
            ) => {
                let is_intent = matches!(
                    op,
                    Op::Note {
                        note: Note::Intent(_),
                        ..
                    }
                );
                let stage = if is_intent {
                    Stage::Intent
                } else {
                    Stage::Handle
                };
                Worker::Runs {
                    job,
                    take,
                    stage,
                    submission,
                }
            }
            (_, Worker::Dead) => Worker::Dead,
            _ => Worker::Free,
        };
    }

    fn say(&mut self, house: &House, no: WorkerNo, op: Op, is_heard: bool) {
        if matches!(op, Op::Settle { .. } | Op::Fail { .. }) {
            self.sent[usize::from(no)] = Some(op);
        }
        let reply = self.call(house, &op);
        if is_heard {
            self.hear(no, &op, &reply);
        }
    }

    fn claim(&mut self, house: &House, no: WorkerNo, is_heard: bool) {
        let reply = self.call(
            house,
            &Op::Claim {
                worker: no,
                n: 1,
                low_first: false,
            },
        );
        let worker = match reply {
            Reply::Lost => Worker::Dead,
            Reply::Claimed { jobs, .. } if is_heard && !jobs.is_empty() => {
                let handed = jobs[0];
                // Attached to what was begun: the same number; else the next one.
                let is_begun = handed.stage == Stage::Intent;
                Worker::Runs {
                    job: handed.job,
                    take: handed.take,
                    stage: if is_begun { Stage::Fresh } else { handed.stage },
                    submission: handed.submissions + u32::from(!is_begun),
                }
            }
            _ => Worker::Free,
        };
        *self.worker(no) = worker;
    }

    fn fail(&mut self, house: &House, no: WorkerNo, again: Option<(u64, u32)>) {
        if let Worker::Runs { job, take, .. } = self.workers[usize::from(no)] {
            let class = FailureClass::ProviderFault;
            self.say(
                house,
                no,
                Op::Fail {
                    job,
                    take,
                    class,
                    again,
                    has_verdict: true,
                },
                true,
            );
        }
    }

    /// What only it knew dies with it.
    fn die(&mut self, house: &House, no: WorkerNo) {
        *self.worker(no) = Worker::Dead;
        let aside = self.aside.take_if(|(worker, ..)| *worker == no);
        if let (Some((_, job, before)), Some(Defect::EndsInMemory)) = (aside, house.defect) {
            defects::forget_the_end(&mut self.store.state, job, &before);
        }
    }

    /// A second write that should have been part of the first comes within a second, if its worker lives.
    fn write_the_rest(&mut self, house: &House) {
        let Some(defect) = house.defect.filter(|defect| defect.writes_twice()) else {
            return;
        };
        if let Some((_, job, before)) = self.aside.take() {
            defects::write_the_rest(self, defect, job, &before);
        }
    }

    fn live(&mut self, house: &House) {
        self.write_the_rest(house);
        for no in WORKERS {
            let n = usize::from(no);
            let is_living = !matches!(self.workers[n], Worker::New | Worker::Dead);
            if is_living
                && self.is_heard[n]
                && self.call(house, &Op::Beat { worker: no }) == Reply::Lost
            {
                self.workers[n] = Worker::Dead;
            }
        }
        self.call(house, &Op::Tick { again: true });
        self.call(house, &Op::Reap { first: [None; 3] });
        self.replica = (self.left.fail_overs > 0).then(|| Box::new(self.store.clone()));
    }

    fn fail_over(&mut self, house: &House) {
        if let Some(replica) = self.replica.take() {
            self.store = *replica;
            self.call(
                house,
                &Op::Freeze {
                    scope: meterline::domain::reference::Scope::Partition,
                    op: 90,
                },
            );
            self.fence = Some(self.handed_out());
        }
    }

    fn act(&mut self, house: &House, act: Act) {
        match act {
            Act::Submit(job) => {
                let op = self.submission(job);
                self.call(house, &op);
            }
            Act::Claim(no) => self.claim(house, no, true),
            Act::ClaimUnheard(no) => {
                self.left.unheard -= 1;
                self.claim(house, no, false);
            }
            Act::Say(no) => {
                if let Some(op) = self.next_word(house, no) {
                    self.say(house, no, op, true);
                }
            }
            Act::SayUnheard(no) => {
                self.left.unheard -= 1;
                if let Some(op) = self.next_word(house, no) {
                    self.say(house, no, op, false);
                }
            }
            Act::DieSaying(no) => {
                self.left.deaths -= 1;
                self.sent[usize::from(no)] = self.next_word(house, no);
                self.die(house, no);
            }
            Act::Fail(no) => {
                self.left.failures -= 1;
                self.fail(house, no, None);
            }
            Act::Retry(no) => {
                self.left.failures -= 1;
                self.fail(house, no, Some((1_000, 1)));
            }
            Act::Echo(no) => {
                self.left.echoes -= 1;
                if let Some(op) = self.sent[usize::from(no)] {
                    self.call(house, &op);
                }
            }
            Act::Die(no) => {
                self.left.deaths -= 1;
                self.die(house, no);
            }
            Act::Stall(no) => {
                self.left.stalls -= 1;
                self.is_heard[usize::from(no)] = false;
            }
            Act::Cancel(job) => {
                self.left.cancels -= 1;
                self.call(house, &Op::Cancel { job });
            }
            Act::Refund(job) => {
                self.left.refunds -= 1;
                self.call(
                    house,
                    &Op::Refund {
                        job,
                        op: 50 + job,
                        ucr: None,
                    },
                );
            }
            Act::PriceRises => {
                self.left.price_rises -= 1;
                self.dearer += 1;
            }
            Act::Live => {
                self.now_s += 1;
                self.live(house);
            }
            Act::Sleep => {
                self.left.sleeps -= 1;
                self.now_s += 1;
            }
            Act::FailOver => {
                self.left.fail_overs -= 1;
                self.fail_over(house);
            }
            Act::SecondWrite => self.write_the_rest(house),
        }
    }

    /// What can happen to a worker and by it.
    fn acts_of_worker(&self, no: WorkerNo, acts: &mut Vec<Act>) {
        let left = &self.left;
        let mut allow = |is_left: bool, act: Act| {
            if is_left {
                acts.push(act);
            }
        };
        match self.workers[usize::from(no)] {
            Worker::Dead => {}
            // Workers are alike: the second one begins after the first.
            Worker::New if no > 0 && self.workers[usize::from(no) - 1] == Worker::New => {}
            Worker::New | Worker::Free => {
                let knows_alone = self
                    .aside
                    .as_ref()
                    .is_some_and(|(worker, ..)| *worker == no);
                allow(knows_alone && left.deaths > 0, Act::Die(no));
                let is_ready = self
                    .store
                    .state
                    .jobs
                    .values()
                    .any(|job| job.state == State::Queued);
                allow(is_ready, Act::Claim(no));
                allow(is_ready && left.unheard > 0, Act::ClaimUnheard(no));
            }
            Worker::Runs { stage, .. } => {
                allow(true, Act::Say(no));
                allow(left.unheard > 0, Act::SayUnheard(no));
                allow(left.deaths > 0, Act::Die(no));
                allow(
                    left.deaths > 0 && stage == Stage::Handle,
                    Act::DieSaying(no),
                );
                allow(
                    left.stalls > 0 && self.is_heard[usize::from(no)],
                    Act::Stall(no),
                );
                allow(left.failures > 0 && stage != Stage::Fresh, Act::Fail(no));
                allow(left.failures > 0 && stage != Stage::Fresh, Act::Retry(no));
            }
        }
        let is_sent = self.sent[usize::from(no)].is_some();
        allow(is_sent && left.echoes > 0, Act::Echo(no));
    }
}

impl House {
    pub(super) fn sound(budget: Budget) -> Self {
        Self {
            budget,
            defect: None,
        }
    }
}

impl Model for House {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        let mut world = World {
            store: Store {
                state: Partition::default(),
                booked: [0; 3],
                stories: [Story::default(); 2],
            },
            replica: None,
            now_s: 0,
            workers: [Worker::New; 2],
            is_heard: [true; 2],
            sent: [None; 2],
            left: self.budget,
            dearer: 0,
            fence: None,
            aside: None,
        };
        world.call(self, &Op::Open { account: 0 });
        let grant = |op, ucr, kind, expires_ms| Op::Grant {
            account: 0,
            op,
            ucr,
            kind,
            expires_ms,
        };
        world.call(self, &grant(1, 3, Kind::Purchase, 0));
        world.call(self, &grant(2, 2, Kind::Daily, BEGIN_MS + 3_000));
        world.live(self);
        vec![world]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        if world.is_over() {
            return;
        }
        let left = &world.left;
        for (n, no) in JOBS.into_iter().enumerate() {
            let is_known = world.store.state.jobs.contains_key(&no);
            let is_next = n == 0 || world.store.state.jobs.contains_key(&JOBS[n - 1]);
            if !is_known && is_next && world.now_s <= SUBMITS_UNTIL_S {
                acts.push(Act::Submit(no));
            }
            if is_known && left.cancels > 0 {
                acts.push(Act::Cancel(no));
            }
            if is_known && left.refunds > 0 && world.store.stories[n].was_charged {
                acts.push(Act::Refund(no));
            }
        }
        for no in WORKERS {
            world.acts_of_worker(no, acts);
        }
        if left.price_rises > 0 && world.now_s <= SUBMITS_UNTIL_S {
            acts.push(Act::PriceRises);
        }
        if left.fail_overs > 0 && world.replica.is_some() {
            acts.push(Act::FailOver);
        }
        if left.sleeps > 0 && world.now_s + 1 < END_S {
            acts.push(Act::Sleep);
        }
        if world.aside.is_some() && self.defect.is_some_and(Defect::writes_twice) {
            acts.push(Act::SecondWrite);
        }
        acts.push(Act::Live);
    }

    fn next_state(&self, world: &World, act: Act) -> Option<World> {
        let mut next = world.clone();
        next.act(self, act);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::properties()
    }
}
