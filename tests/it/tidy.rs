//! The house stays liveable: which way imports go, how large things get, what may not stand anywhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Who may import whom: a module's level; imports go to a lower level only.
const LEVELS: [(&str, u32); 18] = [
    ("domain", 0),
    ("guard", 0),
    ("provider", 1),
    ("media", 1),
    ("store", 1),
    ("webhook", 1),
    ("wire", 1),
    ("worker", 2),
    ("ledger", 2),
    ("producer", 2),
    ("client", 2),
    // Settings name the types they configure, and nothing below reads them.
    ("config", 3),
    ("desk", 3),
    ("telemetry", 3),
    ("dev", 4),
    ("api", 4),
    ("cli", 5),
    ("main", 6),
];

/// No file is longer, unit tests left out: split it by subject.
const FILE_LINES_MAX: usize = 500;
/// Tables of cases are long by nature.
const TEST_FILE_LINES_MAX: usize = 700;
/// No script is longer.
const SCRIPT_LINES_MAX: usize = 120;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(under: &str, extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(under)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)
            .expect("a folder of the project")
            .flatten()
        {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                let text = std::fs::read_to_string(&path).expect("a text file");
                found.push((path.strip_prefix(root()).expect("inside").to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// The top module a source file belongs to.
fn module_of(path: &Path) -> String {
    let first = path
        .components()
        .nth(1)
        .expect("below src")
        .as_os_str()
        .to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The code of a file without its unit tests and comments.
fn code(text: &str) -> String {
    let before_tests = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = before_tests
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn imports_go_one_way() {
    let levels: BTreeMap<&str, u32> = LEVELS.into_iter().collect();
    let mut wrong = Vec::new();
    for (path, text) in files("src", "rs") {
        let module = module_of(&path);
        let Some(own) = levels.get(module.as_str()) else {
            assert_eq!(module, "lib", "{module} has no level: add it to LEVELS");
            continue;
        };
        for piece in code(&text).split("crate::").skip(1) {
            let name: String = piece
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            let Some(other) = levels.get(name.as_str()) else {
                continue;
            };
            if name != module && other >= own {
                wrong.push(format!("{} imports {name}", path.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "imports go down only, see src/lib.rs: {wrong:#?}"
    );
}

#[test]
fn only_the_store_knows_redis_and_the_domain_knows_nothing() {
    for (path, text) in files("src", "rs") {
        let module = module_of(&path);
        let code = code(&text);
        if module != "store" {
            assert!(
                !code.contains("redis::cmd"),
                "{}: only store knows Redis",
                path.display()
            );
            assert!(
                !code.contains("deadpool"),
                "{}: only store knows Redis",
                path.display()
            );
        }
        if module == "domain" {
            for foreign in [
                "tokio",
                "std::fs",
                "std::net",
                "SystemTime",
                "Instant::now",
                "rand::",
            ] {
                assert!(
                    !code.contains(foreign),
                    "{}: the domain is pure: {foreign}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_about_and_stays_short() {
    for (folder, lines_max) in [("src", FILE_LINES_MAX), ("tests", TEST_FILE_LINES_MAX)] {
        for (path, text) in files(folder, "rs") {
            assert!(
                text.starts_with("//!"),
                "{}: begin with //! and its subject",
                path.display()
            );
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let lines = code.lines().count();
            assert!(
                lines <= lines_max,
                "{}: {lines} lines, split it",
                path.display()
            );
        }
    }
}

#[test]
fn no_leftovers_and_no_shortcuts() {
    // Written in two halves so that this file does not find itself.
    let banned = [
        (
            "FIX",
            "ME",
            "write down what is missing where a user sees it",
        ),
        ("to", "do!(", "finish it or leave it out"),
        ("unimple", "mented!(", "finish it or leave it out"),
        ("#[ig", "nore", "a test that does not run rots"),
        ("FLUSH", "ALL", "somebody's data may be on that server"),
        ("FLUSH", "DB", "somebody's data may be on that server"),
    ];
    for folder in ["src", "tests"] {
        for extension in ["rs", "lua"] {
            for (path, text) in files(folder, extension) {
                for (head, tail, instead) in banned {
                    let word = format!("{head}{tail}");
                    assert!(
                        !text.contains(&word),
                        "{}: {word}: {instead}",
                        path.display()
                    );
                }
            }
        }
    }
}

#[test]
fn every_script_has_its_header_its_line_and_its_size() {
    for (path, text) in files("src/store/lua", "lua") {
        let lines = text.lines().count();
        let library = path.components().any(|part| part.as_os_str() == "lib");
        assert!(
            lines <= SCRIPT_LINES_MAX,
            "{}: {lines} lines",
            path.display()
        );
        for line in text.lines().filter(|line| line.contains("-- guard: ")) {
            let words = line.trim_start();
            let goes_alone = !words.starts_with("local ") && !words.starts_with("--");
            let place = path.display();
            assert!(
                goes_alone,
                "{place}: scripts/mutate-lua cannot take it out: {line}"
            );
        }
        if library {
            continue;
        }
        assert!(
            text.starts_with("#!lua"),
            "{}: line 1 carries the flags",
            path.display()
        );
        for part in [
            "-- uses: ",
            "-- KEYS ",
            "-- ARGV ",
            "-- replies: ",
            "-- invariant: ",
        ] {
            assert!(
                text.contains(part),
                "{}: the header has no {part:?}",
                path.display()
            );
        }
        assert!(
            text.contains("-- point of no return"),
            "{}: no line",
            path.display()
        );
        for never in [
            "redis.call('KEYS'",
            "redis.call('SCAN'",
            "redis.call('EXPIRE'",
        ] {
            assert!(!text.contains(never), "{}: {never}", path.display());
        }
    }
}

#[test]
fn an_attempt_waits_only_in_named_steps() {
    let read = |name: &str| std::fs::read_to_string(root().join("src/worker").join(name));
    let both = ["attempt.rs", "submission.rs"].map(|name| read(name).expect("the attempt"));
    let code = both.map(|text| code(&text)).join("\n");
    // Waiting for one of the attempt's own methods is waiting for the steps inside.
    let own: Vec<String> = code
        .split("async fn ")
        .skip(1)
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect()
        })
        .collect();
    for (at, _) in code.match_indices(".await") {
        let start = code[..at].rfind([';', '{', '}']).map_or(0, |n| n + 1);
        let statement = &code[start..at];
        let named = statement.contains("steps.take(")
            || statement.contains(".take(\"")
            || own
                .iter()
                .any(|name| statement.contains(&format!("self.{name}(")));
        assert!(named, "an await without a name: {}", statement.trim());
    }
}
