//! The committed document is what the server serves, and docs/http-api.md works as it stands there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use meterline::dev::redis::PrivateRedis;

use crate::support::plain_redis;
use crate::support::ports::free_port;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let committed = std::fs::read_to_string(root().join("docs/openapi.json"));
    let committed = committed.unwrap_or_default();
    let served = meterline::api::openapi();
    if committed != served {
        let fresh = std::env::temp_dir().join("meterline-openapi.json");
        std::fs::write(&fresh, &served).expect("written");
        panic!(
            "docs/openapi.json differs: cp {} docs/openapi.json",
            fresh.display()
        );
    }
    assert!(
        served.contains("\"openapi\": \"3.1"),
        "the version of the document"
    );
}

#[test]
fn every_response_says_what_it_is() {
    let document: serde_json::Value =
        serde_json::from_str(&meterline::api::openapi()).expect("JSON");
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let parameters = operation.get("parameters");
            assert!(parameters.is_none_or(serde_json::Value::is_array), "{path}");
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let said = response["description"].as_str().unwrap_or_default();
                assert!(!said.is_empty(), "{method} {path}: {status}");
            }
        }
    }
}

#[tokio::test]
async fn the_page_for_people_has_every_route_and_loads_and_runs_nothing() {
    let api = super::Api::start().await;
    let request = api.request("", reqwest::Method::GET, "/reference");
    let response = super::send(request).await;
    assert_eq!(response.status(), 200);
    let policy = response.headers()["content-security-policy"].to_str();
    assert!(policy.expect("text").starts_with("default-src 'none'"));
    let page = response.text().await.expect("a page");
    let document: serde_json::Value =
        serde_json::from_str(&meterline::api::openapi()).expect("JSON");
    for (path, item) in document["paths"].as_object().expect("paths") {
        for operation in item.as_object().expect("methods").values() {
            let id = operation["operationId"].as_str().expect("an id");
            assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
            assert!(
                page.contains(&format!("href=\"#{id}\"")),
                "{id} is in the contents"
            );
        }
        assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
    }
    for loads in ["<script", "src=", "@import", "url("] {
        assert!(!page.contains(loads), "{loads}");
    }
    // Every link within the page leads somewhere.
    for rest in page.split("href=\"#").skip(1) {
        let id = rest.split('"').next().expect("an id");
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }
}

#[test]
fn the_first_job_of_the_page_is_made_as_it_stands_there() {
    let page = std::fs::read_to_string(root().join("docs/http-api.md")).expect("the page");
    let blocks = page.split("```sh\n").skip(1);
    let blocks: Vec<&str> = blocks.filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 4, "the page has its steps");
    let script = blocks
        .join("\n")
        .replace("8080", &free_port().to_string())
        .replace("9100", &free_port().to_string());
    let script = format!("set -eu\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n{script}");
    let redis = PrivateRedis::start(plain_redis()).expect("a Redis");
    let folder = tempfile::tempdir().expect("a folder");
    let program = Path::new(env!("CARGO_BIN_EXE_meterline"));
    let programs = program.parent().expect("a folder").display();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let output = Command::new("timeout")
        .args(["120", "bash", "-c", &script])
        .current_dir(root())
        .env("PATH", format!("{programs}:{}", path.display()))
        .env("METERLINE_REDIS_URL", redis.url())
        .env("METERLINE__MEDIA__ARTIFACTS_DIR", folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{said}\n{errors}");
    assert!(said.contains("\"state\":\"succeeded\""), "{said}\n{errors}");
    // The three clients of the page, and what they say of their jobs.
    for words in [
        " is submitted (",
        "\"status\":\"accepted\"",
        " succeeded\n",
        " succeeded: 7000000 ",
    ] {
        assert!(said.contains(words), "{words}: {said}\n{errors}");
    }
    assert!(
        said.contains("\"captured_ucr\":7000000"),
        "{said}\n{errors}"
    );
}
