//! The JSON Schema of `edge.toml`, generated from the raw types.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::raw;

/// Returns the schema in the dialect of JSON Schema 2020-12.
///
/// It is what [`read`](super::read::read) itself checks structure by, so that an editor
/// that uses it accepts the same keys, types and values.
#[must_use]
pub fn json_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    generator.into_root_schema_for::<raw::Policy>().to_value()
}

/// Returns the schema as indented text with a line break at its end.
#[must_use]
pub fn json_schema_text() -> String {
    format!("{:#}\n", json_schema())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_schema_is_the_generated_one() {
        let shipped = include_str!("../../edge.schema.json");
        assert!(
            shipped == json_schema_text(),
            "core/edge.schema.json is out of date: run `cargo xtask schema`"
        );
    }
}
