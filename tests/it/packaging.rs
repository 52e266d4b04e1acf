//! The image and the compose file, as far as they can be checked without a container engine: every
//! file they copy is there, nothing that the build needs is missing, every command is understood.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use meterline::cli::understands;
use serde_json::Value;

/// Where the image keeps the folder `config`.
const CONFIG_IN_IMAGE: &str = "/etc/meterline";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What the Dockerfile copies from the project into the stage that builds.
fn build_sources() -> Vec<String> {
    let dockerfile = text("Dockerfile");
    let stage = dockerfile.split("\nFROM ").nth(1).expect("a first stage");
    let copies = stage.lines().filter_map(|line| line.strip_prefix("COPY "));
    copies
        .flat_map(|line| {
            let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            words.pop();
            words
        })
        .collect()
}

#[test]
fn the_builder_is_given_what_it_copies_and_nothing_else() {
    let ignore = text(".dockerignore");
    let rules: Vec<&str> = ignore
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(rules[0], "*", "everything is left out first");
    let given: BTreeSet<&str> = rules[1..]
        .iter()
        .map(|rule| rule.strip_prefix('!').expect("only exceptions follow"))
        .collect();
    let copied = build_sources();
    assert_eq!(given, copied.iter().map(String::as_str).collect());
    for source in copied {
        assert!(root().join(&source).exists(), "{source}");
    }
}

#[test]
fn every_file_that_is_built_in_is_copied_into_the_builder() {
    let sources = build_sources();
    let mut folders = vec![root().join("src")];
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Ok(text) = std::fs::read_to_string(&path) else {
                continue;
            };
            for piece in text.split("include_str!(").skip(1) {
                let Some(name) = piece.trim_start().strip_prefix('"') else {
                    continue;
                };
                let name = name.split('"').next().expect("a closing quote");
                let file = path.parent().expect("a parent").join(name);
                let file = file
                    .canonicalize()
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                let root = root().canonicalize().expect("the project");
                let inside = file.strip_prefix(root).expect("a file of the project");
                let is_copied = sources.iter().any(|source| inside.starts_with(source));
                assert!(is_copied, "{} is not copied", inside.display());
                found += 1;
            }
        }
    }
    assert!(found > 5, "{found}");
}

#[test]
fn the_toolchain_of_the_image_is_the_one_that_the_project_needs() {
    let manifest: toml::Table = text("Cargo.toml").parse().expect("TOML");
    let needed = manifest["package"]["rust-version"]
        .as_str()
        .expect("a version");
    assert!(text("Dockerfile").contains(&format!("FROM rust:{needed}-")));
}

fn compose() -> Value {
    serde_saphyr::from_str(&text("docker-compose.yml")).expect("YAML")
}

fn words(value: &Value) -> Vec<String> {
    let words = value.as_array().into_iter().flatten();
    words
        .map(|word| word.as_str().expect("a word").to_owned())
        .collect()
}

/// The commands of a script that are ours, in words; variables stand for themselves.
fn commands_of(script: &str) -> Vec<Vec<String>> {
    let ours = |line: &str| line.find("meterline ").map(|at| line[at..].to_owned());
    let lines = script.lines().filter_map(ours);
    lines
        .map(|line| {
            let line = line.split(" | ").next().expect("a command").to_owned();
            let words = line.split_whitespace().skip(1);
            words
                .map(|word| word.trim_matches('"').to_owned())
                .collect()
        })
        .collect()
}

#[test]
fn every_command_of_the_compose_file_is_understood_and_every_file_it_names_is_there() {
    let compose = compose();
    let services = compose["services"].as_object().expect("services");
    let mut commands: Vec<Vec<String>> = Vec::new();
    for (name, service) in services {
        if service["image"] != "meterline:local" {
            continue;
        }
        assert_eq!(service["build"], ".", "{name}");
        let command = words(&service["command"]);
        match words(&service["entrypoint"])[..] {
            [] if command.is_empty() => {}
            [] => commands.push(command),
            [ref shell, ref flag] if shell == "sh" && flag == "-euc" => {
                commands.extend(commands_of(&command[0].replace("$$", "$")));
            }
            ref other => panic!("{name}: a new kind of entrypoint: {other:?}"),
        }
        let health = words(&service["healthcheck"]["test"]);
        if let [_, program, rest @ ..] = &health[..] {
            assert_eq!(program, "meterline", "{name}");
            commands.push(rest.to_vec());
        }
        let folder = service["environment"]["METERLINE_CONFIG"]
            .as_str()
            .expect("a folder");
        let inside = folder
            .strip_prefix(CONFIG_IN_IMAGE)
            .expect("a folder of the image");
        assert!(
            root().join(format!("config{inside}")).is_dir(),
            "{name}: {folder}"
        );
    }
    assert!(text("Dockerfile").contains(&format!("COPY config {CONFIG_IN_IMAGE}\n")));
    assert!(commands.len() >= 10, "{commands:#?}");
    for command in &commands {
        assert_eq!(understands(command), Ok(()), "{command:?}");
    }
    assert!(understands(&["serve".to_owned(), "--nonsense".to_owned()]).is_err());
}

#[test]
fn the_worker_of_the_compose_file_is_asked_for_the_file_that_it_touches() {
    let compose = compose();
    let worker = &compose["services"]["worker"];
    let after = |words: &[String], flag: &str| {
        let at = words
            .iter()
            .position(|word| word == flag)
            .expect("the flag");
        words[at + 1].clone()
    };
    assert_eq!(
        after(&words(&worker["command"]), "--health-file"),
        after(&words(&worker["healthcheck"]["test"]), "--file")
    );
    for service in compose["services"].as_object().expect("services").values() {
        let volumes = words(&service["volumes"]);
        for volume in volumes {
            let name = volume.split(':').next().expect("a name");
            assert!(compose["volumes"].get(name).is_some(), "{name}");
        }
        for needed in service["depends_on"].as_object().into_iter().flatten() {
            assert!(compose["services"].get(needed.0).is_some(), "{needed:?}");
        }
    }
}

#[test]
fn the_server_of_the_compose_file_hears_what_is_published_to_this_machine_alone() {
    let compose = compose();
    let api = &compose["services"]["api"];
    let command = words(&api["command"]);
    let after = |flag: &str| {
        let at = command.iter().position(|word| word == flag);
        command[at.expect("the flag") + 1].clone()
    };
    assert_eq!(after("--role"), "api");
    let listen: SocketAddr = after("--listen").parse().expect("an address");
    assert!(listen.ip().is_unspecified(), "{listen}");
    let port = listen.port();
    assert_eq!(words(&api["ports"]), [format!("127.0.0.1:{port}:{port}")]);
    let health = words(&api["healthcheck"]["test"]);
    let asked = health.last().expect("an address");
    assert_eq!(*asked, format!("http://127.0.0.1:{port}"));
    assert!(text("Dockerfile").contains(&format!("\nEXPOSE {port}\n")));
    let folder = after("--artifacts");
    let is_shared = |service: &str, with: &str| {
        let volume = format!("artifacts:{folder}{with}");
        words(&compose["services"][service]["volumes"]) == [volume]
    };
    assert!(is_shared("worker", "") && is_shared("api", ":ro"));
}

#[test]
fn what_the_compose_file_says_of_itself_is_understood() {
    let file = text("docker-compose.yml");
    let run = "docker compose run --rm meterline ";
    let said = file.lines().take_while(|line| line.starts_with('#'));
    let said: Vec<&str> = said.filter_map(|line| line.split(run).nth(1)).collect();
    assert!(said.len() >= 2, "{said:?}");
    for line in said {
        // What stands behind a gap is for people.
        let command = line.split("  ").next().expect("a command");
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        assert_eq!(understands(&words), Ok(()), "{command}");
    }
}

#[test]
fn the_store_of_the_compose_file_keeps_what_it_accepts() {
    let compose = compose();
    let command = words(&compose["services"]["redis"]["command"]);
    for pair in [
        ["--appendonly", "yes"],
        ["--appendfsync", "everysec"],
        ["--maxmemory-policy", "noeviction"],
    ] {
        assert!(command.windows(2).any(|words| words == pair), "{pair:?}");
    }
}
