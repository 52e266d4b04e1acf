//! What the demo runs: accounts, jobs, and how each job has to end.

use serde_json::{Map, Value, json};

use crate::domain::job::State;

/// An account of the demo and its purchased credits.
pub(super) struct Payer {
    pub(super) name: &'static str,
    pub(super) credits: u32,
}

/// Who pays in the demo.
pub(super) const PAYERS: [Payer; 4] = [
    Payer {
        name: "acme",
        credits: 500,
    },
    Payer {
        name: "birch",
        credits: 400,
    },
    Payer {
        name: "cedar",
        credits: 300,
    },
    Payer {
        name: "dune",
        credits: 5,
    },
];

/// How a job has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Charged so many credits, and so many paid by the platform.
    Charged { captured: u32, absorbed: u32 },
    /// Ended in this state, everything given back.
    GivenBack(State),
    /// Refused at submission: not enough credits.
    Insufficient,
}

/// What the demo does to a job while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meddling {
    /// Nothing.
    None,
    /// Its worker is killed with SIGKILL while the provider works.
    KillWorker,
    /// It is cancelled while the provider works.
    Cancel,
}

/// One job of the demo.
pub(super) struct Play {
    pub(super) account: &'static str,
    pub(super) tool: &'static str,
    pub(super) params: Map<String, Value>,
    pub(super) route: Option<&'static str>,
    pub(super) what: &'static str,
    pub(super) expected: Expected,
    pub(super) meddling: Meddling,
}

const PICTURE: &str = "http://127.0.0.1/in.png";
const CLIP: &str = "http://127.0.0.1/in.mp4";
const SOUND: &str = "http://127.0.0.1/in.wav";

fn play(account: &'static str, tool: &'static str, params: Value, expected: Expected) -> Play {
    let params = match params {
        Value::Object(params) => params,
        _ => Map::new(),
    };
    let (route, what, meddling) = (None, "", Meddling::None);
    Play {
        account,
        tool,
        params,
        route,
        what,
        expected,
        meddling,
    }
}

impl Play {
    fn on(mut self, route: &'static str) -> Self {
        self.route = Some(route);
        self
    }

    fn what(mut self, what: &'static str) -> Self {
        self.what = what;
        self
    }

    fn meddle(mut self, meddling: Meddling) -> Self {
        self.meddling = meddling;
        self
    }
}

impl Play {
    /// Whether the death of its worker could change how this job ends. A provider without idempotency
    /// keys cannot be asked again: such a job would end as `unknown_outcome`. And a job that fails by
    /// plan has its tries within a deadline that one take-over would use up.
    pub(super) fn is_disturbed_by_a_death(&self) -> bool {
        let blind = matches!(self.route, Some("sim-blind" | "sim-bytes"));
        blind || self.expected == Expected::GivenBack(State::Failed)
    }
}

fn charged(captured: u32) -> Expected {
    Expected::Charged {
        captured,
        absorbed: 0,
    }
}

fn image(sim: Value) -> Value {
    let mut params = json!({"prompt": "a lighthouse in the rain"});
    params["sim"] = sim;
    params
}

fn video(duration_ms: u64, sim: Value) -> Value {
    let mut params = json!({"image_url": PICTURE, "duration_ms": duration_ms});
    params["sim"] = sim;
    params
}

/// Every job, in the order of submission.
pub(super) fn plays() -> Vec<Play> {
    let mut plays = interrupted();
    plays.extend(failing());
    plays.extend(usual());
    plays
}

/// Submitted first, because they take longest.
fn interrupted() -> Vec<Play> {
    vec![
        play(
            "acme",
            "image-to-video",
            video(5_000, json!({"delay_ms": 8_000})),
            charged(35),
        )
        .what("its worker is killed mid-job")
        .meddle(Meddling::KillWorker),
        play(
            "cedar",
            "text-to-image",
            image(json!({"hang": true})),
            Expected::GivenBack(State::TimedOut),
        )
        .what("the provider hangs past the deadline"),
        play(
            "birch",
            "image-to-video",
            video(5_000, json!({"delay_ms": 8_000})),
            Expected::GivenBack(State::Cancelled),
        )
        .what("cancelled while it runs")
        .meddle(Meddling::Cancel),
    ]
}

fn failing() -> Vec<Play> {
    let failed = Expected::GivenBack(State::Failed);
    vec![
        play(
            "cedar",
            "text-to-image",
            image(json!({"fail": "content_policy"})),
            failed,
        )
        .what("the provider refuses the content"),
        play(
            "cedar",
            "image-edit",
            json!({"prompt": "x", "image_url": PICTURE, "sim": {"fail": "provider_fault"}}),
            failed,
        )
        .what("the provider fails, three tries"),
        play(
            "cedar",
            "text-to-image",
            image(json!({"empty": true})),
            failed,
        )
        .what("success without an output"),
        play(
            "cedar",
            "text-to-image",
            image(json!({"garbage": true})),
            failed,
        )
        .what("the output is not media"),
        play(
            "dune",
            "text-to-image",
            image(json!({})),
            Expected::Insufficient,
        )
        .what("5 credits for a price of 7"),
        play(
            "acme",
            "text-to-image",
            image(json!({"retry_after_s": 1})),
            charged(7),
        )
        .what("429 first, Retry-After 1 s"),
        play(
            "acme",
            "text-to-image",
            image(json!({"drop_after_accept": true})),
            charged(7),
        )
        .what("the connection drops after the POST"),
    ]
}

fn usual() -> Vec<Play> {
    let mut plays = Vec::new();
    for n in 0..6 {
        plays.push(play(
            "acme",
            "text-to-image",
            image(json!({"delay_ms": 100 * n})),
            charged(7),
        ));
    }
    for n in 0..3 {
        let params =
            json!({"image_url": PICTURE, "face_url": PICTURE, "sim": {"delay_ms": 150 * n}});
        plays.push(play("birch", "face-swap", params, charged(3)));
    }
    plays.extend([
        play(
            "acme",
            "image-edit",
            json!({"prompt": "warmer", "image_url": PICTURE}),
            charged(7),
        ),
        play(
            "acme",
            "image-to-video",
            video(5_000, json!({"actual_ms": 5_062})),
            charged(35),
        )
        .what("81 frames at 16 fps: 5.0625 s counts as 5 s"),
        play(
            "acme",
            "image-to-video",
            video(10_000, json!({"actual_ms": 5_250})),
            charged(35),
        )
        .what("5,250 ms counts as 5 s"),
        play(
            "acme",
            "image-to-video",
            video(10_000, json!({"actual_ms": 5_251})),
            charged(37),
        )
        .what("5,251 ms is 36.757, rounded up once"),
        play(
            "acme",
            "image-to-video",
            video(5_000, json!({"actual_ms": 200})),
            charged(2),
        )
        .what("200 ms is not snapped"),
        play(
            "acme",
            "image-to-video",
            video(10_000, json!({"actual_ms": 12_000})),
            Expected::Charged {
                captured: 70,
                absorbed: 14,
            },
        )
        .what("12 s quoted for 10 s: 14 are ours"),
        play(
            "acme",
            "image-to-video",
            video(5_000, json!({"reported_ms": 60_000})),
            charged(35),
        )
        .what("the provider's JSON says 60 s"),
        play(
            "birch",
            "avatar-video",
            json!({"prompt": "hello", "duration_ms": 10_000}),
            charged(20),
        ),
        play(
            "birch",
            "video-background-replace",
            json!({"video_url": CLIP, "duration_ms": 4_000, "resolution": "720p"}),
            charged(92),
        ),
        play(
            "birch",
            "video-background-replace",
            json!({"video_url": CLIP, "duration_ms": 4_000, "resolution": "480p"}),
            charged(48),
        ),
        play(
            "birch",
            "image-to-video",
            video(3_000, json!({})),
            charged(21),
        )
        .on("sim-sync")
        .what("a synchronous provider"),
        play(
            "cedar",
            "image-to-video",
            video(2_000, json!({})),
            charged(14),
        )
        .on("sim-blind")
        .what("a provider without idempotency keys"),
        play(
            "cedar",
            "image-to-video",
            video(2_000, json!({})),
            charged(14),
        )
        .on("sim-bytes")
        .what("a provider that answers with the file"),
        play(
            "cedar",
            "dubbing",
            json!({"audio_url": SOUND, "language": "pt-BR", "duration_ms": 8_000}),
            charged(24),
        )
        .what("audio, measured from the WAV"),
        play(
            "cedar",
            "sound-for-video",
            json!({"video_url": CLIP, "duration_ms": 5_000}),
            charged(15),
        ),
        play(
            "birch",
            "voice-cloning",
            json!({"audio_url": SOUND, "name": "narrator"}),
            charged(150),
        ),
    ]);
    plays
}
