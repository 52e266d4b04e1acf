//! Every metric there is.

/// Every metric: name, type, help.
pub(in crate::api) const TABLE: [(&str, &str, &str); 32] = [
    (
        "meterline_http_request_duration_seconds",
        "histogram",
        "Time to answer a request, by method, route and class of status.",
    ),
    (
        "meterline_http_requests_under_way",
        "gauge",
        "Requests that are worked on now.",
    ),
    (
        "meterline_http_streams_open",
        "gauge",
        "Event streams and long polls that are open now.",
    ),
    (
        "meterline_job_events_total",
        "counter",
        "What happened to jobs since this process follows, by event.",
    ),
    (
        "meterline_jobs_failed_total",
        "counter",
        "Jobs that failed since this process follows, by failure class.",
    ),
    (
        "meterline_queue_ready",
        "gauge",
        "Jobs that a worker can take, by queue.",
    ),
    (
        "meterline_queue_lane",
        "gauge",
        "Jobs that wait in their accounts' lanes, by queue.",
    ),
    (
        "meterline_queue_scheduled",
        "gauge",
        "Jobs that are due later, by queue.",
    ),
    (
        "meterline_queue_running",
        "gauge",
        "Jobs in workers' hands, by queue.",
    ),
    (
        "meterline_queue_oldest_seconds",
        "gauge",
        "How long the job that waits longest has been due, by queue.",
    ),
    (
        "meterline_queue_held_ucr",
        "gauge",
        "Micro-credits held for open jobs, by queue.",
    ),
    (
        "meterline_start_wait_seconds",
        "gauge",
        "From due to first start, of the last 15 minutes' jobs, by queue and quantile.",
    ),
    (
        "meterline_queue_paused",
        "gauge",
        "1 where operators have paused the queue.",
    ),
    ("meterline_workers", "gauge", "Workers with a lease."),
    (
        "meterline_books_sound",
        "gauge",
        "1 where the last audit of a partition found nothing, 0 where it found a difference; by partition.",
    ),
    (
        "meterline_posted_ucr",
        "gauge",
        "Micro-credits that all postings under a name add up to, as of each partition's last audit, by posting.",
    ),
    (
        "meterline_books_imbalance_ucr",
        "gauge",
        "What all postings together add up to, as of each partition's last audit: anything but 0 is wrong.",
    ),
    (
        "meterline_books_differences",
        "gauge",
        "Differences that each partition's last audit found, in all.",
    ),
    (
        "meterline_books_audited_seconds",
        "gauge",
        "How long ago the partition was audited whose last audit is the oldest.",
    ),
    (
        "meterline_leases_lost_total",
        "counter",
        "Leases of workers that lapsed, so that their jobs went to others.",
    ),
    (
        "meterline_fenced_words_total",
        "counter",
        "Words of workers about jobs that others had by then: refused, and told with a heartbeat.",
    ),
    (
        "meterline_frozen",
        "gauge",
        "Accounts and partitions that stand still.",
    ),
    (
        "meterline_provider_cost_usd_micros_total",
        "counter",
        "What submissions cost us, USD micros, by provider.",
    ),
    (
        "meterline_provider_waste_usd_micros_total",
        "counter",
        "What submissions cost us that came to nothing, USD micros, by provider.",
    ),
    (
        "meterline_provider_costed_submissions_total",
        "counter",
        "Submissions whose cost is booked, by provider.",
    ),
    (
        "meterline_obligations_open",
        "gauge",
        "Submissions that providers may still be working on, and billing, although nobody waits for them.",
    ),
    (
        "meterline_history_up",
        "gauge",
        "1 where Postgres answers and has this store's history, 0 where not; nothing where it is off.",
    ),
    (
        "meterline_history_entries_behind",
        "gauge",
        "Journal entries to be committed in Postgres, in the partition that has most.",
    ),
    (
        "meterline_history_partitions_behind",
        "gauge",
        "Partitions with entries to be committed in Postgres.",
    ),
    (
        "meterline_history_seconds_behind",
        "gauge",
        "How long the oldest entry that is not in Postgres has waited.",
    ),
    (
        "meterline_history_broken",
        "gauge",
        "Partitions whose store and history tell two stories.",
    ),
    (
        "meterline_store_latency_seconds",
        "gauge",
        "Time of one round trip to the store, at this scrape.",
    ),
];
