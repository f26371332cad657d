//! JSON Schema, draft 2020-12.
//!
//! References lead only into the schema itself: nothing is fetched. `pattern` takes regular
//! expressions of linear time, without look-arounds and back references. `format` is an
//! annotation, as the draft has it by default.

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

use crate::error::{DocumentError, Result, SchemaViolation};

/// Violations that one error lists.
pub const VIOLATIONS_MAX: usize = 10;
/// Characters of one violation's message.
const MESSAGE_CHARS_MAX: usize = 500;

/// A schema ready to validate.
#[derive(Debug)]
pub(crate) struct Schema {
    validator: Validator,
}

impl Schema {
    pub(crate) fn compile(schema: &Value) -> Result<Schema> {
        let error = |reason: String| DocumentError::definition("schema", reason);
        jsonschema::draft202012::meta::validate(schema)
            .map_err(|cause| error(format!("at \"{}\": {cause}", cause.instance_path())))?;
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(PatternOptions::regex())
            .build(schema)
            .map_err(|cause| error(cause.to_string()))?;
        Ok(Schema { validator })
    }

    pub(crate) fn check(&self, collection: &str, body: &Value) -> Result<()> {
        if self.validator.is_valid(body) {
            return Ok(());
        }
        let violations = self
            .validator
            .iter_errors(body)
            .take(VIOLATIONS_MAX)
            .map(|error| SchemaViolation {
                instance_path: error.instance_path().to_string(),
                keyword: error.kind().keyword().to_owned(),
                message: error.to_string().chars().take(MESSAGE_CHARS_MAX).collect(),
            })
            .collect();
        Err(DocumentError::Schema {
            collection: collection.to_owned(),
            violations,
        })
    }
}
