-- What is shown of a job after the store has forgotten it, and the ways in which jobs are listed.

-- The job's hash, artifact and timeline as the store had them, JSON as text; null where the store had
-- forgotten the job before history came to its end. Written by the projector with the job's ending entry.
alter table jobs add column record text;

create index jobs_listed_account on jobs (account, held_at_ms desc, job collate "C" desc) where state <> 'open';
create index jobs_listed_all on jobs (held_at_ms desc, job collate "C" desc) where state <> 'open';
create index jobs_listed_state on jobs (state, held_at_ms desc, job collate "C" desc) where state <> 'open';
create index jobs_listed_ended on jobs (ended_at_ms desc, job collate "C" desc) where state <> 'open';
