//! The OpenAPI document as a page for people: made once, whole, with nothing to run or to load.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::{Map, Value};

use super::problem::Kind;

const STYLE: &str = include_str!("reference.css");
/// Shapes that stand at each operation already, or that say nothing.
const NOT_LISTED: [&str; 1] = ["Media"];

/// The page.
pub(super) fn page(document: &Value) -> String {
    let tags = tags(document);
    let title = "Meterline: the HTTP API";
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (navigation(&tags))
                main #main {
                    h1 { (title) }
                    (paragraphs(document["info"]["description"].as_str()))
                    p {
                        "The document that this page shows is at " a href="v1/openapi.json" { "/v1/openapi.json" }
                        "; generators make clients of it."
                    }
                    pre { code { "curl https://.../v1/jobs -H \"Authorization: Bearer mlk_...\"" } }
                    @for tag in &tags { (section(document, tag)) }
                    (shapes(document))
                    (problems())
                }
            }
        }
    };
    page.into_string()
}

/// Operations that belong together.
struct Tag<'a> {
    name: &'a str,
    description: &'a str,
    operations: Vec<Operation<'a>>,
}

struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    it: &'a Value,
}

impl Operation<'_> {
    fn id(&self) -> &str {
        self.it["operationId"].as_str().unwrap_or_default()
    }

    fn summary(&self) -> &str {
        self.it["summary"].as_str().unwrap_or_default()
    }
}

fn tags(document: &Value) -> Vec<Tag<'_>> {
    let of = |name: &str| {
        let mut found = Vec::new();
        for (path, item) in members(&document["paths"]) {
            for (method, it) in item.as_object().into_iter().flatten() {
                let tags = it["tags"].as_array().into_iter().flatten();
                if tags.into_iter().any(|tag| tag == name) {
                    found.push(Operation { method, path, it });
                }
            }
        }
        found
    };
    let tags = document["tags"].as_array().into_iter().flatten();
    tags.filter_map(|tag| {
        let name = tag["name"].as_str()?;
        Some(Tag {
            name,
            description: tag["description"].as_str().unwrap_or_default(),
            operations: of(name),
        })
    })
    .collect()
}

/// Beside the text where there is room, folded above it on a phone.
fn navigation(tags: &[Tag<'_>]) -> Markup {
    html! {
        a.skip href="#main" { "To the text" }
        nav.beside aria-label="Contents" { (contents(tags)) }
        details.above { summary { "Contents" } nav aria-label="Contents" { (contents(tags)) } }
    }
}

fn contents(tags: &[Tag<'_>]) -> Markup {
    html! {
        @for tag in tags {
            h2 { a href={ "#" (tag.name) } { (tag.name) } }
            ul {
                @for operation in &tag.operations {
                    li { a href={ "#" (operation.id()) } { (operation.summary()) } }
                }
            }
        }
        h2 { "Words" }
        ul {
            li { a href="#shapes" { "Shapes" } }
            li { a href="#problems" { "Problems" } }
        }
    }
}

fn section(document: &Value, tag: &Tag<'_>) -> Markup {
    html! {
        section #(tag.name) {
            h2 { (tag.name) }
            p.soft { (tag.description) }
            @for operation in &tag.operations { (one(document, operation)) }
        }
    }
}

fn one(document: &Value, operation: &Operation<'_>) -> Markup {
    let it = operation.it;
    let scopes: Vec<&str> = it["security"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| one["key"].as_array())
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let parameters: Vec<&Value> = it["parameters"].as_array().into_iter().flatten().collect();
    html! {
        article #(operation.id()) {
            h3 { a href={ "#" (operation.id()) } { (operation.summary()) } }
            p.route { b class=(operation.method) { (operation.method.to_uppercase()) } code { (operation.path) } }
            p.scope {
                @if scopes.is_empty() { "Needs no key" }
                @else { "Needs a key with the scope " (scopes.join(" or ")) @if !scopes.contains(&"admin") { ", or admin" } }
            }
            (paragraphs(it["description"].as_str()))
            @if !parameters.is_empty() {
                h4 { "Parameters" }
                div.wide { table {
                    @for one in parameters {
                        (row(
                            one["name"].as_str().unwrap_or_default(),
                            one["required"] == true,
                            &html! { (one["in"].as_str().unwrap_or_default()) ", " (kind(&one["schema"])) },
                            one["description"].as_str(),
                        ))
                    }
                } }
            }
            (body("Body", &it["requestBody"]["content"], document))
            @for (status, response) in members(&it["responses"]) {
                @if status.starts_with('2') || status.starts_with('3') {
                    h4 { "Answer " (status) }
                    p.soft { (words(response["description"].as_str().unwrap_or_default())) }
                    (body("", &response["content"], document))
                }
            }
        }
    }
}

/// The fields of a JSON body; of others what kind they are.
fn body(title: &str, content: &Value, document: &Value) -> Markup {
    html! {
        @for (media, one) in members(content) {
            @if !title.is_empty() { h4 { (title) } }
            @let schema = &one["schema"];
            @if media == "application/json" {
                p { (kind(schema)) }
                (fields(resolved(schema, document)))
            } @else {
                p { code { (media) } }
            }
        }
    }
}

fn fields(schema: &Value) -> Markup {
    let required = |name: &str| {
        let all = schema["required"].as_array().into_iter().flatten();
        all.into_iter().any(|one| one == name)
    };
    html! {
        @if schema["properties"].is_object() {
            div.wide { table {
                @for (name, field) in members(&schema["properties"]) {
                    (row(name, required(name), &kind(field), field["description"].as_str()))
                }
            } }
        }
    }
}

fn row(name: &str, required: bool, kind: &Markup, description: Option<&str>) -> Markup {
    html! {
        tr {
            td { code { (name) } @if !required { span.soft { " optional" } } }
            td.type { (kind) }
            td { (words(description.unwrap_or_default())) }
        }
    }
}

/// What a schema is, with a link to a shape that has a name.
fn kind(schema: &Value) -> Markup {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|path| path.rsplit('/').next())
    {
        return html! { a href={ "#shape-" (name) } { (name) } };
    }
    for either in ["oneOf", "anyOf", "allOf"] {
        if let Some(all) = schema[either].as_array() {
            let all = all.iter().filter(|one| one["type"] != "null");
            return html! { @for (n, one) in all.enumerate() { @if n > 0 { " or " } (kind(one)) } };
        }
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let types: Vec<&str> = types.into_iter().filter(|one| *one != "null").collect();
    html! {
        @if types == ["array"] { "list of " (kind(&schema["items"])) }
        @else if types.is_empty() { "any" }
        @else { (types.join(" or ")) }
    }
}

fn resolved<'a>(schema: &'a Value, document: &'a Value) -> &'a Value {
    let name = schema["$ref"]
        .as_str()
        .and_then(|path| path.rsplit('/').next());
    name.map_or(schema, |name| &document["components"]["schemas"][name])
}

fn shapes(document: &Value) -> Markup {
    html! {
        section #shapes {
            h2 { "Shapes" }
            @for (name, schema) in members(&document["components"]["schemas"]) {
                @if !NOT_LISTED.contains(&name.as_str()) {
                    article id={ "shape-" (name) } {
                        h3 { a href={ "#shape-" (name) } { (name) } }
                        (paragraphs(schema["description"].as_str()))
                        (fields(schema))
                    }
                }
            }
        }
    }
}

fn problems() -> Markup {
    html! {
        section #problems {
            h2 { "Problems" }
            p.soft { "Answers that are no success are " code { "application/problem+json" } "; " code { "type" } " is one of these." }
            div.wide { table {
                @for kind in Kind::ALL {
                    tr id={ "problem-" (kind.word()) } {
                        td { code { (kind.word()) } }
                        td.type { (kind.status().as_u16()) }
                        td { b { (kind.title()) "." } " " (words(kind.mend())) }
                    }
                }
            } }
        }
    }
}

/// A text with paragraphs and words of code.
fn paragraphs(text: Option<&str>) -> Markup {
    html! {
        @for paragraph in text.unwrap_or_default().split("\n\n").filter(|one| !one.trim().is_empty()) {
            p { (words(paragraph)) }
        }
    }
}

fn words(text: &str) -> Markup {
    html! {
        @for (n, part) in text.split('`').enumerate() {
            @if n % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_document_says_is_shown_as_text_and_nothing_of_it_is_markup() {
        let document = serde_json::json!({
            "info": {"description": "one\n\ntwo `code` <script>"},
            "tags": [{"name": "jobs", "description": "d"}],
            "paths": {"/v1/jobs": {"post": {
                "tags": ["jobs"], "operationId": "submit_job", "summary": "Submit <b>",
                "security": [{"key": ["produce"]}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Ask"}}}},
                "responses": {"201": {"description": "made"}, "4XX": {"description": "refused"}},
            }}},
            "components": {"schemas": {"Ask": {"required": ["a"], "properties": {
                "a": {"type": "string", "description": "its <i>"},
                "b": {"type": ["array", "null"], "items": {"type": "integer"}},
            }}}},
        });
        let page = page(&document);
        for shown in [
            "<code>code</code> &lt;script&gt;",
            "id=\"submit_job\"",
            "Submit &lt;b&gt;",
            "a key with the scope produce, or admin",
            "href=\"#shape-Ask\"",
            "its &lt;i&gt;",
            "list of integer",
            "Answer 201",
            "id=\"problem-overloaded\"",
        ] {
            assert!(page.contains(shown), "{shown}\n{page}");
        }
        assert!(!page.contains("<script") && !page.contains("4XX"));
    }
}
