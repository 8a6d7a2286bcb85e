//! The emulator over real sockets: one edge, one client, and a server for each backend.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, bail};
use selvedge_emulator::{Clock, Emulator, EmulatorConfig, EngineHandle, ManualClock, PolicyInfo};
use tokio::runtime::Runtime;

use crate::case::{Case, START, Step};
use crate::engine::{compile, label, labels};
use crate::http1;
use crate::origin::Origins;
use crate::{Observed, Platform, Session};

/// How often the edge is asked whether it is done; each time is a request of its own.
const MAX_STATUS_REQUESTS: usize = 10_000;

/// The platform `emulator`.
#[derive(Clone, Copy, Debug)]
pub struct LocalEdge;

impl Platform for LocalEdge {
    fn name(&self) -> &'static str {
        "emulator"
    }

    fn start(&self, case: &Case) -> anyhow::Result<Box<dyn Session>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let labels = labels(case)?;
        let origins = runtime.block_on(Origins::start(&labels, &case.unreachable))?;
        let place = |url: &str| {
            let address = label(url).ok().and_then(|label| origins.address(label).map(|at| (label, at)));
            address.map_or_else(
                || url.to_owned(),
                |(label, at)| url.replacen(&format!("{label}.test"), &at.to_string(), 1),
            )
        };
        let engine = compile(case, place)?;
        let clock = ManualClock::new(START);
        let config = EmulatorConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            threads: Some(1),
            places: case
                .steps
                .iter()
                .filter_map(|s| s.facts.client_ip.map(|ip| (ip, s.facts.clone())))
                .collect(),
            clock: Clock::Manual(clock.clone()),
            ..EmulatorConfig::default()
        };
        let info = PolicyInfo { name: case.name.clone(), hash: String::new() };
        let emulator = Emulator::bind(config, EngineHandle::new(engine, info))?;
        let address = emulator.local_addr();
        runtime.spawn(emulator.run(std::future::pending()));
        Ok(Box::new(EdgeSession { runtime, origins, clock, address }))
    }
}

struct EdgeSession {
    runtime: Runtime,
    origins: Origins,
    clock: ManualClock,
    address: SocketAddr,
}

impl Session for EdgeSession {
    fn send(&mut self, step: &Step) -> anyhow::Result<Observed> {
        self.clock.set(step.now);
        self.origins.set_answers(&step.answers);
        let client = step.facts.client_ip.context("every client has an address")?.to_string();
        let pose = [("selvedge-client-ip", client)];
        let mut observed = self.runtime.block_on(async {
            let observed = http1::exchange(self.address, step, &pose).await?;
            settle(self.address).await?;
            anyhow::Ok(observed)
        })?;
        observed.fetches = self.origins.take_fetches();
        Ok(observed)
    }
}

/// Waits until nothing is left to do behind the responses that were sent.
pub(crate) async fn settle(address: SocketAddr) -> anyhow::Result<()> {
    let host = ("host".to_owned(), address.to_string());
    let status = Step::request("GET", "/_selvedge/", vec![host], String::new());
    for _ in 0..MAX_STATUS_REQUESTS {
        let page = http1::exchange(address, &status, &[]).await?;
        let page: serde_json::Value = serde_json::from_slice(&page.body)?;
        if page["after_response"] == 0 && page["queues"]["due"] == 0 {
            return Ok(());
        }
    }
    bail!("the edge is still busy behind its responses")
}
