//! One batch of entries as one transaction: entries, postings, accounts, grants, jobs, operation ids, and the
//! partition's head, which is moved from exactly where it was or not at all.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::{Client, Transaction};

use super::Error;
use super::chain::{Head, Link};
use super::records::{Records, Retried};
use super::rows::{self, AccountRow, signed, unsigned};
use crate::ledger::fold::Balances;

/// An account's limits, caps and plan: fields of the store and their texts.
pub(super) type Terms = BTreeMap<String, String>;

/// What is committed together.
pub(super) struct Batch<'a> {
    pub(super) partition: u16,
    /// What the first entry stands on.
    pub(super) before: &'a Head,
    pub(super) links: &'a [Link],
    /// What operation ids were answered, by account and id.
    pub(super) answers: BTreeMap<(String, String), String>,
    /// Terms that were set, by account.
    pub(super) terms: BTreeMap<String, Terms>,
    /// What is shown of jobs that have ended.
    pub(super) records: Records,
}

impl Batch<'_> {
    /// Commits everything. `Err(Taken)` where another process has moved the head meanwhile: then nothing
    /// was written.
    pub(super) async fn commit(&self, client: &mut Client) -> Result<Head, Error> {
        let Some(last) = self.links.last() else {
            return Ok(self.before.clone());
        };
        let head = Head {
            epoch: last.epoch,
            seq: last.body.seq,
            hash: last.hash.clone(),
        };
        let transaction = client.transaction().await?;
        self.move_head(&transaction, &head).await?;
        self.entries(&transaction).await?;
        self.postings(&transaction).await?;
        self.accounts(&transaction).await?;
        self.jobs(&transaction).await?;
        self.records(&transaction).await?;
        self.operations(&transaction).await?;
        transaction.commit().await?;
        Ok(head)
    }

    fn number(&self) -> i32 {
        self.partition.into()
    }

    async fn move_head(&self, to: &Transaction<'_>, head: &Head) -> Result<(), Error> {
        let sql = "update heads set epoch = $1, seq = $2, hash = $3, written_at = now()
            where partition = $4 and seq = $5 and hash = $6";
        let (epoch, seq) = (signed(head.epoch), signed(head.seq));
        let (was, hash_was) = (signed(self.before.seq), &self.before.hash);
        let moved = to
            .execute(
                sql,
                &[&epoch, &seq, &head.hash, &self.number(), &was, hash_was],
            )
            .await?;
        if moved == 1 {
            Ok(())
        } else {
            Err(Error::Taken(self.partition))
        }
    }

    async fn entries(&self, to: &Transaction<'_>) -> Result<(), Error> {
        let sql = "insert into entries (partition, seq, epoch, at_ms, kind, op, account, account_seq, job, tool,
              reason, hash, body)
            select $1, * from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[],
              $8::bigint[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[])";
        let links = self.links;
        let numbers = |of: fn(&Link) -> u64| -> Vec<i64> {
            links.iter().map(|link| signed(of(link))).collect()
        };
        fn texts(links: &[Link], of: fn(&Link) -> &String) -> Vec<&String> {
            links.iter().map(of).collect()
        }
        to.execute(
            sql,
            &[
                &self.number(),
                &numbers(|link| link.body.seq),
                &numbers(|link| link.epoch),
                &numbers(|link| link.body.at_ms),
                &texts(links, |link| &link.body.kind),
                &texts(links, |link| &link.body.op),
                &texts(links, |link| &link.body.account),
                &numbers(|link| link.body.account_seq),
                &texts(links, |link| &link.body.job),
                &texts(links, |link| &link.body.tool),
                &texts(links, |link| &link.body.reason),
                &texts(links, |link| &link.hash),
                &texts(links, |link| &link.text),
            ],
        )
        .await?;
        Ok(())
    }

    async fn postings(&self, to: &Transaction<'_>) -> Result<(), Error> {
        let (mut seqs, mut places, mut accounts) = (Vec::new(), Vec::new(), Vec::new());
        let (mut books, mut deltas) = (Vec::new(), Vec::new());
        for body in self.links.iter().map(|link| &link.body) {
            for (n, (book, delta)) in (0i32..).zip(&body.post) {
                seqs.push(signed(body.seq));
                places.push(n);
                accounts.push(&body.account);
                books.push(book);
                deltas.push(*delta);
            }
        }
        let sql = "insert into postings (partition, seq, n, account, book, delta_ucr)
            select $1, * from unnest($2::bigint[], $3::integer[], $4::text[], $5::text[], $6::bigint[])";
        let number = self.number();
        to.execute(sql, &[&number, &seqs, &places, &accounts, &books, &deltas])
            .await?;
        Ok(())
    }

    /// Folds the accounts of the batch on, from where history has them.
    async fn accounts(&self, to: &Transaction<'_>) -> Result<(), Error> {
        let names: BTreeSet<&String> = self.links.iter().map(|link| &link.body.account).collect();
        let names: Vec<&String> = names.into_iter().collect();
        let mut rows = read_accounts(to, &names).await?;
        for body in self.links.iter().map(|link| &link.body) {
            let row = rows.entry(body.account.clone());
            row.or_insert_with(AccountRow::new).add(body);
        }
        self.write_accounts(to, &rows).await?;
        to.execute("delete from grants where account = any($1)", &[&names])
            .await?;
        let (mut accounts, mut ids, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for (account, row) in &rows {
            for (id, text) in &row.fold.grants {
                accounts.push(account);
                ids.push(id);
                texts.push(text);
            }
        }
        let sql = "insert into grants (account, grant_id, grant_row)
            select * from unnest($1::text[], $2::text[], $3::text[])";
        to.execute(sql, &[&accounts, &ids, &texts]).await?;
        Ok(())
    }

    async fn write_accounts(
        &self,
        to: &Transaction<'_>,
        rows: &BTreeMap<String, AccountRow>,
    ) -> Result<(), Error> {
        let sql = "insert into accounts (partition, account, state, terms, account_seq, based, next_grant,
              available_ucr, held_ucr, debt_ucr, granted_ucr, captured_ucr, expired_ucr, refunded_ucr, adjusted_ucr)
            select $1, a, s, coalesce(t::jsonb, '{}'), q, b, n, x1, x2, x3, x4, x5, x6, x7, x8
            from unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::boolean[], $7::bigint[], $8::bigint[],
              $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[])
              as u(a, s, t, q, b, n, x1, x2, x3, x4, x5, x6, x7, x8)
            on conflict (account) do update set state = excluded.state, account_seq = excluded.account_seq,
              terms = case when excluded.terms = '{}' then accounts.terms else excluded.terms end,
              based = excluded.based, next_grant = excluded.next_grant,
              available_ucr = excluded.available_ucr, held_ucr = excluded.held_ucr, debt_ucr = excluded.debt_ucr,
              granted_ucr = excluded.granted_ucr, captured_ucr = excluded.captured_ucr,
              expired_ucr = excluded.expired_ucr, refunded_ucr = excluded.refunded_ucr,
              adjusted_ucr = excluded.adjusted_ucr";
        let names: Vec<&String> = rows.keys().collect();
        let states: Vec<&String> = rows.values().map(|row| &row.state).collect();
        let terms: Vec<Option<String>> = rows
            .keys()
            .map(|name| Some(serde_json::json!(self.terms.get(name)?).to_string()))
            .collect();
        let seqs: Vec<i64> = rows.values().map(|row| signed(row.fold.seq)).collect();
        let based: Vec<bool> = rows.values().map(|row| row.fold.is_based).collect();
        let next: Vec<i64> = rows.values().map(|row| row.next_grant).collect();
        let figures = |of: fn(&Balances) -> i64| -> Vec<i64> {
            rows.values().map(|row| of(&row.fold.balances)).collect()
        };
        to.execute(
            sql,
            &[
                &self.number(),
                &names,
                &states,
                &terms,
                &seqs,
                &based,
                &next,
                &figures(|b| b.available),
                &figures(|b| b.held),
                &figures(|b| b.debt),
                &figures(|b| b.granted),
                &figures(|b| b.captured),
                &figures(|b| b.expired),
                &figures(|b| b.refunded),
                &figures(|b| b.adjusted),
            ],
        )
        .await?;
        Ok(())
    }

    async fn jobs(&self, to: &Transaction<'_>) -> Result<(), Error> {
        let jobs = rows::jobs(self.links);
        let sql = "insert into jobs (partition, job, account, tool, state, class, house, slices, hold_ucr, held_at_ms,
              ended_at_ms, captured_ucr, absorbed_ucr, refunded_ucr)
            select $1, * from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[],
              $8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[])
            on conflict (job) do update set tool = coalesce(excluded.tool, jobs.tool),
              state = coalesce(excluded.state, jobs.state), class = coalesce(excluded.class, jobs.class),
              house = coalesce(excluded.house, jobs.house), slices = coalesce(excluded.slices, jobs.slices),
              hold_ucr = coalesce(excluded.hold_ucr, jobs.hold_ucr),
              held_at_ms = coalesce(excluded.held_at_ms, jobs.held_at_ms),
              ended_at_ms = coalesce(excluded.ended_at_ms, jobs.ended_at_ms),
              captured_ucr = coalesce(excluded.captured_ucr, jobs.captured_ucr),
              absorbed_ucr = coalesce(excluded.absorbed_ucr, jobs.absorbed_ucr),
              refunded_ucr = jobs.refunded_ucr + excluded.refunded_ucr";
        let texts = |of: fn(&rows::JobRow) -> &Option<String>| -> Vec<Option<&String>> {
            jobs.values().map(|job| of(job).as_ref()).collect()
        };
        let numbers = |of: fn(&rows::JobRow) -> Option<i64>| -> Vec<Option<i64>> {
            jobs.values().map(of).collect()
        };
        let ids: Vec<&String> = jobs.keys().collect();
        let accounts: Vec<&String> = jobs.values().map(|job| &job.account).collect();
        let house: Vec<Option<bool>> = jobs.values().map(|job| job.house).collect();
        let refunded: Vec<i64> = jobs.values().map(|job| job.refunded_ucr).collect();
        to.execute(
            sql,
            &[
                &self.number(),
                &ids,
                &accounts,
                &texts(|job| &job.tool),
                &texts(|job| &job.state),
                &texts(|job| &job.class),
                &house,
                &texts(|job| &job.slices),
                &numbers(|job| job.hold_ucr),
                &numbers(|job| job.held_at_ms),
                &numbers(|job| job.ended_at_ms),
                &numbers(|job| job.captured_ucr),
                &numbers(|job| job.absorbed_ucr),
                &refunded,
            ],
        )
        .await?;
        Ok(())
    }

    /// Behind the jobs themselves: each has its row by now.
    async fn records(&self, to: &Transaction<'_>) -> Result<(), Error> {
        let Records { texts, retried } = &self.records;
        if !texts.is_empty() {
            let sql = "update jobs set record = x.record
                from unnest($1::text[], $2::text[]) as x(job, record) where jobs.job = x.job";
            let jobs: Vec<&String> = texts.keys().collect();
            let records: Vec<&String> = texts.values().collect();
            to.execute(sql, &[&jobs, &records]).await?;
        }
        if !retried.is_empty() {
            let sql = "update jobs set record = jsonb_set(jsonb_set(record::jsonb,
                  '{fields,redriven_as}', to_jsonb(x.again)), '{fields,payer_again}', to_jsonb(x.payer))::text
                from unnest($1::text[], $2::text[], $3::text[]) as x(job, again, payer)
                where jobs.job = x.job and jobs.record is not null";
            let texts = |of: fn(&Retried) -> &String| retried.iter().map(of).collect::<Vec<_>>();
            let failed = texts(|link| &link.failed);
            let (again, payer) = (texts(|link| &link.again), texts(|link| &link.payer));
            to.execute(sql, &[&failed, &again, &payer]).await?;
        }
        Ok(())
    }

    async fn operations(&self, to: &Transaction<'_>) -> Result<(), Error> {
        let bodies = self.links.iter().map(|link| &link.body);
        let bodies: Vec<_> = bodies.filter(|body| rows::is_operation(body)).collect();
        if bodies.is_empty() {
            return Ok(());
        }
        let sql = "insert into operations (partition, account, op, seq, kind, amount_ucr, payment, answer)
            select $1, * from unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::text[],
              $8::text[])
            on conflict (account, op) do update set seq = excluded.seq, kind = excluded.kind,
              amount_ucr = excluded.amount_ucr, payment = excluded.payment,
              answer = coalesce(excluded.answer, operations.answer)";
        let accounts: Vec<&String> = bodies.iter().map(|body| &body.account).collect();
        let ops: Vec<&String> = bodies.iter().map(|body| &body.op).collect();
        let seqs: Vec<i64> = bodies.iter().map(|body| signed(body.seq)).collect();
        let kinds: Vec<&String> = bodies.iter().map(|body| &body.kind).collect();
        let amounts: Vec<i64> = bodies.iter().map(|body| rows::amount(body)).collect();
        let payments: Vec<&String> = bodies.iter().map(|body| &body.payment).collect();
        let answers: Vec<Option<&String>> = bodies
            .iter()
            .map(|body| self.answers.get(&(body.account.clone(), body.op.clone())))
            .collect();
        let number = self.number();
        to.execute(
            sql,
            &[
                &number, &accounts, &ops, &seqs, &kinds, &amounts, &payments, &answers,
            ],
        )
        .await?;
        Ok(())
    }
}

/// Accounts as history has them; those that it has not met are left out.
async fn read_accounts(
    from: &Transaction<'_>,
    names: &[&String],
) -> Result<BTreeMap<String, AccountRow>, Error> {
    let sql = "select account, account_seq, based, available_ucr, held_ucr, debt_ucr, granted_ucr, captured_ucr,
          expired_ucr, refunded_ucr, adjusted_ucr, state, next_grant
        from accounts where account = any($1)";
    let mut rows = BTreeMap::new();
    for row in from.query(sql, &[&names]).await? {
        let balances = Balances {
            available: row.get(3),
            held: row.get(4),
            debt: row.get(5),
            granted: row.get(6),
            captured: row.get(7),
            expired: row.get(8),
            refunded: row.get(9),
            adjusted: row.get(10),
        };
        let mut account = AccountRow::known(unsigned(row.get(1)), row.get(2), balances);
        account.state = row.get(11);
        account.next_grant = row.get(12);
        rows.insert(row.get(0), account);
    }
    let sql = "select account, grant_id, grant_row from grants where account = any($1)";
    for row in from.query(sql, &[&names]).await? {
        if let Some(account) = rows.get_mut(row.get::<_, &str>(0)) {
            account.fold.grants.insert(row.get(1), row.get(2));
        }
    }
    Ok(rows)
}
