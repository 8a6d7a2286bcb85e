//! The public HTTP cache test suite on our caches; `selvedge_conformance::http_cache` says more.

use selvedge_conformance::http_cache::edge::Platform;
use selvedge_conformance::http_cache::known;
use selvedge_conformance::http_cache::suite::{Log, Suite};
use selvedge_conformance::http_cache::verdict::Judgement;

fn judge(platform: Platform) -> anyhow::Result<()> {
    let suite = Suite::find()?;
    let catalogue = suite.catalogue()?;
    let results = suite.run(platform, &[], Log::Off)?;
    let outcomes = Judgement::new(&catalogue, &results).outcomes();
    let differences = known::differences(outcomes, &known::load(platform)?);
    assert!(
        differences.is_empty(),
        "{platform} differs from http-cache/known/{platform}.toml:\n{}",
        differences.join("\n")
    );
    Ok(())
}

#[test]
fn the_emulator_fails_where_it_is_known_to_and_nowhere_else() -> anyhow::Result<()> {
    judge(Platform::Emulator)
}

#[test]
fn the_worker_on_cloudflare_fails_where_it_is_known_to_and_nowhere_else() -> anyhow::Result<()> {
    judge(Platform::Cloudflare)
}
