//! docs/providers.md: its example files load, fit together, and its table names every key.

use std::path::Path;

use meterline::config::Settings;
use meterline::provider::{Attach, Providers};

fn page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/providers.md");
    std::fs::read_to_string(page).expect("docs/providers.md")
}

#[test]
fn the_examples_load_and_fit_together() {
    let page = page();
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("providers")).expect("a folder");
    let marked = page.split("<!-- tests/it/providers_doc.rs loads the file ");
    let mut files = 0;
    for block in marked.skip(1) {
        let (name, rest) = block.split_once(" -->\n```toml\n").expect("a block");
        let (text, _) = rest.split_once("\n```").expect("its end");
        std::fs::write(folder.path().join(name), text).expect("a file");
        files += 1;
    }
    assert_eq!(files, 4);
    let loaded = Settings::load(Some(folder.path()), []).expect("the settings");
    let urls = loaded.settings.base_urls();
    let providers = Providers::load(&loaded.provider_files, &urls, &|_| None);
    let providers = providers.expect("the providers");
    let providers = providers.allowing(&loaded.settings.networks());

    let portrait = providers.get("portrait").expect("portrait");
    assert_eq!(portrait.attach(), Attach::ResubmitSameId);
    // Its own address stands above the one that the settings give to its base.
    assert_eq!(portrait.base_url(), "http://10.20.0.7:5000");
    assert_eq!(portrait.allow_cidr(), loaded.settings.networks()["cog"]);
    let clips = providers.get("clips").expect("clips");
    assert_eq!(clips.missing_key(), Some("CLIPS_API_KEY"));
    assert_eq!(clips.hosts(), ["api.clips.example", "status.clips.example"]);
    for (tool, provider) in [("portrait", "portrait"), ("clip", "clips")] {
        let mut tools = loaded.catalogue.tools();
        let tool = tools.find(|known| known.name == tool).expect("the tool");
        assert_eq!(tool.routes[0].provider, provider);
    }
}

#[test]
fn the_table_names_every_key_of_the_file_that_explains_them_all() {
    let page = page();
    let file = include_str!("../../config/providers/sim.toml");
    let table: toml::Table = toml::from_str(file).expect("the file");
    let mut keys = Vec::new();
    for (key, value) in &table {
        match value.as_table() {
            Some(inner) if !inner.is_empty() => {
                keys.extend(inner.keys().map(|inner| format!("`{key}.{inner}`")));
            }
            Some(_) | None => keys.push(format!("`{key}`")),
        }
    }
    assert!(keys.len() > 30, "{keys:?}");
    for key in keys {
        assert!(
            page.contains(&key),
            "docs/providers.md does not explain {key}"
        );
    }
}
