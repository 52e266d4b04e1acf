//! The metrics of the process and of the house, in the text format of Prometheus: one table declares all
//! of them, and every label has few values.

mod audited;
mod behind;
mod table;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{Method, StatusCode};

use crate::store::{FeedEvent, ProviderSpend, QueueView, TooLate};

pub(super) use audited::Audited;
pub(super) use behind::Behind;
pub(super) use table::TABLE;

/// Upper ends of the buckets of request durations, seconds.
const BUCKETS_S: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];

/// Providers that have samples of their own: the dearest.
pub(super) const PROVIDERS_MAX: usize = 100;

/// Counters of this process.
#[derive(Default)]
pub(super) struct Metrics {
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    requests: BTreeMap<(String, String, &'static str), Histogram>,
    events: BTreeMap<String, u64>,
    failures: BTreeMap<String, u64>,
}

#[derive(Default)]
struct Histogram {
    buckets: [u64; BUCKETS_S.len()],
    count: u64,
    sum_s: f64,
}

/// What the store says at a scrape.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) queues: Vec<QueueView>,
    pub(super) workers: usize,
    pub(super) frozen: usize,
    pub(super) audited: Audited,
    /// How far Postgres is behind; `None` where it is off.
    pub(super) behind: Option<Behind>,
    /// How often workers were too late, in all partitions.
    pub(super) too_late: TooLate,
    /// Providers with booked costs; at most [`PROVIDERS_MAX`] are shown.
    pub(super) spend: Vec<ProviderSpend>,
    pub(super) obligations: usize,
    pub(super) store_latency: Duration,
    pub(super) under_way: usize,
    pub(super) streams: usize,
}

impl Metrics {
    /// A request was answered. `path` is a route's, so that there are few.
    pub(super) fn request(&self, method: &Method, path: &str, status: StatusCode, took: Duration) {
        let class = match status.as_u16() {
            0..400 => "ok",
            400..500 => "refused",
            500.. => "failed",
        };
        let mut counted = self.counted();
        // Methods are the caller's words: only those that a route can have are told apart.
        let known = [Method::GET, Method::HEAD, Method::POST];
        let method = known.iter().find(|known| *known == method);
        let method = method.map_or("-", |method| method.as_str());
        let key = (method.to_owned(), path.to_owned(), class);
        counted.requests.entry(key).or_default().add(took);
    }

    /// Something happened in the house.
    pub(super) fn event(&self, event: &FeedEvent) {
        let (word, mut counted) = (&event.event.event, self.counted());
        *counted.events.entry(word.clone()).or_default() += 1;
        if word == "failed" {
            let class = event.event.detail.split(' ').next().unwrap_or_default();
            let class = crate::domain::failure::FailureClass::from_word(class);
            let class = class.map_or("other", |class| class.as_str());
            *counted.failures.entry(class.to_owned()).or_default() += 1;
        }
    }

    fn counted(&self) -> std::sync::MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything as text.
    pub(super) fn text(&self, seen: &Seen) -> String {
        let mut text = String::new();
        for (name, kind, help) in TABLE {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            self.samples(name, seen, &mut text);
        }
        text
    }

    fn samples(&self, name: &str, seen: &Seen, text: &mut String) {
        let mut one = |labels: &str, value: f64| {
            let _ = writeln!(text, "{name}{labels} {value}");
        };
        let queue = |view: &QueueView| format!("{{queue=\"{}\"}}", view.queue);
        #[expect(clippy::cast_precision_loss, reason = "Prometheus knows only doubles")]
        let mut by_queue = |value: &dyn Fn(&QueueView) -> u64| {
            for view in &seen.queues {
                one(&queue(view), value(view) as f64);
            }
        };
        match name {
            "meterline_queue_ready" => by_queue(&|view| view.ready + view.due),
            "meterline_queue_lane" => by_queue(&|view| view.lane),
            "meterline_queue_scheduled" => by_queue(&QueueView::scheduled),
            "meterline_queue_running" => by_queue(&|view| view.running),
            "meterline_queue_oldest_seconds" => {
                by_queue(&|view| view.oldest_ms.unwrap_or(0) / 1000);
            }
            "meterline_queue_held_ucr" => {
                by_queue(&|view| u64::try_from(view.held_ucr).unwrap_or(0));
            }
            "meterline_queue_paused" => by_queue(&|view| u64::from(view.paused.is_some())),
            "meterline_start_wait_seconds" => {
                for view in &seen.queues {
                    for (percent, quantile) in [(50, "0.5"), (95, "0.95"), (99, "0.99")] {
                        if let Some(ms) = view.start_wait_ms(percent) {
                            let queue = &view.queue;
                            let labels = format!("{{queue=\"{queue}\",quantile=\"{quantile}\"}}");
                            one(&labels, Duration::from_millis(ms).as_secs_f64());
                        }
                    }
                }
            }
            "meterline_workers" => one("", whole(seen.workers as u64)),
            "meterline_provider_cost_usd_micros_total" => {
                by_provider(name, &seen.spend, |spend| spend.cost_usd_micros, text);
            }
            "meterline_provider_waste_usd_micros_total" => {
                by_provider(name, &seen.spend, |spend| spend.waste_usd_micros, text);
            }
            "meterline_provider_costed_submissions_total" => {
                by_provider(name, &seen.spend, |spend| spend.submissions, text);
            }
            "meterline_obligations_open" => one("", whole(seen.obligations as u64)),
            "meterline_frozen" => one("", whole(seen.frozen as u64)),
            "meterline_http_requests_under_way" => one("", whole(seen.under_way as u64)),
            "meterline_http_streams_open" => one("", whole(seen.streams as u64)),
            "meterline_store_latency_seconds" => one("", seen.store_latency.as_secs_f64()),
            "meterline_leases_lost_total" => one("", whole(seen.too_late.leases_lost)),
            "meterline_fenced_words_total" => one("", whole(seen.too_late.fenced)),
            "meterline_posted_ucr" => {
                for (posting, ucr) in &seen.audited.posted_ucr {
                    one(&format!("{{posting=\"{posting}\"}}"), *ucr as f64);
                }
            }
            "meterline_books_imbalance_ucr" => {
                one("", seen.audited.posted_ucr.values().sum::<i128>() as f64);
            }
            "meterline_books_differences" => one("", whole(seen.audited.differences)),
            "meterline_books_audited_seconds" => {
                let age = seen.audited.age;
                age.into_iter().for_each(|age| one("", age.as_secs_f64()));
            }
            "meterline_history_up" => behind(name, seen, |it| f64::from(u8::from(it.up)), text),
            "meterline_history_entries_behind" => behind(name, seen, |it| whole(it.entries), text),
            "meterline_history_partitions_behind" => {
                behind(name, seen, |it| whole(it.partitions), text);
            }
            "meterline_history_seconds_behind" => {
                behind(name, seen, |it| it.waited.as_secs_f64(), text);
            }
            "meterline_history_broken" => behind(name, seen, |it| whole(it.broken), text),
            "meterline_books_sound" => {
                for (partition, sound) in &seen.audited.sound {
                    let labels = format!("{{partition=\"{partition}\"}}");
                    one(&labels, f64::from(u8::from(*sound)));
                }
            }
            "meterline_job_events_total" => counts(name, "event", &self.counted().events, text),
            "meterline_jobs_failed_total" => counts(name, "class", &self.counted().failures, text),
            _ => {
                for ((method, path, class), histogram) in &self.counted().requests {
                    let labels = format!("method=\"{method}\",route=\"{path}\",status=\"{class}\"");
                    histogram.write(name, &labels, text);
                }
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows only doubles")]
fn whole(n: u64) -> f64 {
    n as f64
}

/// What is known of the history: while it is away, that it is.
fn behind(name: &str, seen: &Seen, value: fn(&Behind) -> f64, text: &mut String) {
    let known = seen.behind.as_ref();
    let known = known.filter(|it| it.up || name == "meterline_history_up");
    if let Some(it) = known {
        let _ = writeln!(text, "{name} {}", value(it));
    }
}

/// A sample for each provider.
fn by_provider(
    name: &str,
    spend: &[ProviderSpend],
    value: fn(&ProviderSpend) -> u64,
    text: &mut String,
) {
    for one in spend.iter().take(PROVIDERS_MAX) {
        let _ = writeln!(
            text,
            "{name}{{provider=\"{}\"}} {}",
            one.provider,
            value(one)
        );
    }
}

fn counts(name: &str, label: &str, counts: &BTreeMap<String, u64>, text: &mut String) {
    for (value, n) in counts {
        let _ = writeln!(text, "{name}{{{label}=\"{value}\"}} {n}");
    }
}

impl Histogram {
    fn add(&mut self, took: Duration) {
        let took_s = took.as_secs_f64();
        self.count += 1;
        self.sum_s += took_s;
        for (bucket, end_s) in self.buckets.iter_mut().zip(BUCKETS_S) {
            *bucket += u64::from(took_s <= end_s);
        }
    }

    fn write(&self, name: &str, labels: &str, text: &mut String) {
        for (n, end_s) in self.buckets.iter().zip(BUCKETS_S) {
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{end_s}\"}} {n}");
        }
        let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", self.count);
        let _ = writeln!(text, "{name}_sum{{{labels}}} {}", self.sum_s);
        let _ = writeln!(text, "{name}_count{{{labels}}} {}", self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::LastAudit;

    #[test]
    fn every_metric_of_the_table_is_declared_once_and_has_its_samples() {
        let metrics = Metrics::default();
        let (get, took) = (Method::GET, Duration::from_millis(3));
        metrics.request(&get, "/v1/jobs/{job}", StatusCode::OK, took);
        metrics.event(&FeedEvent {
            partition: 0,
            id: "1-0".parse().unwrap(),
            event: crate::store::Event {
                job: "j".to_owned(),
                account: "acme".to_owned(),
                event: "failed".to_owned(),
                detail: "provider_fault".to_owned(),
                at_ms: 1,
            },
        });
        let mut audited = Audited::default();
        let report = r#"{"ok":true,"differences_in_all":0,"books":{"available":3,"world":-3}}"#;
        let audit = LastAudit {
            at_ms: 1_000,
            auditor: "a1".to_owned(),
            report: report.to_owned(),
        };
        audited.add(0, &audit, 61_000);
        let seen = Seen {
            queues: vec![QueueView {
                queue: "video".to_owned(),
                ready: 3,
                start_waits_ms: vec![10],
                ..QueueView::default()
            }],
            audited,
            behind: Some(Behind::of(Some(Ok(Vec::new())))),
            spend: vec![ProviderSpend {
                provider: "sim".to_owned(),
                submissions: 2,
                cost_usd_micros: 5_000,
                waste_usd_micros: 1_000,
            }],
            ..Seen::default()
        };
        let text = metrics.text(&seen);
        for (name, ..) in TABLE {
            assert_eq!(
                text.matches(&format!("# TYPE {name} ")).count(),
                1,
                "{name}"
            );
            let has_sample = text.lines().any(|line| line.starts_with(name));
            assert!(has_sample, "{name}\n{text}");
        }
        assert!(text.contains("meterline_queue_ready{queue=\"video\"} 3\n"));
        assert!(text.contains(
            "_bucket{method=\"GET\",route=\"/v1/jobs/{job}\",status=\"ok\",le=\"0.005\"} 1\n"
        ));
        assert!(
            text.contains("meterline_provider_waste_usd_micros_total{provider=\"sim\"} 1000\n")
        );
        assert!(text.contains("meterline_posted_ucr{posting=\"world\"} -3\n"));
        assert!(text.contains("meterline_books_imbalance_ucr 0\n"));
        assert!(text.contains("meterline_books_audited_seconds 60\n"));
        assert!(text.contains("meterline_jobs_failed_total{class=\"provider_fault\"} 1\n"));
    }
}
