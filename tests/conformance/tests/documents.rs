//! What the documents show is valid.

use std::path::Path;

use selvedge_conformance::case::parse;
use selvedge_core::policy::read::read;

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The contents of the blocks that are marked as TOML.
fn blocks(text: &str) -> Vec<String> {
    let parts = text.split("```toml\n").skip(1);
    parts.filter_map(|part| part.split_once("\n```").map(|(block, _)| format!("{block}\n"))).collect()
}

#[test]
fn the_policies_of_the_readmes_have_no_errors() {
    for file in
        ["README.md", "adapters/cloudflare/README.md", "core/src/cache/how.md", "core/src/health/how.md"]
    {
        let blocks = blocks(&text(file));
        assert!(!blocks.is_empty(), "{file} shows a policy");
        for block in blocks {
            let errors = read(&block).map_or_else(|errors| errors.to_string(), |_| String::new());
            assert_eq!(errors, "", "{file}: {block}");
        }
    }
}

#[test]
fn the_case_of_the_suite_s_readme_is_one() {
    let blocks = blocks(&text("tests/conformance/README.md"));
    assert!(!blocks.is_empty(), "the README shows a case");
    for block in blocks {
        let file = format!("policy = \"storefront\"\n{block}");
        assert_eq!(
            parse("readme", &file).map(|cases| cases.len()).map_err(|error| format!("{error:#}")),
            Ok(1)
        );
    }
}

#[test]
fn the_template_of_a_new_project_has_no_errors() {
    let policy = text("deploy/templates/new/edge.toml").replace("{{name}}", "my-edge");
    assert!(read(&policy).is_ok(), "{}", read(&policy).map_or_else(|e| e.to_string(), |_| String::new()));
}
