//! Cases as they are written, and as they run.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use selvedge_core::facts::{Continent, Coordinates, CountryCode, Facts};
use selvedge_core::time::Timestamp;
use serde::Deserialize;

/// The host that requests name unless they say otherwise.
pub const HOST: &str = "shop.example.com";

/// The headers that requests have unless they say otherwise: those of a browser, so that it counts as a person's.
pub const BROWSER: [(&str, &str); 4] = [
    ("host", HOST),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "text/html,*/*;q=0.8"),
    ("accept-language", "en"),
];

/// The folder that says, in a file of its own for each platform, which cases the platform cannot run.
pub const SKIPS: &str = "skips";

/// When every case begins: 2026-01-15T12:00:00Z.
pub const START: Timestamp = Timestamp::from_millis(1_768_478_400_000);

/// A case, ready to run.
#[derive(Clone, Debug)]
pub struct Case {
    /// Unique name: the file's, a slash, and the case's own.
    pub name: String,
    /// Why the expectation is what it is.
    pub why: String,
    /// Text of the policy.
    pub policy: String,
    /// Platforms that cannot run it, with the reason.
    pub skip: Vec<Skip>,
    /// Backends, by label, to which no connection can be made.
    pub unreachable: Vec<String>,
    /// The requests, in order.
    pub steps: Vec<Step>,
}

/// A platform that a case is not for.
#[derive(Clone, Debug)]
pub struct Skip {
    /// The platform's name.
    pub platform: String,
    /// Why it cannot run the case.
    pub reason: String,
}

/// One request and what must come of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// When it is sent, after the first.
    pub now: Timestamp,
    /// What the platform knows about the client; the address is always there.
    pub facts: Facts,
    /// The job that is done in place of a request: the step's body is its message, and what becomes of it the answer's body.
    pub job: Option<Job>,
    /// The method.
    pub method: String,
    /// The target as it stands in the request line.
    pub target: String,
    /// The header fields, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// What backends answer, by label.
    pub answers: BTreeMap<String, Answer>,
    /// What must come of it.
    pub expect: Expect,
}

impl Step {
    /// A request by itself at [`START`], of which nothing but its answer is of interest.
    #[must_use]
    pub fn request(method: &str, target: &str, headers: Vec<(String, String)>, body: String) -> Self {
        Self {
            now: START,
            facts: Facts::default(),
            job: None,
            method: method.to_owned(),
            target: target.to_owned(),
            headers,
            body,
            answers: BTreeMap::new(),
            expect: Expect::default(),
        }
    }
}

/// A job of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// `queue` or `schedule`.
    pub source: String,
    /// Name of the queue or the schedule.
    pub name: String,
    /// Which attempt it is.
    pub attempt: u32,
}

/// What a backend answers. Default: status 200, no headers, body `from LABEL`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Answer {
    /// The status.
    pub status: Option<u16>,
    /// The header fields.
    pub headers: BTreeMap<String, OneOrMany>,
    /// The body.
    pub body: Option<String>,
    /// What goes wrong instead.
    pub error: Option<AnswerError>,
}

/// How a backend fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerError {
    /// It never answers; give the backend a short `timeout`.
    Timeout,
    /// It closes the connection in place of an answer.
    Protocol,
}

/// What must come of a request; what is not named is not compared.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    /// The status.
    pub status: u16,
    /// The reason's code, from the detail of `Cache-Status`.
    pub reason: Option<String>,
    /// How the cache handled it: `hit`, `local`, or the reason for forwarding (`uri-miss`, `stale`, ...).
    pub cache: Option<String>,
    /// Whether the response was stored.
    pub stored: Option<bool>,
    /// The whole body.
    pub body: Option<String>,
    /// Part of the body.
    pub body_contains: Option<String>,
    /// Fields with all their values.
    #[serde(default)]
    pub headers: BTreeMap<String, OneOrMany>,
    /// Fields of which some value contains a text.
    #[serde(default)]
    pub headers_contain: BTreeMap<String, String>,
    /// Fields that must not be there.
    #[serde(default)]
    pub absent: Vec<String>,
    /// Every request that backends received, in order.
    pub fetches: Option<Vec<ExpectFetch>>,
}

/// A request that a backend must receive.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum ExpectFetch {
    /// `"LABEL METHOD TARGET"`.
    Line(String),
    /// The line and more.
    Table(ExpectFetchTable),
}

/// A request that a backend must receive, in detail.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ExpectFetchTable {
    /// `"LABEL METHOD TARGET"`.
    pub line: String,
    /// Fields with all their values.
    pub headers: BTreeMap<String, OneOrMany>,
    /// Fields that must not be there.
    pub absent: Vec<String>,
    /// The whole body.
    pub body: Option<String>,
}

/// One text or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several, or none.
    Many(Vec<String>),
}

impl OneOrMany {
    /// Returns all texts.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawFile {
    policy: String,
    #[serde(rename = "case")]
    cases: Vec<RawCase>,
}

/// A file of [`SKIPS`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawSkips {
    #[serde(rename = "skip")]
    skips: Vec<RawSkip>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawSkip {
    reason: String,
    cases: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawCase {
    name: String,
    why: String,
    policy: Option<String>,
    #[serde(default)]
    unreachable: Vec<String>,
    #[serde(rename = "step")]
    steps: Vec<RawStep>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawStep {
    after: Option<u64>,
    #[serde(default)]
    client: Client,
    request: Option<String>,
    job: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, OneOrMany>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    answers: BTreeMap<String, Answer>,
    expect: Expect,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Client {
    ip: Option<IpAddr>,
    country: Option<String>,
    continent: Option<String>,
    region: Option<String>,
    city: Option<String>,
    coordinates: Option<[f64; 2]>,
    time_zone: Option<String>,
    asn: Option<u32>,
    https: Option<bool>,
    bot_score: Option<u8>,
    verified_bot: Option<bool>,
}

/// Reads every case of a folder, files in order of name, and what the folder [`SKIPS`] beside it says about them.
///
/// # Errors
/// The message names the file, and the case where one is to blame.
pub fn load(folder: &Path) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (stem, text) in read_all(folder)? {
        cases.extend(parse(&stem, &text).with_context(|| format!("{stem}.toml"))?);
    }
    for (platform, text) in read_all(&folder.with_file_name(SKIPS))? {
        skip(&mut cases, &platform, &text).with_context(|| format!("{SKIPS}/{platform}.toml"))?;
    }
    Ok(cases)
}

/// The names, without their ending, and the texts of a folder's TOML files.
fn read_all(folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths: Vec<_> = entries.iter().map(std::fs::DirEntry::path).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Ok((stem, text))
    };
    paths.iter().map(read).collect()
}

/// Marks the cases that a platform cannot run.
fn skip(cases: &mut [Case], platform: &str, text: &str) -> anyhow::Result<()> {
    let RawSkips { skips } = toml::from_str(text)?;
    for RawSkip { reason, cases: names } in skips {
        ensure!(reason.len() > 10, "the reason `{reason}` says nothing");
        for name in names {
            let case = cases.iter_mut().find(|case| case.name == name);
            let case = case.with_context(|| format!("there is no case `{name}`"))?;
            case.skip.push(Skip { platform: platform.to_owned(), reason: reason.clone() });
        }
    }
    Ok(())
}

/// Reads the text of one file of cases.
///
/// # Errors
/// When it is not such a file; the message names the case.
pub fn parse(file: &str, text: &str) -> anyhow::Result<Vec<Case>> {
    let RawFile { policy, cases } = toml::from_str(text)?;
    let convert = |raw: RawCase| {
        let name = format!("{file}/{}", raw.name);
        convert(name.clone(), &policy, raw).with_context(|| format!("case `{name}`"))
    };
    cases.into_iter().map(convert).collect()
}

fn convert(name: String, policy: &str, raw: RawCase) -> anyhow::Result<Case> {
    ensure!(raw.why.len() > 10, "`why` says nothing");
    ensure!(!raw.steps.is_empty(), "there is no step");
    let policy = raw.policy.as_deref().unwrap_or(policy);
    let policy = if policy == "storefront" { crate::engine::STOREFRONT } else { policy }.to_owned();
    let mut now = START;
    let mut clients = Vec::new();
    let mut steps = Vec::new();
    for step in raw.steps {
        now = now + Duration::from_secs(step.after.unwrap_or(0));
        let address = address_of(&step.client, &mut clients)?;
        steps.push(convert_step(step, now, address)?);
    }
    Ok(Case { name, why: raw.why, policy, skip: Vec::new(), unreachable: raw.unreachable, steps })
}

/// Clients with different facts have different addresses: a platform that is told facts by address needs that.
fn address_of(client: &Client, known: &mut Vec<(IpAddr, Client)>) -> anyhow::Result<IpAddr> {
    if let Some((address, _)) = known.iter().find(|(_, known)| known == client) {
        return Ok(*address);
    }
    let number = u8::try_from(known.len() + 1).context("too many clients")?;
    let address = client.ip.unwrap_or(IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)));
    ensure!(
        known.iter().all(|(taken, _)| *taken != address),
        "the client {address} has other facts in another step"
    );
    known.push((address, client.clone()));
    Ok(address)
}

fn convert_step(raw: RawStep, now: Timestamp, address: IpAddr) -> anyhow::Result<Step> {
    let job = raw.job.as_deref().map(parse_job).transpose()?;
    let request = match (&raw.request, &job) {
        (Some(request), None) => request.clone(),
        (None, Some(job)) => format!("POST /_selvedge/jobs/{}/{}/{}", job.source, job.name, job.attempt),
        (Some(_), Some(_)) | (None, None) => bail!("a step has either a `request` or a `job`"),
    };
    let Some((method, target)) = request.split_once(' ') else {
        bail!("`request` is METHOD TARGET, not `{request}`");
    };
    let mut headers = Vec::new();
    for (name, value) in BROWSER {
        if !raw.headers.keys().any(|given| given.eq_ignore_ascii_case(name)) {
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    for (name, values) in raw.headers {
        headers.extend(values.as_slice().iter().map(|value| (name.clone(), value.clone())));
    }
    let has = |wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    if !raw.body.is_empty() && !has("content-length") && !has("transfer-encoding") {
        headers.push(("content-length".to_owned(), raw.body.len().to_string()));
    }
    Ok(Step {
        job,
        now,
        facts: facts(&raw.client, address)?,
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        body: raw.body,
        answers: raw.answers,
        expect: raw.expect,
    })
}

/// Reads `queue NAME ATTEMPT` or `schedule NAME`.
fn parse_job(text: &str) -> anyhow::Result<Job> {
    let parts: Vec<_> = text.split(' ').collect();
    let (source, name, attempt) = match parts[..] {
        ["queue", name, attempt] => ("queue", name, attempt.parse()?),
        ["schedule", name] => ("schedule", name, 1),
        _ => bail!("`job` is `queue NAME ATTEMPT` or `schedule NAME`, not `{text}`"),
    };
    Ok(Job { source: source.to_owned(), name: name.to_owned(), attempt })
}

fn facts(client: &Client, address: IpAddr) -> anyhow::Result<Facts> {
    let mut facts = Facts::default();
    facts.client_ip = Some(address);
    facts.is_https = Some(client.https.unwrap_or(false));
    if let Some(code) = &client.country {
        facts.country = Some(CountryCode::new(code).with_context(|| format!("no country {code}"))?);
    }
    if let Some(code) = &client.continent {
        facts.continent = Some(Continent::new(code).with_context(|| format!("no continent {code}"))?);
    }
    if let Some([latitude, longitude]) = client.coordinates {
        facts.coordinates = Some(Coordinates::new(latitude, longitude).context("no such coordinates")?);
    }
    facts.region.clone_from(&client.region);
    facts.city.clone_from(&client.city);
    facts.time_zone.clone_from(&client.time_zone);
    facts.asn = client.asn;
    facts.bot_score = client.bot_score;
    facts.is_verified_bot = client.verified_bot;
    facts.protocol = Some("HTTP/1.1".to_owned());
    Ok(facts)
}
