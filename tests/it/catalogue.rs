//! The catalogue as it is shipped: what every tool takes, and what it costs.

use meterline::config::Settings;
use meterline::domain::catalogue::{DURATION_MS, Request, Tool};
use meterline::domain::credits::Ucr;
use meterline::domain::media::MediaKind;
use meterline::domain::pricing::RateKind;
use serde_json::{Map, Value, json};

/// The least a tool takes: its required parameters, each with a plain value.
pub(crate) fn sample_params(tool: &Tool) -> Map<String, Value> {
    let sample = |name: &str| match tool.parameters.property(name).expect(name)["type"].as_str() {
        _ if name == DURATION_MS => json!(5_000),
        _ if name == "language" => json!("en"),
        _ if name.ends_with("_url") => json!("http://127.0.0.1/input"),
        Some("array") => json!(["http://127.0.0.1/input"]),
        Some(_) | None => json!("x"),
    };
    tool.parameters
        .required()
        .iter()
        .map(|name| (name.clone(), sample(name)))
        .collect()
}

#[test]
fn every_tool_resolves_with_the_least_it_takes() {
    let catalogue = Settings::embedded().unwrap().catalogue;
    for tool in catalogue.tools() {
        let params = sample_params(tool);
        let request = Request {
            tool: &tool.name,
            params: &params,
            route: None,
            deadline_ms: None,
        };
        let resolved = catalogue.resolve(&request).unwrap_or_else(|refusal| {
            panic!("{}: {refusal}", tool.name);
        });
        assert!(resolved.ceiling_ucr > Ucr::ZERO);
        assert_eq!(
            resolved.asked.max_ms.is_some(),
            tool.longest_ms.is_some(),
            "{}",
            tool.name
        );
        assert_eq!(resolved.routes.len(), 1);
        assert_eq!(resolved.routes[0].provider, "sim");
        for route in ["sim", "sim-sync", "sim-blind", "sim-bytes"] {
            let pinned = catalogue
                .resolve(&Request {
                    route: Some(route),
                    ..request
                })
                .unwrap();
            assert_eq!(pinned.routes[0].provider, route);
        }
        for name in tool.parameters.required() {
            let mut fewer = params.clone();
            fewer.remove(name);
            let refusal = catalogue
                .resolve(&Request {
                    params: &fewer,
                    ..request
                })
                .unwrap_err();
            assert_eq!(
                refusal.to_string(),
                format!("parameter /{name}: is required")
            );
        }
    }
}

#[test]
fn prices_are_those_that_were_given() {
    let catalogue = Settings::embedded().unwrap().catalogue;
    let ceiling = |tool: &str, extra: &[(&str, Value)]| {
        let mut params = sample_params(catalogue.tool(tool).unwrap());
        params.extend(
            extra
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        let request = Request {
            tool,
            params: &params,
            route: None,
            deadline_ms: None,
        };
        catalogue.resolve(&request).unwrap().ceiling_ucr.credits()
    };
    for (tool, credits) in [
        ("text-to-image", "7"),
        ("image-edit", "7"),
        ("face-swap", "3"),
        ("image-to-video", "35"),
        ("avatar-video", "10"),
        ("video-background-replace", "115"),
    ] {
        assert_eq!(ceiling(tool, &[]), credits, "{tool}");
        assert!(
            !catalogue.tool(tool).unwrap().rates.price_is_example,
            "{tool}"
        );
    }
    assert_eq!(
        ceiling("video-background-replace", &[("resolution", json!("480p"))]),
        "60"
    );
    assert_eq!(ceiling("text-to-image", &[("count", json!(4))]), "28");
    assert_eq!(ceiling("photobook", &[("count", json!(10))]), "40");
    assert_eq!(ceiling("upscale", &[("factor", json!(4))]), "5");
}

#[test]
fn prices_stay_inside_their_bounds_and_the_avatar_is_the_cheapest_video() {
    let catalogue = Settings::embedded().unwrap().catalogue;
    assert_eq!(catalogue.tools().count(), 20);
    for tool in catalogue.tools().filter(|tool| tool.queue != "training") {
        for rule in tool.rates.all() {
            let rate = rule.rate_ucr();
            let (least, most) = match (tool.kind, tool.name.as_str()) {
                (MediaKind::Image, _) => (3, u32::MAX),
                (MediaKind::Video, "avatar-video") => (2, 2),
                (MediaKind::Video | MediaKind::Audio, _) => (3, 23),
            };
            let bounds = Ucr::from_credits(least)..=Ucr::from_credits(most);
            assert!(bounds.contains(&rate), "{}: {rate}", tool.name);
            let flat = tool.kind == MediaKind::Image;
            assert_eq!(rule.kind() == RateKind::Flat, flat, "{}", tool.name);
        }
    }
}

#[test]
fn the_simulator_cannot_be_steered_unless_the_settings_say_so() {
    let catalogue = Settings::embedded().unwrap().catalogue;
    let mut params = sample_params(catalogue.tool("text-to-image").unwrap());
    params.insert("sim".to_owned(), json!({"hang": true}));
    let request = Request {
        tool: "text-to-image",
        params: &params,
        route: None,
        deadline_ms: None,
    };
    let refusal = catalogue.resolve(&request).unwrap_err();
    assert!(
        refusal
            .to_string()
            .starts_with("parameter /sim: is taken only where"),
        "{refusal}"
    );
}
