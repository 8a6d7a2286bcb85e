//! Lambda@Edge: the functions on a real Node.js, and the emulator's CloudFront before them.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use selvedge_cloudfront::policy::distribution::{Distribution, Geography};
use selvedge_core::policy::{Policy, blob};
use selvedge_emulator::runtime::Platform as Runtime;
use selvedge_emulator::runtime::cloudfront::{CloudFront, program};
use selvedge_emulator::{Clock, Emulator, EmulatorConfig, EngineHandle, ManualClock, PolicyInfo};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::build;
use crate::case::{Case, START, Step};
use crate::emulator::settle;
use crate::engine::{SECRET, compile, label, labels, policy};
use crate::http1;
use crate::origin::Origins;
use crate::{Observed, Platform, Session};

/// Runs every case's functions in one process; see the file itself.
const SERVE: &str = include_str!("serve.mjs");

/// The platform `lambda-edge`.
pub struct LambdaEdge {
    functions: Arc<Functions>,
}

/// The process that runs functions.
struct Functions {
    child: Child,
    control: SocketAddr,
    _folder: TempDir,
}

impl LambdaEdge {
    /// Builds the bundle and starts Node.js.
    ///
    /// # Errors
    /// When a part is missing; the message says which command brings it.
    pub fn start(cases: &[Case]) -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let folder = tempfile::tempdir()?;
        let bundle = folder.path().join("dist");
        build::handlers(&root, "lambda-edge", "edge-only.toml", &bundle)?;
        let secrets: serde_json::Map<_, _> = crate::engine::secrets(cases.iter().map(|case| &case.policy))
            .into_iter()
            .map(|name| (name, Value::from(SECRET)))
            .collect();
        let mut child = Command::new(program(&root.join("deploy"))?)
            .args(["--input-type=module", "--eval", SERVE])
            .arg(Value::Object(secrets).to_string())
            .current_dir(&bundle)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run Node.js")?;
        let output = child.stdout.take().context("the output is piped")?;
        let line = BufReader::new(output).lines().next().context("Node.js did not start")??;
        let port =
            serde_json::from_str::<Value>(&line)?["port"].as_u64().context("Node.js tells its port")?;
        let control = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port)?));
        Ok(Self { functions: Arc::new(Functions { child, control, _folder: folder }) })
    }
}

impl Platform for LambdaEdge {
    fn name(&self) -> &'static str {
        "lambda-edge"
    }

    fn start(&self, case: &Case) -> anyhow::Result<Box<dyn Session>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let labels = labels(case)?;
        let origins = runtime.block_on(Origins::start(&labels, &case.unreachable))?;
        let policy = placed(case, &origins)?;
        // A distribution either sends every viewer to `https` or tells nobody the scheme before its cache.
        let https_only = case.steps.iter().all(|step| step.facts.is_https == Some(true));
        let told = json!({ "policy": STANDARD.encode(blob::encode(&policy)), "httpsOnly": https_only });
        let port =
            runtime.block_on(self.functions.tell(&told))?["port"].as_u64().context("a case has a port")?;
        let functions = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port)?));
        let distribution = Distribution::of(&policy, Geography::Platform);
        let distribution = if https_only { distribution } else { distribution.with_http() };
        let clock = ManualClock::new(START);
        let places = case.steps.iter().filter_map(|s| s.facts.client_ip.map(|ip| (ip, s.facts.clone())));
        let config = EmulatorConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            threads: Some(1),
            places: places.collect(),
            clock: Clock::Manual(clock.clone()),
            runtime: Some(Runtime::CloudFront(CloudFront::new(distribution, functions))),
            ..EmulatorConfig::default()
        };
        let info = PolicyInfo { name: case.name.clone(), hash: String::new() };
        let emulator = Emulator::bind(config, EngineHandle::new(compile(case, str::to_owned)?, info))?;
        let address = emulator.local_addr();
        runtime.spawn(emulator.run(std::future::pending()));
        let functions = Arc::clone(&self.functions);
        Ok(Box::new(EdgeSession { runtime, origins, clock, address, functions, port }))
    }
}

/// The case's policy with backends where they are; CloudFront takes names for them and no addresses.
fn placed(case: &Case, origins: &Origins) -> anyhow::Result<Policy> {
    let mut policy = policy(case)?;
    for url in policy.backends.iter_mut().flat_map(|backend| &mut backend.urls) {
        let label = label(url)?.to_owned();
        let port = origins.address(&label).context("every label has a server")?.port();
        *url = url.replacen(&format!("{label}.test"), &format!("localhost:{port}"), 1);
    }
    Ok(policy)
}

impl Functions {
    /// Tells the process something and returns its answer.
    async fn tell(&self, told: &Value) -> anyhow::Result<Value> {
        let body = told.to_string();
        let length = ("content-length".to_owned(), body.len().to_string());
        let headers = vec![("host".to_owned(), self.control.to_string()), length];
        let request = Step::request("POST", "/", headers, body);
        let answer: Value =
            serde_json::from_slice(&http1::exchange(self.control, &request, &[]).await?.body)?;
        ensure!(answer["error"].is_null(), "Node.js says {}", answer["error"]);
        Ok(answer)
    }
}

impl Drop for Functions {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is not left behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct EdgeSession {
    runtime: tokio::runtime::Runtime,
    origins: Origins,
    clock: ManualClock,
    address: SocketAddr,
    functions: Arc<Functions>,
    port: u64,
}

impl Session for EdgeSession {
    fn send(&mut self, step: &Step) -> anyhow::Result<Observed> {
        ensure!(step.job.is_none(), "Lambda@Edge has no jobs");
        self.clock.set(step.now);
        self.origins.set_answers(&step.answers);
        let client = step.facts.client_ip.context("every client has an address")?.to_string();
        let pose = [("selvedge-client-ip", client)];
        let time = json!({ "port": self.port, "now": step.now.as_millis() });
        let mut observed = self.runtime.block_on(async {
            self.functions.tell(&time).await?;
            let observed = http1::exchange(self.address, step, &pose).await?;
            settle(self.address).await?;
            anyhow::Ok(observed)
        })?;
        observed.fetches = self.origins.take_fetches();
        Ok(observed)
    }
}
