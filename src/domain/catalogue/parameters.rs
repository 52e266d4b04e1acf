//! The parameters of one tool: their JSON Schema, their defaults, and what is refused.

use jsonschema::{Draft, ValidationError, Validator};
use serde_json::{Map, Value, json};

use super::Refusal;
use crate::domain::canonical::canonical_map;
use crate::domain::nearest::did_you_mean;

/// Longest message about one value; the value itself may be a whole prompt.
const MESSAGE_CHARS_MAX: usize = 300;

/// Name of the length of the output, made for every tool that is priced per second.
pub const DURATION_MS: &str = "duration_ms";
/// Name of the number of outputs, made for every tool that can give several.
pub const COUNT: &str = "count";
/// Name of the object that steers the simulated provider.
pub const SIM: &str = "sim";

/// What a tool takes.
#[derive(Debug, Clone)]
pub struct Parameters {
    schema: Value,
    properties: Map<String, Value>,
    required: Vec<String>,
    validator: Validator,
}

impl Parameters {
    /// Builds the schema of a tool from its properties. The error names the property (none when
    /// it is the whole) and says what is wrong with it.
    pub(super) fn new(
        properties: Map<String, Value>,
        required: Vec<String>,
    ) -> Result<Self, Vec<(Option<String>, String)>> {
        let faulty: Vec<_> = properties
            .iter()
            .filter_map(|(name, schema)| Some((Some(name.clone()), fault_of(schema)?)))
            .collect();
        if !faulty.is_empty() {
            return Err(faulty);
        }
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        });
        let validator = compile(&schema).map_err(|message| vec![(None, message)])?;
        Ok(Self {
            schema,
            properties,
            required,
            validator,
        })
    }

    /// The JSON Schema of the whole object, for people and for programs.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// The names that must be sent.
    pub fn required(&self) -> &[String] {
        &self.required
    }

    /// The schema of one parameter.
    pub fn property(&self, name: &str) -> Option<&Value> {
        self.properties.get(name)
    }

    /// Reads a value as it is typed on a command line: a text where the parameter takes texts
    /// only, JSON otherwise, and the text itself where it is no JSON.
    pub fn value_from_text(&self, name: &str, text: &str) -> Value {
        let takes_text = self
            .property(name)
            .is_some_and(|schema| schema["type"] == "string");
        let parsed = if takes_text {
            None
        } else {
            serde_json::from_str(text).ok()
        };
        parsed.unwrap_or_else(|| Value::String(text.to_owned()))
    }

    /// The parameters of a request with defaults filled in and whole numbers as integers, or the
    /// first reason to refuse them.
    pub(super) fn complete(
        &self,
        sent: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Refusal> {
        if let Some(name) = sent
            .keys()
            .find(|name| !self.properties.contains_key(*name))
        {
            return Err(self.unknown(name));
        }
        let missing = |name: &&String| !sent.contains_key(*name) && self.default_of(name).is_none();
        if let Some(name) = self.required.iter().find(missing) {
            return Err(refused(pointer_to(name), "is required".to_owned()));
        }
        let mut params = canonical_map(sent.clone());
        for name in self.properties.keys() {
            if let (false, Some(default)) = (params.contains_key(name), self.default_of(name)) {
                params.insert(name.clone(), default.clone());
            }
        }
        let instance = Value::Object(params);
        if let Err(error) = self.validator.validate(&instance) {
            return Err(refused(
                error.instance_path().as_str().to_owned(),
                message_of(&error),
            ));
        }
        match instance {
            Value::Object(params) => Ok(params),
            other => Err(refused(String::new(), format!("{other} is not an object"))),
        }
    }

    fn default_of(&self, name: &str) -> Option<&Value> {
        self.property(name)?.get("default")
    }

    fn unknown(&self, name: &str) -> Refusal {
        if name == SIM {
            let message = "is taken only where dev.allow_sim is true in the settings";
            return refused(pointer_to(name), message.to_owned());
        }
        let mut mend = did_you_mean(name, self.properties.keys().map(String::as_str));
        if mend.is_empty() {
            let known: Vec<&str> = self.properties.keys().map(String::as_str).collect();
            mend = format!("; it takes {}", known.join(", "));
        }
        refused(
            pointer_to(name),
            format!("is not a parameter of this tool{mend}"),
        )
    }
}

/// What is wrong with the schema of one property, its default included.
fn fault_of(schema: &Value) -> Option<String> {
    let validator = match compile(schema) {
        Ok(validator) => validator,
        Err(message) => return Some(message),
    };
    let error = validator.validate(schema.get("default")?).err()?;
    Some(format!(
        "its default does not fit it: {}",
        message_of(&error)
    ))
}

fn compile(schema: &Value) -> Result<Validator, String> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .build(schema)
        .map_err(|error| format!("is not a JSON Schema: {}", message_of(&error)))
}

fn refused(pointer: String, message: String) -> Refusal {
    Refusal::BadParameter { pointer, message }
}

fn message_of(error: &ValidationError<'_>) -> String {
    error.to_string().chars().take(MESSAGE_CHARS_MAX).collect()
}

/// The JSON pointer of a member of the parameters (RFC 6901).
fn pointer_to(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(properties: Value, required: &[&str]) -> Parameters {
        let Value::Object(properties) = properties else {
            panic!("properties are an object")
        };
        let required = required.iter().map(|&name| name.to_owned()).collect();
        Parameters::new(properties, required).unwrap()
    }

    fn sample() -> Parameters {
        parameters(
            json!({
                "prompt": {"type": "string", "minLength": 1},
                "duration_ms": {"type": "integer", "minimum": 1, "maximum": 10_000},
                "resolution": {"enum": ["480p", "720p"], "default": "720p"},
                "image_url": {"type": "string", "format": "uri"},
            }),
            &["prompt", "duration_ms"],
        )
    }

    fn complete(sent: Value) -> Result<Value, Refusal> {
        let Value::Object(sent) = sent else {
            panic!("parameters are an object")
        };
        sample().complete(&sent).map(Value::Object)
    }

    #[test]
    fn defaults_are_filled_in_and_numbers_are_canonical() {
        assert_eq!(
            complete(json!({"prompt": "x", "duration_ms": 5000.0})).unwrap(),
            json!({"prompt": "x", "duration_ms": 5000, "resolution": "720p"})
        );
    }

    #[test]
    fn each_fault_names_its_parameter() {
        for (sent, at, part) in [
            (json!({"prompt": "x"}), "/duration_ms", "is required"),
            (
                json!({"prompt": "", "duration_ms": 1}),
                "/prompt",
                "shorter",
            ),
            (json!({"prompt": 5, "duration_ms": 1}), "/prompt", "string"),
            (
                json!({"prompt": "x", "duration_ms": 0}),
                "/duration_ms",
                "minimum",
            ),
            (
                json!({"prompt": "x", "duration_ms": 1.5}),
                "/duration_ms",
                "integer",
            ),
            (
                json!({"prompt": "x", "duration_ms": "1"}),
                "/duration_ms",
                "integer",
            ),
            (
                json!({"prompt": "x", "duration_ms": 1, "resolution": "8k"}),
                "/resolution",
                "480p",
            ),
            (
                json!({"prompt": "x", "duration_ms": 1, "image_url": "no url"}),
                "/image_url",
                "uri",
            ),
            (json!({"promt": "x"}), "/promt", "did you mean \"prompt\""),
            (
                json!({"a/b~c": 1}),
                "/a~1b~0c",
                "it takes duration_ms, image_url",
            ),
            (json!({"sim": {}}), "/sim", "dev.allow_sim"),
        ] {
            let Err(Refusal::BadParameter { pointer, message }) = complete(sent.clone()) else {
                panic!("{sent} was let through");
            };
            assert_eq!(pointer, at, "{sent}");
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_long_value_does_not_fill_the_message() {
        let sent = json!({"prompt": "x", "duration_ms": "9".repeat(10_000)});
        let Err(Refusal::BadParameter { message, .. }) = complete(sent) else {
            panic!("a text is no duration");
        };
        assert_eq!(message.chars().count(), MESSAGE_CHARS_MAX);
    }

    #[test]
    fn values_on_a_command_line_follow_the_type_of_their_parameter() {
        let parameters = sample();
        for (name, text, value) in [
            ("prompt", "123", json!("123")),
            ("prompt", "{}", json!("{}")),
            ("duration_ms", "5000", json!(5000)),
            ("duration_ms", "soon", json!("soon")),
            ("resolution", "720p", json!("720p")),
            ("sim", "{\"delay_ms\":9}", json!({"delay_ms": 9})),
        ] {
            assert_eq!(
                parameters.value_from_text(name, text),
                value,
                "{name}={text}"
            );
        }
    }

    #[test]
    fn a_schema_that_is_none_is_reported_with_its_property() {
        for (schema, part) in [
            (json!({"type": "strnig"}), "not a JSON Schema"),
            (
                json!({"type": "string", "pattern": "("}),
                "not a JSON Schema",
            ),
            (
                json!({"type": "string", "format": "url"}),
                "not a JSON Schema",
            ),
            (
                json!({"type": "integer", "default": "x"}),
                "its default does not fit it",
            ),
        ] {
            let properties = Map::from_iter([("odd".to_owned(), schema.clone())]);
            let faults = Parameters::new(properties, Vec::new()).unwrap_err();
            assert_eq!(faults[0].0.as_deref(), Some("odd"), "{schema}");
            assert!(faults[0].1.contains(part), "{}", faults[0].1);
        }
    }
}
