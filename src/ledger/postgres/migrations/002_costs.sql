-- What providers' work cost us, USD micros (`*_usd_micros`): a row for each submission, joined to money by the job.
create table costs (
  job text not null,
  submission integer not null,
  partition integer not null,
  account text not null,
  tool text not null,
  provider text not null,
  route text not null,
  model text not null,
  -- `succeeded`, a failure class, or the ending of its job: everything else was paid for nothing.
  outcome text not null,
  -- How it is known: reported, metered, computed, estimated.
  source text not null,
  cost_usd_micros bigint not null,
  at_ms bigint not null,
  primary key (job, submission)
);
create index costs_at on costs (at_ms);

-- How far each partition's ledger of costs is committed.
create table cost_heads (
  partition integer primary key,
  last_id text not null
);

create or replace view job_money as
  select job, account, coalesce(tool, '-') as tool, state, to_timestamp(held_at_ms / 1000.0) as held_at,
    to_timestamp(ended_at_ms / 1000.0) as ended_at, hold_ucr, coalesce(captured_ucr, 0) as captured_ucr,
    refunded_ucr, coalesce(captured_ucr, 0) - refunded_ucr as paid_ucr, coalesce(absorbed_ucr, 0) as absorbed_ucr,
    coalesce(house, false) as house,
    coalesce((select sum(cost_usd_micros)::bigint from costs where costs.job = jobs.job), provider_cost_usd_micros)
      as provider_cost_usd_micros
  from jobs;

-- A submission's cost beside what its job paid: the job's payment stands at the submission that brought it.
create view cost_lines as
  select c.job, c.submission, c.account, c.tool, c.provider, c.route, c.model, c.outcome, c.source, c.at_ms,
    (to_timestamp(c.at_ms / 1000.0) at time zone 'UTC')::date as day, c.cost_usd_micros,
    case when c.outcome = 'succeeded' then 0 else c.cost_usd_micros end as waste_usd_micros,
    case when c.outcome = 'succeeded' and not coalesce(j.house, false)
      then coalesce(j.captured_ucr, 0) - coalesce(j.refunded_ucr, 0) else 0 end as paid_ucr
  from costs c left join jobs j on j.job = c.job;

create view costs_by_provider as
  select provider, count(*) as submissions, count(*) filter (where outcome <> 'succeeded') as wasted,
    sum(cost_usd_micros)::bigint as cost_usd_micros, sum(waste_usd_micros)::bigint as waste_usd_micros,
    sum(paid_ucr)::bigint as paid_ucr
  from cost_lines group by provider;

create view costs_by_route as
  select provider, route, model, count(*) as submissions, count(*) filter (where outcome <> 'succeeded') as wasted,
    sum(cost_usd_micros)::bigint as cost_usd_micros, sum(waste_usd_micros)::bigint as waste_usd_micros,
    sum(paid_ucr)::bigint as paid_ucr
  from cost_lines group by provider, route, model;

create view costs_by_tool as
  select tool, count(*) as submissions, count(*) filter (where outcome <> 'succeeded') as wasted,
    sum(cost_usd_micros)::bigint as cost_usd_micros, sum(waste_usd_micros)::bigint as waste_usd_micros,
    sum(paid_ucr)::bigint as paid_ucr
  from cost_lines group by tool;

create view costs_by_day as
  select day, count(*) as submissions, count(*) filter (where outcome <> 'succeeded') as wasted,
    sum(cost_usd_micros)::bigint as cost_usd_micros, sum(waste_usd_micros)::bigint as waste_usd_micros,
    sum(paid_ucr)::bigint as paid_ucr
  from cost_lines group by day;
