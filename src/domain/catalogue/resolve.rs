//! From a request to everything a job needs: parameters, rule, ceiling, routes and clocks.

use serde_json::{Map, Value};

use super::parameters::{COUNT, DURATION_MS};
use super::{Catalogue, Refusal, Request, Resolved, Route, Tool};
use crate::domain::nearest::nearest;
use crate::domain::pricing::Asked;

impl Catalogue {
    /// Checks a request and works out what it may cost at most. Nothing is held and nothing is
    /// stored: a refusal here leaves no trace.
    pub fn resolve(&self, request: &Request<'_>) -> Result<Resolved, Refusal> {
        let tool = self
            .tool(request.tool)
            .ok_or_else(|| self.unknown_tool(request.tool))?;
        tool.check_duration(request.params)?;
        let params = tool.parameters.complete(request.params)?;
        let rule = tool.rates.rule_for(&params);
        let asked = tool.asked(&params);
        Ok(Resolved {
            tool: tool.name.clone(),
            queue: tool.queue.clone(),
            kind: tool.kind,
            rule,
            asked,
            ceiling_ucr: rule.ceiling(&asked)?,
            price_version: self.price_version().to_owned(),
            routes: tool.routes_for(request.route)?,
            params,
            submission_timeout_ms: tool.submission_timeout_ms,
            deadline_ms: tool.deadline_for(request.deadline_ms)?,
            tries_max: tool.tries_max,
        })
    }

    fn unknown_tool(&self, name: &str) -> Refusal {
        let known = self.tools().map(|tool| tool.name.as_str());
        let nearest = nearest(name, known)
            .into_iter()
            .map(str::to_owned)
            .collect();
        Refusal::UnknownTool {
            tool: name.to_owned(),
            nearest,
        }
    }
}

impl Tool {
    /// What the price depends on, once the parameters are complete.
    fn asked(&self, params: &Map<String, Value>) -> Asked {
        let number = |name: &str| params.get(name).and_then(Value::as_u64);
        let outputs = number(COUNT)
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(1);
        Asked {
            max_ms: self.longest_ms.and_then(|_| number(DURATION_MS)),
            outputs,
        }
    }

    /// Too long is told apart from every other bad parameter, because the mend is another one:
    /// a shorter output instead of a better request.
    fn check_duration(&self, params: &Map<String, Value>) -> Result<(), Refusal> {
        let asked_ms = params.get(DURATION_MS).and_then(Value::as_f64);
        match (self.longest_ms, asked_ms) {
            (Some(longest_ms), Some(asked_ms)) if asked_ms > longest_ms as f64 => {
                Err(Refusal::DurationAboveMaximum {
                    tool: self.name.clone(),
                    longest_ms,
                })
            }
            (Some(_) | None, Some(_) | None) => Ok(()),
        }
    }

    fn routes_for(&self, pinned: Option<&str>) -> Result<Vec<Route>, Refusal> {
        let Some(name) = pinned else {
            let open = self.routes.iter().filter(|route| !route.only_when_pinned);
            return Ok(open.cloned().collect());
        };
        match self.routes.iter().find(|route| route.name == name) {
            Some(route) => Ok(vec![route.clone()]),
            None => Err(Refusal::UnknownRoute {
                tool: self.name.clone(),
                route: name.to_owned(),
                known: self.routes.iter().map(|route| route.name.clone()).collect(),
            }),
        }
    }

    fn deadline_for(&self, asked_ms: Option<u64>) -> Result<u64, Refusal> {
        let deadline_ms = asked_ms.unwrap_or(self.deadline_ms);
        if (self.deadline_ms..=self.deadline_max_ms).contains(&deadline_ms) {
            return Ok(deadline_ms);
        }
        Err(Refusal::DeadlineOutOfBounds {
            tool: self.name.clone(),
            asked_ms: deadline_ms,
            shortest_ms: self.deadline_ms,
            longest_ms: self.deadline_max_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::domain::catalogue::{Clocks, Defaults};
    use crate::domain::credits::Ucr;
    use crate::domain::media::MediaKind;

    const TEXT: &str = r#"
[[routes]]
name = "first"
provider = "sim"
[[routes]]
name = "second"
provider = "sim"
model = "other"
[[routes]]
name = "hidden"
provider = "sim-sync"
only_when_pinned = true

[parameters.resolution]
enum = ["480p", "720p"]
default = "720p"

[tools.clip]
title = "Clip"
queue = "video"
kind = "video"
longest_ms = 10000
required = []
optional = ["resolution"]
rate = { kind = "per_second", credits = 9, by = ["resolution"], credits_by = { 480p = "3.5", 720p = 7 } }

[tools.picture]
title = "Picture"
queue = "video"
kind = "image"
count_max = 4
required = []
rate = { kind = "flat", credits = 7 }
"#;

    fn catalogue(allow_sim: bool) -> Catalogue {
        let clocks = Clocks {
            submission_timeout_ms: 1_000,
            deadline_ms: 2_000,
            deadline_max_ms: 9_000,
        };
        let queues = BTreeMap::from([("video".to_owned(), clocks)]);
        Catalogue::from_toml(
            TEXT,
            &Defaults {
                queues,
                tries_max: 3,
                allow_sim,
            },
        )
        .unwrap()
    }

    fn resolve(tool: &str, params: Value) -> Result<Resolved, Refusal> {
        let Value::Object(params) = params else {
            panic!("parameters are an object")
        };
        let request = Request {
            tool,
            params: &params,
            route: None,
            deadline_ms: None,
        };
        catalogue(false).resolve(&request)
    }

    #[test]
    fn a_request_becomes_everything_a_job_carries() {
        let resolved = resolve("clip", json!({"duration_ms": 5000.0})).unwrap();
        assert_eq!(resolved.ceiling_ucr, Ucr::from_credits(35));
        assert_eq!(
            resolved.asked,
            Asked {
                max_ms: Some(5_000),
                outputs: 1
            }
        );
        assert_eq!(
            (resolved.kind, resolved.queue.as_str()),
            (MediaKind::Video, "video")
        );
        assert_eq!(
            json!(resolved.params),
            json!({"duration_ms": 5000, "resolution": "720p"})
        );
        assert_eq!(
            (resolved.submission_timeout_ms, resolved.deadline_ms),
            (1_000, 2_000)
        );
        let routes: Vec<_> = resolved
            .routes
            .iter()
            .map(|route| (route.name.as_str(), route.model.as_str()))
            .collect();
        assert_eq!(routes, [("first", "clip"), ("second", "other")]);
    }

    #[test]
    fn a_rate_follows_its_parameter() {
        let cheap = resolve("clip", json!({"duration_ms": 5000, "resolution": "480p"})).unwrap();
        assert_eq!(cheap.ceiling_ucr, Ucr::from_credits(18), "17.5 rounded up");
        assert_eq!(cheap.rule.rate_ucr(), Ucr::new(3_500_000).unwrap());
    }

    #[test]
    fn a_flat_tool_is_priced_by_its_count() {
        for (params, credits) in [(json!({}), 7), (json!({"count": 4}), 28)] {
            let resolved = resolve("picture", params).unwrap();
            assert_eq!(resolved.ceiling_ucr, Ucr::from_credits(credits));
            assert_eq!(resolved.asked.max_ms, None);
        }
        let refusal = resolve("picture", json!({"count": 5})).unwrap_err();
        assert_eq!(refusal.as_str(), "bad_parameter");
    }

    #[test]
    fn refusals_say_what_would_be_right() {
        for (tool, params, message) in [
            (
                "clipp",
                json!({}),
                "there is no tool \"clipp\"; did you mean clip?",
            ),
            ("clip", json!({}), "parameter /duration_ms: is required"),
            (
                "clip",
                json!({"duration_ms": 10_001}),
                "parameter /duration_ms: clip makes at most 10000 ms",
            ),
            (
                "clip",
                json!({"duration_ms": 1e300}),
                "parameter /duration_ms: clip makes at most 10000 ms",
            ),
        ] {
            assert_eq!(resolve(tool, params).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_pinned_route_is_the_only_one() {
        let params = Map::from_iter([(DURATION_MS.to_owned(), json!(1_000))]);
        let pinned = |route| {
            let request = Request {
                tool: "clip",
                params: &params,
                route: Some(route),
                deadline_ms: None,
            };
            catalogue(false).resolve(&request)
        };
        let routes = pinned("hidden").unwrap().routes;
        assert_eq!(routes.len(), 1);
        assert_eq!(routes[0].provider, "sim-sync");
        assert_eq!(
            pinned("third").unwrap_err().to_string(),
            "clip has no route \"third\"; it has first, second, hidden"
        );
    }

    #[test]
    fn a_deadline_is_lengthened_and_never_shortened() {
        let params = Map::from_iter([(DURATION_MS.to_owned(), json!(1_000))]);
        for (asked_ms, allowed) in [(1_999, false), (2_000, true), (9_000, true), (9_001, false)] {
            let deadline_ms = Some(asked_ms);
            let request = Request {
                tool: "clip",
                params: &params,
                route: None,
                deadline_ms,
            };
            match catalogue(false).resolve(&request) {
                Ok(resolved) => assert!(allowed && resolved.deadline_ms == asked_ms, "{asked_ms}"),
                Err(refusal) => {
                    assert!(!allowed, "{asked_ms}");
                    assert_eq!(refusal.as_str(), "deadline_out_of_bounds");
                }
            }
        }
    }

    #[test]
    fn the_simulator_is_steered_only_where_the_settings_allow_it() {
        let params = Map::from_iter([
            (DURATION_MS.to_owned(), json!(1_000)),
            ("sim".to_owned(), json!({"hang": true})),
        ]);
        let request = Request {
            tool: "clip",
            params: &params,
            route: None,
            deadline_ms: None,
        };
        assert!(catalogue(true).resolve(&request).is_ok());
        let refusal = catalogue(false).resolve(&request).unwrap_err();
        assert!(refusal.to_string().contains("dev.allow_sim"), "{refusal}");
    }

    #[test]
    fn what_a_job_carries_survives_its_json() {
        let resolved = resolve("clip", json!({"duration_ms": 5000})).unwrap();
        let json = serde_json::to_string(&resolved).unwrap();
        assert_eq!(serde_json::from_str::<Resolved>(&json).unwrap(), resolved);
    }
}
