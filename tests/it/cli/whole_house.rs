//! From the first process to the last: a provider, a worker and producers, all of them the program.

use std::io::{Read, Write};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Cli, Process, bare, text};

/// A simulated provider and a worker on a store of their own.
struct House {
    cli: Cli,
    artifacts: tempfile::TempDir,
    provider: Process,
    /// Host and port.
    provider_address: String,
    worker: Process,
    worker_id: String,
}

impl House {
    fn new(credits: u32) -> Self {
        let cli = Cli::funded(credits);
        let artifacts = tempfile::tempdir().expect("a folder");
        let provider = Process::start(
            bare(&["simulate-provider", "--listen", "127.0.0.1:0"]),
            true,
        );
        let url = provider.says("listening ");
        let provider_address = url.trim_start_matches("http://").to_owned();
        let provider_url = format!("sim={url}");
        let folder = artifacts.path().to_str().expect("a path");
        let worker = Process::start(
            cli.command(&[
                "serve",
                "--role",
                "worker",
                "--slots",
                "image=4,video=2",
                "--artifacts",
                folder,
                "--provider-url",
                &provider_url,
            ]),
            false,
        );
        let worker_id = worker.says("ready worker=");
        Self {
            cli,
            artifacts,
            provider,
            provider_address,
            worker,
            worker_id,
        }
    }

    fn submit(&self, tool: &str, params: &[&str], sim: &Value) -> String {
        self.submit_on("sim", tool, params, sim)
    }

    fn submit_on(&self, route: &str, tool: &str, params: &[&str], sim: &Value) -> String {
        let sim = format!("sim={sim}");
        let mut arguments = vec![
            "submit",
            "--account",
            "acme",
            "--tool",
            tool,
            "--route",
            route,
            "--param",
            &sim,
        ];
        for param in params {
            arguments.extend(["--param", param]);
        }
        text(&self.cli.ok(&arguments)["job"]).to_owned()
    }

    /// Looks until the request has arrived: the provider announces nothing.
    fn provider_has(&self, job: &str) {
        let began = std::time::Instant::now();
        while began.elapsed() < std::time::Duration::from_secs(20) {
            let mut stream =
                std::net::TcpStream::connect(&self.provider_address).expect("a provider");
            let ask = "GET /_sim/submissions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            stream.write_all(ask.as_bytes()).expect("a request");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            if answer.contains(job) {
                return;
            }
        }
        panic!("the provider never hears of {job}");
    }

    /// Watches until the job has come so far.
    fn sees(&self, job: &str, event: &str) {
        let watch = self.cli.command(&["job", "watch", job, "--timeout", "60s"]);
        Process::start(watch, true).hears(|line| {
            let seen: Value = serde_json::from_str(line).expect("an event");
            (seen["event"] == event).then_some(())
        });
    }

    fn video(&self, duration_ms: u64, sim: &Value) -> String {
        self.video_on("sim", duration_ms, sim)
    }

    fn video_on(&self, route: &str, duration_ms: u64, sim: &Value) -> String {
        let duration = format!("duration_ms={duration_ms}");
        self.submit_on(
            route,
            "image-to-video",
            &[&duration, "image_url=http://127.0.0.1/x.png"],
            sim,
        )
    }
}

#[test]
fn prices_are_those_of_the_examples_from_the_request_to_the_explanation() {
    let house = House::new(500);
    let table = [
        (5_000, 5_062, 35, 0, 5_000),
        (10_000, 5_062, 35, 0, 5_062),
        (10_000, 5_250, 35, 0, 5_250),
        (10_000, 5_251, 37, 0, 5_251),
        (10_000, 200, 2, 0, 200),
        (10_000, 12_000, 70, 14, 10_000),
    ];
    let jobs: Vec<String> = table
        .iter()
        .map(|(asked_ms, actual_ms, ..)| house.video(*asked_ms, &json!({"actual_ms": actual_ms})))
        .collect();
    for ((asked_ms, actual_ms, captured, absorbed, billable_ms), job) in
        table.into_iter().zip(&jobs)
    {
        let watched = house.cli.run(&["job", "watch", job, "--timeout", "60s"]);
        assert_eq!(watched.code, 0, "{watched:?}");
        let events = watched.lines();
        let names: Vec<&str> = events.iter().map(|event| text(&event["event"])).collect();
        assert_eq!(
            names,
            [
                "submitted",
                "running",
                "intent",
                "handle",
                "artifact",
                "succeeded"
            ]
        );
        let explained = house.cli.ok(&["job", "explain", job]);
        let ceiling = 7 * asked_ms / 1_000;
        for (field, value) in [
            ("measured_ms", json!(actual_ms)),
            ("billable_ms", json!(billable_ms)),
            ("ceiling_ucr", json!(ceiling * 1_000_000)),
            ("captured_ucr", json!(captured * 1_000_000)),
            ("released_ucr", json!((ceiling - captured) * 1_000_000)),
            ("absorbed_ucr", json!(absorbed * 1_000_000)),
            ("submissions", json!(1)),
        ] {
            assert_eq!(
                explained[field], value,
                "{actual_ms} ms: {field}: {explained}"
            );
        }
        assert!(
            text(&explained["why"]).contains(&format!("{captured} credits")),
            "{explained}"
        );
    }
    assert_eq!(house.cli.balance(), (500 - 35 - 35 - 35 - 37 - 2 - 70, 0));
    house.cli.assert_sound();
}

#[test]
fn an_output_is_shown_with_the_file_it_is() {
    let house = House::new(100);
    let job = house.submit("text-to-image", &["prompt=x", "count=2"], &json!({}));
    assert_eq!(
        house
            .cli
            .run(&["job", "watch", &job, "--timeout", "60s"])
            .code,
        0
    );
    let shown = house.cli.ok(&["job", "show", &job]);
    let artifacts = shown["artifacts"].as_array().expect("outputs");
    assert_eq!(artifacts.len(), 2, "{shown}");
    for artifact in artifacts {
        let content = std::fs::read(text(&artifact["path"])).expect("the file");
        assert_eq!(artifact["sha256"], hex::encode(Sha256::digest(&content)));
        assert_eq!(artifact["bytes"], content.len());
        let place = house.artifacts.path().join(text(&artifact["place"]));
        assert_eq!(std::fs::read(place).expect("the same file"), content);
    }
    assert_eq!(
        (&shown["state"], &shown["captured_ucr"]),
        (&json!("succeeded"), &json!(14_000_000))
    );
}

#[test]
fn failures_cancels_and_deadlines_end_free_and_say_why() {
    let house = House::new(100);
    let refused = house.submit(
        "text-to-image",
        &["prompt=x"],
        &json!({"fail": "content_policy"}),
    );
    let hanging = house.submit("text-to-image", &["prompt=x"], &json!({"hang": true}));
    let stopped = house.submit("text-to-image", &["prompt=x"], &json!({"hang": true}));
    house.sees(&stopped, "handle");
    assert_eq!(
        house.cli.ok(&["job", "cancel", &stopped])["outcome"],
        "cancelling"
    );
    for (job, state, class) in [
        (&refused, "failed", Some("content_policy")),
        (&stopped, "cancelled", None),
        (&hanging, "timed_out", Some("timeout")),
    ] {
        let watched = house.cli.run(&["job", "watch", job, "--timeout", "60s"]);
        assert_eq!(watched.code, 1, "{watched:?}");
        // What is still owed to the provider can be closed before the ending is printed.
        let told = watched.lines();
        assert!(told.iter().any(|line| line["event"] == state), "{told:?}");
        let shown = house.cli.ok(&["job", "show", job]);
        assert_eq!(
            (&shown["class"], text(&shown["state"])),
            (&json!(class), state)
        );
        assert_eq!(
            (&shown["captured_ucr"], &shown["released_ucr"]),
            (&json!(0), &json!(7_000_000))
        );
        let why = house.cli.ok(&["job", "explain", job]);
        assert!(text(&why["why"]).contains("given back"), "{why}");
    }
    let late = house.cli.fails(4, &["job", "cancel", &refused]);
    assert_eq!(
        (text(&late["type"]), text(&late["state"])),
        ("already_ended", "failed")
    );
    assert_eq!(house.cli.balance(), (100, 0));
    house.cli.assert_sound();
}

#[test]
fn a_worker_told_to_stop_hands_over_what_it_runs_and_ends_with_0() {
    let house = House::new(100);
    // It stands in the list from its first claim on; what it has to offer comes with its first heartbeat.
    let began = std::time::Instant::now();
    let listed = loop {
        let workers = house.cli.ok(&["worker", "ls"]);
        let workers = workers.as_array().expect("a list");
        let is_it = |worker: &&Value| worker["worker"] == house.worker_id.as_str();
        let worker = workers.iter().find(is_it).expect("it is listed").clone();
        if worker["slots"] != json!({}) || began.elapsed().as_secs() > 20 {
            break worker;
        }
    };
    assert_eq!(listed["slots"], json!({"image": 4, "video": 2}));

    let job = house.video(5_000, &json!({"delay_ms": 1_500}));
    house.sees(&job, "handle");
    assert_eq!(house.worker.stop(), Some(0));
    let shown = house.cli.ok(&["job", "show", &job]);
    assert_eq!(text(&shown["state"]), "queued", "{shown}");
    assert_eq!(shown["takeovers"], 0);
    assert_eq!(house.provider.stop(), Some(0));
    house.cli.assert_sound();
}

#[test]
fn a_second_signal_does_not_wait_and_the_job_is_left_to_others() {
    let house = House::new(100);
    // A request whose answer nobody else would get is waited for.
    let job = house.video_on("sim-sync", 5_000, &json!({"delay_ms": 12_000}));
    house.provider_has(&job);
    house.worker.signal();
    house
        .worker
        .hears(|line| line.contains("claiming nothing more").then_some(()));
    assert_eq!(house.worker.stop(), Some(1));
    let shown = house.cli.ok(&["job", "show", &job]);
    assert_eq!(
        (text(&shown["state"]), &shown["tries"]),
        ("running", &json!(0))
    );
    assert_eq!(house.cli.balance(), (65, 35));
    house.cli.assert_sound();
}
