-- The history of one store: its journal, and what follows from it. Amounts are micro-credits (`*_ucr`),
-- times ms since 1970 (`*_ms`); the views turn them into timestamps. Only the projector writes here, but
-- for provider costs. All rows of one batch and the partition's head are committed together.

-- Which store this is. One row.
create table store (
  one boolean primary key default true check (one),
  schema integer not null,
  partitions integer not null,
  tags text not null
);

-- How far each partition's journal is committed, and the hash that the next entry has to stand on.
create table heads (
  partition integer primary key,
  epoch bigint not null,
  seq bigint not null,
  hash text not null,
  written_at timestamptz not null default now()
);

-- The journal, an entry a row. `body` is exact: sha1hex(hash before || body) = hash.
create table entries (
  partition integer not null,
  seq bigint not null,
  epoch bigint not null,
  at_ms bigint not null,
  kind text not null,
  op text not null,
  account text not null,
  account_seq bigint not null,
  job text not null,
  tool text not null,
  reason text not null,
  hash text not null,
  body text not null,
  primary key (partition, seq)
);
create index entries_account on entries (account, account_seq);
create index entries_job on entries (job) where job <> '';

-- Double entry: the postings of an entry sum to zero.
create table postings (
  partition integer not null,
  seq bigint not null,
  n integer not null,
  account text not null,
  book text not null,
  delta_ucr bigint not null,
  primary key (partition, seq, n),
  foreign key (partition, seq) references entries deferrable initially deferred
);
create index postings_account on postings (account, book);

-- Accounts as of the partition's head. `based` = the figures are known: from the first entry or an opening.
create table accounts (
  account text primary key,
  partition integer not null,
  account_seq bigint not null,
  based boolean not null,
  state text not null default 'open',
  available_ucr bigint not null,
  held_ucr bigint not null,
  debt_ucr bigint not null,
  granted_ucr bigint not null,
  captured_ucr bigint not null,
  expired_ucr bigint not null,
  refunded_ucr bigint not null,
  adjusted_ucr bigint not null,
  next_grant bigint not null,
  -- Limits, caps, plan: fields of the store and their texts.
  terms jsonb not null default '{}'
);
create index accounts_partition on accounts (partition);

-- Live grants as of the head: kind|remaining|pinned|expires_ms|age.
create table grants (
  account text not null,
  grant_id text not null,
  grant_row text not null,
  primary key (account, grant_id)
);

-- A job's money. `state` is `open` while its hold is. The provider's cost is filled in by whoever knows it.
create table jobs (
  job text primary key,
  partition integer not null,
  account text not null,
  tool text,
  state text,
  class text,
  house boolean,
  slices text,
  hold_ucr bigint,
  held_at_ms bigint,
  ended_at_ms bigint,
  captured_ucr bigint,
  absorbed_ucr bigint,
  refunded_ucr bigint not null default 0,
  provider_cost_usd_micros bigint
);
create index jobs_account on jobs (account, held_at_ms);
create index jobs_open on jobs (partition) where state = 'open';

-- Operation ids and the answers they got. They never expire.
create table operations (
  account text not null,
  op text not null,
  partition integer not null,
  seq bigint not null,
  kind text not null,
  amount_ucr bigint not null,
  payment text not null,
  answer text,
  primary key (account, op)
);
create index operations_partition on operations (partition);

-- Entries that a store had and that history did not, kept when it was rebuilt without them.
create table dropped_entries (
  partition integer not null,
  id text not null,
  hash text not null,
  body text not null,
  -- Which rebuild it was.
  restoration text not null,
  dropped_at timestamptz not null default now(),
  primary key (partition, id, hash, restoration)
);

-- What a job cost whom. Revenue is what the account paid and what the house put in (`absorbed`).
create view job_money as
  select job, account, coalesce(tool, '-') as tool, state, to_timestamp(held_at_ms / 1000.0) as held_at,
    to_timestamp(ended_at_ms / 1000.0) as ended_at, hold_ucr, coalesce(captured_ucr, 0) as captured_ucr,
    refunded_ucr, coalesce(captured_ucr, 0) - refunded_ucr as paid_ucr, coalesce(absorbed_ucr, 0) as absorbed_ucr,
    coalesce(house, false) as house, provider_cost_usd_micros
  from jobs;

create view spending as
  select account, tool, (ended_at at time zone 'UTC')::date as day, count(*) as jobs,
    count(*) filter (where state = 'succeeded') as succeeded, sum(captured_ucr) as captured_ucr,
    sum(refunded_ucr) as refunded_ucr, sum(paid_ucr) as paid_ucr
  from job_money where state <> 'open' group by account, tool, day;

create view spending_by_account as
  select account, sum(jobs) as jobs, sum(paid_ucr) as paid_ucr from spending group by account;

create view spending_by_tool as
  select tool, sum(jobs) as jobs, sum(paid_ucr) as paid_ucr from spending group by tool;

create view spending_by_day as
  select day, sum(jobs) as jobs, sum(paid_ucr) as paid_ucr from spending group by day;

-- What jobs brought in and what they cost us; `costed` says for how many of them the cost is known.
create view margin as
  select tool, (ended_at at time zone 'UTC')::date as day, count(*) as jobs,
    sum(case when house then 0 else paid_ucr end) as paid_ucr, sum(absorbed_ucr) as absorbed_ucr,
    sum(provider_cost_usd_micros) as provider_cost_usd_micros, count(provider_cost_usd_micros) as costed
  from job_money where state <> 'open' group by tool, day;
