//! Settings and their layers as they are shipped, and what is said when they are wrong.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use meterline::config::{DEFAULT_CATALOGUE, DEFAULT_SETTINGS, Flag, Loaded, Origin, Settings};
use meterline::domain::catalogue::Request;
use meterline::domain::problem::Place;
use meterline::provider::Providers;
use serde_json::json;
use tempfile::TempDir;

use crate::catalogue::sample_params;

fn dev_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/dev")
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("inside of it")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
    dir
}

fn load(dir: &Path, variables: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
    let variables = variables
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()));
    Settings::load(Some(dir), variables)
        .map_err(|problems| problems.iter().map(|problem| problem.to_string()).collect())
}

/// What is said about a settings file, without the folder it is in.
fn said_about(text: &str) -> Vec<String> {
    let dir = folder(&[("meterline.toml", text)]);
    let place = format!("{}/", dir.path().display());
    let said = load(dir.path(), &[]).expect_err("the settings are wrong");
    said.iter().map(|line| line.replace(&place, "")).collect()
}

fn leaves(path: &str, value: &toml::Value, found: &mut BTreeSet<String>) {
    match value.as_table() {
        Some(table) => {
            found.extend(table.is_empty().then(|| path.to_owned()));
            for (key, value) in table {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                leaves(&path, value, found);
            }
        }
        None => {
            found.insert(path.to_owned());
        }
    }
}

fn keys_of(table: toml::Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    leaves("", &toml::Value::Table(table), &mut found);
    found
}

#[test]
fn the_built_in_file_and_the_structs_have_the_same_keys_and_values() {
    let file: toml::Table = toml::from_str(DEFAULT_SETTINGS).unwrap();
    let structs = toml::Table::try_from(Settings::embedded().unwrap().settings).unwrap();
    assert_eq!(keys_of(file.clone()), keys_of(structs.clone()));
    assert_eq!(file, structs);
}

#[test]
fn every_key_of_the_built_in_file_is_explained_with_its_default() {
    let lines: Vec<&str> = DEFAULT_SETTINGS.lines().collect();
    let keys = lines
        .windows(2)
        .filter(|pair| pair[1].contains(" = ") && !pair[1].starts_with('#'));
    let mut seen = 0;
    for pair in keys {
        assert!(
            pair[0].starts_with("# ") && pair[0].contains("Default "),
            "{}",
            pair[1]
        );
        seen += 1;
    }
    let file: toml::Table = toml::from_str(DEFAULT_SETTINGS).unwrap();
    assert_eq!(
        seen + 2,
        keys_of(file).len(),
        "all keys but the empty [plans] and [providers]"
    );
}

#[test]
fn without_a_word_the_defaults_are_those_of_the_design() {
    let settings = Settings::embedded().unwrap().settings;
    let worker = &settings.worker;
    assert_eq!(
        (worker.lease_ms, worker.heartbeat_ms, worker.sweep_ms),
        (15_000, 5_000, 1_000)
    );
    assert_eq!((settings.retry.tries, settings.retry.cap_ms), (3, 60_000));
    assert_eq!(
        (settings.store.partitions, settings.store.max_active),
        (8, 20)
    );
    assert_eq!(settings.queues["image"].deadline_ms, 300_000);
    assert_eq!(settings.queues["video"].deadline_ms, 1_800_000);
    assert!(!settings.dev.allow_sim);
}

#[test]
fn the_environment_stands_above_the_file_and_the_file_above_the_defaults() {
    let dir = folder(&[(
        "meterline.toml",
        "[worker]\nlease_ms = 20000\nsweep_ms = 900\n",
    )]);
    let loaded = load(
        dir.path(),
        &[
            ("METERLINE__WORKER__LEASE_MS", "30000"),
            ("METERLINE__DEV__ALLOW_SIM", "true"),
            ("METERLINE__WORKER__SLOTS__VIDEO", "9"),
            ("METERLINE__QUEUES__VIDEO__DEADLINE_MS", "1900000"),
            ("METERLINE__PROVIDERS__SIM__BASE_URL", "http://127.0.0.1:9/"),
            (
                "METERLINE__PROVIDERS__SIM_SYNC__BASE_URL",
                "http://127.0.0.1:8",
            ),
            ("METERLINE_REDIS_URL", "a flag's variable, not a setting"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    let settings = &loaded.settings;
    assert_eq!(
        (settings.worker.lease_ms, settings.worker.sweep_ms),
        (30_000, 900)
    );
    assert_eq!(
        (settings.worker.heartbeat_ms, settings.worker.slots["video"]),
        (5_000, 9)
    );
    assert_eq!(settings.worker.slots["image"], 8);
    assert_eq!(settings.queues["video"].deadline_ms, 1_900_000);
    assert!(settings.dev.allow_sim);
    let urls = settings.base_urls();
    assert_eq!(urls["sim"], "http://127.0.0.1:9");
    assert_eq!(urls["sim-sync"], "http://127.0.0.1:8");
    let origins = &loaded.origins.settings;
    assert_eq!(
        origins["worker.lease_ms"],
        Origin::Environment("METERLINE__WORKER__LEASE_MS".to_owned())
    );
    assert!(matches!(
        &origins["worker.sweep_ms"],
        Origin::File(_, Some(Place { line: 3, .. }))
    ));
    assert!(!origins.contains_key("worker.heartbeat_ms"));
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one_and_its_line() {
    assert_eq!(
        said_about("[worker]\n\nlease = 1\n[stor]\n[queues.image]\ndeadlin_ms = 1\n[[media]]\n"),
        [
            "meterline.toml:3:1: worker.lease: unknown key; did you mean \"lease_ms\"?",
            "meterline.toml:4:2: stor: unknown key; did you mean \"store\"?",
            "meterline.toml:6:1: queues.image.deadlin_ms: unknown key; did you mean \"deadline_ms\"?",
            "meterline.toml:7:3: media[0]: invalid type: table, expected a text in quotes",
        ]
    );
    let dir = folder(&[]);
    for (name, said) in [
        (
            "METERLINE__WORKER__LEAS_MS",
            "worker.leas_ms: unknown key; did you mean \"lease_ms\"?",
        ),
        (
            "METERLINE__WORKR__LEASE_MS",
            "workr: unknown key; did you mean \"worker\"?",
        ),
        (
            "METERLINE__PROVIDERS__SIM__URL",
            "providers.sim.url: unknown key; known here: base_url, allow_cidr",
        ),
    ] {
        let wrong = load(dir.path(), &[(name, "1")]).unwrap_err();
        assert!(
            wrong[0].starts_with(&format!("{name}: {said}")),
            "{wrong:?}"
        );
    }
}

#[test]
fn a_wrong_type_names_the_place_it_was_written() {
    let said = said_about("[worker]\nlease_ms = \"15 s\"\n");
    assert!(
        said[0].starts_with("meterline.toml:2:1: worker.lease_ms: invalid type: string"),
        "{said:?}"
    );
    let said = said_about("\n[queues.music]\ndeadline_ms = 1\n");
    assert!(
        said[0].starts_with("meterline.toml:2:9: queues.music: missing field"),
        "{said:?}"
    );
    let said = said_about("worker = 1\n");
    assert!(
        said[0].starts_with("meterline.toml:1:1: worker: invalid type: integer"),
        "{said:?}"
    );
    let said = said_about("[worker\n");
    assert!(said[0].starts_with("meterline.toml:1:8: "), "{said:?}");
    let dir = folder(&[]);
    for (name, value, part) in [
        (
            "METERLINE__WORKER__LEASE_MS",
            "soon",
            "worker.lease_ms: invalid type: string \"soon\"",
        ),
        (
            "METERLINE__STORE__PARTITIONS",
            "-1",
            "store.partitions: invalid value: integer `-1`",
        ),
        (
            "METERLINE__PROVIDERS__SIM__BASE_URL",
            "nowhere",
            "providers.sim.base_url: ",
        ),
        ("METERLINE__WORKER", "1", "worker: invalid type"),
        (
            "METERLINE__WORKER__LEASE_MS__X",
            "1",
            "worker.lease_ms: invalid type",
        ),
    ] {
        let wrong = load(dir.path(), &[(name, value)]).unwrap_err();
        assert!(
            wrong[0].starts_with(&format!("{name}: {part}")),
            "{wrong:?}"
        );
    }
}

#[test]
fn numbers_that_only_work_together_are_checked_with_both_names() {
    for (text, key, other) in [
        (
            "[worker]\nlease_ms = 9999\n",
            "worker.heartbeat_ms: is 5000",
            "worker.lease_ms to 10000",
        ),
        (
            "[worker]\nsweep_ms = 4000\n",
            "worker.sweep_ms: is 4000",
            "worker.lease_ms to 16000",
        ),
        (
            "[retry]\nbase_ms = 60001\n",
            "retry.base_ms: is 60001",
            "retry.cap_ms to 60001",
        ),
        (
            "[queues.image]\nsubmission_timeout_ms = 300001\n",
            "queues.image.submission_timeout_ms: ",
            "deadline_ms (300000)",
        ),
        (
            "[queues.video]\ndeadline_ms = 7200001\n",
            "queues.video.deadline_ms: ",
            "deadline_max_ms (7200000)",
        ),
        (
            "[worker.slots]\nvidoe = 1\n",
            "worker.slots.vidoe: ",
            "did you mean \"video\"?",
        ),
        (
            "[store]\npartitions = 257\n",
            "store.partitions: is 257",
            "from 1 to 256",
        ),
        (
            "[store]\nmemory_refuse_percent = 0\n",
            "store.memory_refuse_percent",
            "from 1 to 99",
        ),
        (
            "[media]\nmax_bytes = 0\n",
            "media.max_bytes: is 0",
            "must be from 1",
        ),
        (
            "[redis]\nurl = \"http://x\"\n",
            "redis.url: ",
            "redis+unix:///path",
        ),
        (
            "[providers.smi]\nbase_url = \"http://x\"\n",
            "providers.smi: ",
            "did you mean \"sim\"?",
        ),
    ] {
        let said = said_about(text);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(key) && said[0].contains(other), "{said:?}");
    }
    let lease = said_about("[worker]\nlease_ms = 9999\n");
    assert!(
        lease[0].starts_with("meterline.toml:2:1: worker.heartbeat_ms: is 5000"),
        "{lease:?}"
    );
    assert!(said_about("[worker]\nsweep_ms = 4000\n")[0].starts_with("meterline.toml:2:1: "));
    let both = said_about("[worker]\nlease_ms = 3\n[retry]\nbase_ms = 60001\n");
    assert_eq!(both.len(), 3, "all at once: {both:?}");
}

#[test]
fn development_is_short_and_may_steer_the_simulator() {
    let loaded = load(&dev_dir(), &[]).unwrap();
    let settings = &loaded.settings;
    let worker = &settings.worker;
    assert_eq!(
        (worker.lease_ms, worker.heartbeat_ms, worker.sweep_ms),
        (3_000, 1_000, 500)
    );
    assert!(settings.dev.allow_sim);
    for tool in loaded.catalogue.tools() {
        let expected_ms = if tool.queue == "image" { 6_000 } else { 20_000 };
        assert_eq!(tool.deadline_ms, expected_ms, "{}", tool.name);
        let mut params = sample_params(tool);
        params.insert("sim".to_owned(), json!({"delay_ms": 9_000}));
        let request = Request {
            tool: &tool.name,
            params: &params,
            route: None,
            deadline_ms: None,
        };
        let resolved = loaded.catalogue.resolve(&request).unwrap();
        assert_eq!(resolved.params["sim"], json!({"delay_ms": 9_000}));
        assert!(
            resolved.routes.iter().all(|route| route.provider == "sim"),
            "{}",
            tool.name
        );
    }
    let embedded = Settings::embedded().unwrap();
    assert_eq!(
        loaded.provider_files, embedded.provider_files,
        "missing files are the built-in ones"
    );
    assert_eq!(
        loaded.catalogue.price_version(),
        embedded.catalogue.price_version()
    );
}

#[test]
fn a_folder_replaces_catalogue_and_providers_by_name() {
    let catalogue = "[[routes]]\nname = \"mine\"\nprovider = \"mine\"\n[tools.still]\n\
                     title = \"Still\"\nqueue = \"image\"\nkind = \"image\"\nrequired = []\n\
                     rate = { kind = \"flat\", credits = 4 }\n";
    let files = [
        ("catalogue.toml", catalogue),
        ("providers/mine.toml", "extends = \"sim\""),
        ("providers/x", ""),
    ];
    let loaded = load(folder(&files).path(), &[]).unwrap();
    assert_eq!(loaded.catalogue.tools().count(), 1);
    let names: Vec<&str> = loaded
        .provider_files
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        ["cog", "mine", "sim", "sim-blind", "sim-bytes", "sim-sync"]
    );
    assert!(matches!(loaded.origins.providers["mine"], Origin::File(..)));
    let said = load(folder(&files[..1]).path(), &[]).unwrap_err();
    assert!(
        said[0].contains("catalogue.toml:3:1: routes[0].provider: no file providers/mine.toml")
    );
    assert_eq!(said.len(), 1, "{said:?}");
}

#[test]
fn a_catalogue_error_names_file_and_line() {
    let mistake = "queue = \"image\"";
    let line = DEFAULT_CATALOGUE
        .lines()
        .position(|line| line == mistake)
        .unwrap()
        + 1;
    let text = DEFAULT_CATALOGUE.replacen(mistake, "queue = \"imgae\"", 1);
    let dir = folder(&[("catalogue.toml", &text)]);
    let said = load(dir.path(), &[]).unwrap_err();
    let place = dir.path().join("catalogue.toml").display().to_string();
    assert!(
        said[0].starts_with(&format!("{place}:{line}:1: tools.text-to-image.queue: ")),
        "{said:?}"
    );
    assert!(said[0].ends_with("did you mean \"image\"?"), "{said:?}");
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let said = load(Path::new("/nowhere/at/all"), &[]).unwrap_err();
    assert!(
        said[0].starts_with("/nowhere/at/all: is not a folder"),
        "{said:?}"
    );
}

#[test]
fn a_flag_stands_above_the_environment_and_is_checked_like_it() {
    let load = |flags: &[(&str, &str, &str)]| {
        let flags: Vec<Flag> = flags
            .iter()
            .map(|&(name, key, value)| Flag {
                name: name.to_owned(),
                key: key.to_owned(),
                value: value.to_owned(),
            })
            .collect();
        let variable = ("METERLINE__WORKER__SLOTS__IMAGE".to_owned(), "9".to_owned());
        Settings::load_with_flags(Some(&dev_dir()), [variable], &flags)
    };
    let slots = ("--slots", "worker.slots.image", "2");
    let url = (
        "--provider-url",
        "providers.sim-sync.base_url",
        "http://127.0.0.1:9",
    );
    let loaded = load(&[slots, url]).unwrap();
    assert_eq!(loaded.settings.worker.slots["image"], 2);
    assert_eq!(
        loaded.settings.base_urls()["sim-sync"],
        "http://127.0.0.1:9"
    );
    let origin = Origin::Flag("--slots".to_owned());
    assert_eq!(loaded.origins.settings["worker.slots.image"], origin);
    for (flag, said) in [
        (
            ("--slots", "worker.slots.image", "many"),
            "--slots: worker.slots.image: invalid type",
        ),
        (
            ("--slots", "worker.slots.imgae", "2"),
            "--slots: worker.slots.imgae: there is no",
        ),
        (
            ("--provider-url", "providers.x.base_url", "http://x"),
            "--provider-url: providers.x: no",
        ),
        (("--x", "worker.x", "2"), "--x: worker.x: unknown key"),
    ] {
        let wrong = load(&[flag]).unwrap_err();
        assert!(wrong[0].to_string().starts_with(said), "{wrong:?}");
    }
}

#[test]
fn the_provider_files_make_providers_for_every_route() {
    let variable = "METERLINE__PROVIDERS__SIM__BASE_URL".to_owned();
    let address = "http://127.0.0.1:9".to_owned();
    let loaded = Settings::load(Some(&dev_dir()), [(variable, address)]).unwrap();
    let urls = loaded.settings.base_urls();
    let providers = Providers::load(&loaded.provider_files, &urls, &|_| None).unwrap();
    assert!(loaded.settings.networks().is_empty());
    for tool in loaded.catalogue.tools() {
        for route in &tool.routes {
            assert!(
                providers.get(&route.provider).is_some(),
                "{}: {}",
                tool.name,
                route.name
            );
        }
    }
}

#[test]
fn everything_that_is_wrong_in_all_files_and_variables_is_said_at_once() {
    let dir = folder(&[
        (
            "meterline.toml",
            "[worker]\nlease_ms = \"15 s\"\n[retry]\nfactor = 1.5\ntrise = 1\n",
        ),
        (
            "catalogue.toml",
            "[[routes]]\nname = \"a\"\nprovider = \"smi\"\n[tools.x]\ntitel = \"x\"\n[tools.y]\n\
             title = \"y\"\nqueue = \"imgae\"\nkind = \"image\"\nrequired = []\n\
             rate = { kind = \"flat\", credits = 1 }\n",
        ),
        (
            "providers/mine.toml",
            "extends = \"sim\"\nbase_ulr = \"x\"\n[submit]\nid = \"id\"\n[poll]\n\
             interval = { first_ms = \"1\" }\n",
        ),
        ("providers/part.toml", "extends = \"mine\"\n"),
        ("catalog.toml", ""),
    ]);
    let variables = [("METERLINE_STORE_PARTITIONS", "9")];
    let place = format!("{}/", dir.path().display());
    let said = load(dir.path(), &variables).expect_err("much is wrong");
    let mut said: Vec<String> = said.iter().map(|line| line.replace(&place, "")).collect();
    said.sort();
    for (at, part) in [
        "METERLINE_STORE_PARTITIONS: sets nothing; write METERLINE__STORE__PARTITIONS",
        "catalog.toml: is not read under this name; did you mean \"catalogue.toml\"?",
        "catalogue.toml:5:1: tools.x.titel: unknown key; did you mean \"title\"?",
        "catalogue.toml:8:1: tools.y.queue: no [queues.imgae]",
        "meterline.toml:2:1: worker.lease_ms: invalid type: string \"15 s\", expected a whole \
         number of milliseconds, such as 15000",
        "meterline.toml:4:1: retry.factor: invalid type: floating point `1.5`",
        "meterline.toml:5:1: retry.trise: unknown key; did you mean \"tries\"?",
        "providers/mine.toml:2:1: base_ulr: unknown key; did you mean \"base_url\"?",
        "providers/mine.toml:4:1: submit.id: read pointer `id`",
        "providers/mine.toml:6:14: poll.interval.first_ms: invalid type: string",
    ]
    .iter()
    .enumerate()
    {
        assert!(said[at].starts_with(part), "{part} in {said:#?}");
    }
    assert_eq!(said.len(), 10, "{said:#?}");
}

#[test]
fn a_providers_private_networks_are_set_in_a_file_or_by_a_variable() {
    let text = "[providers.sim]\nallow_cidr = [\"172.16.0.0/12\", \"fd00::/8\"]\n";
    let dir = folder(&[("meterline.toml", text)]);
    let networks = |variables: &[(&str, &str)]| {
        let loaded = load(dir.path(), variables).unwrap();
        let networks = loaded.settings.networks().remove("sim").unwrap();
        let urls = loaded.settings.base_urls();
        let providers = Providers::load(&loaded.provider_files, &urls, &|_| None).unwrap();
        let sync = providers.allowing(&loaded.settings.networks());
        let sync = sync.get("sim-sync").unwrap();
        assert_eq!(sync.allow_cidr(), networks, "variants go with it");
        networks.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(networks(&[]), ["172.16.0.0/12", "fd00::/8"]);
    let variable = "METERLINE__PROVIDERS__SIM__ALLOW_CIDR";
    assert_eq!(networks(&[(variable, "[\"10.0.0.0/8\"]")]), ["10.0.0.0/8"]);
    assert_eq!(networks(&[(variable, "[]")]), Vec::<String>::new());
    for (value, part) in [
        ("[\"10.0.0.0/99\"]", "providers.sim.allow_cidr[0]: "),
        (
            "10.0.0.0/8",
            "providers.sim.allow_cidr: invalid type: string",
        ),
    ] {
        let wrong = load(dir.path(), &[(variable, value)]).unwrap_err();
        assert!(wrong[0].contains(part), "{wrong:?}");
    }
    let said = said_about("[providers.sim]\n\nallow_cidr = [\"localhost\"]\n");
    assert!(
        said[0].starts_with("meterline.toml:3:1: providers.sim.allow_cidr[0]: "),
        "{said:?}"
    );
}
