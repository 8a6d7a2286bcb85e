//! The function's processes.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::api::Invocations;
use super::sqs::{ACCOUNT, REGION};
use super::{FunctionConfig, cloudfront};

/// How long a process that ended is left alone, so that one that cannot start does not use up the machine.
const PAUSE: Duration = Duration::from_millis(500);

/// Tells whoever started a function that it is ready, or why it is not.
#[derive(Debug)]
pub(super) struct Starting(Sender<anyhow::Result<()>>);

impl Starting {
    pub(super) fn new(sender: Sender<anyhow::Result<()>>) -> Self {
        Self(sender)
    }

    pub(super) fn succeeded(self) {
        // Whoever started the function may have given up.
        let _: Result<_, _> = self.0.send(Ok(()));
    }

    fn failed(&self, error: anyhow::Error) {
        let _: Result<_, _> = self.0.send(Err(error));
    }
}

/// Keeps processes running. One that ends is started again, as Lambda does with the next event.
pub(super) async fn run(
    config: FunctionConfig,
    api: SocketAddr,
    sqs: SocketAddr,
    invocations: Arc<Invocations>,
    starting: Starting,
) {
    let failed = Starting(starting.0.clone());
    invocations.tell_ready(starting);
    let mut running = JoinSet::new();
    let config = Arc::new(config);
    for _ in 0..config.environments.max(1) {
        match start(&config, api, sqs) {
            Ok(child) => drop(running.spawn(wait(child))),
            Err(error) => return failed.failed(error),
        }
    }
    while let Some(ended) = running.join_next().await {
        let how = ended.unwrap_or_else(|error| error.to_string());
        tracing::error!("a process of the function ended ({how}); it is started again");
        failed.failed(anyhow!("{} ended ({how}); what it said is above", config.program.display()));
        invocations.fail_open(&format!("Runtime exited: {how}"));
        tokio::time::sleep(PAUSE).await;
        match start(&config, api, sqs) {
            Ok(child) => drop(running.spawn(wait(child))),
            Err(error) => tracing::error!("{error:#}"),
        }
    }
}

async fn wait(mut child: Child) -> String {
    child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string())
}

fn start(config: &FunctionConfig, api: SocketAddr, sqs: SocketAddr) -> anyhow::Result<Child> {
    let program = config.program.display();
    let output = match &config.output {
        Some(file) => Stdio::from(file.try_clone().context("cannot share the file of the output")?),
        None => Stdio::inherit(),
    };
    let mut command = Command::new(&config.program);
    command.current_dir(&config.folder).stdin(Stdio::null()).stdout(output).kill_on_drop(true);
    command.envs(variables(config, api, sqs)).envs(config.environment.iter().cloned());
    command.spawn().with_context(|| format!("cannot run {program}"))
}

/// The [variables](https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html) that Lambda sets, and
/// those that a deployment does.
fn variables(config: &FunctionConfig, api: SocketAddr, sqs: SocketAddr) -> Vec<(String, String)> {
    let mode = if config.streams { "RESPONSE_STREAM" } else { "BUFFERED" };
    let folder = config.folder.to_string_lossy();
    let endpoint = format!("http://{sqs}");
    let fixed = [
        ("AWS_LAMBDA_RUNTIME_API", api.to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", "local".to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", "LOCAL".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        ("AWS_SESSION_TOKEN", "local".to_owned()),
        ("AWS_ENDPOINT_URL_SQS", endpoint.clone()),
        ("LAMBDA_TASK_ROOT", folder.into_owned()),
        ("SELVEDGE_INVOKE_MODE", mode.to_owned()),
        ("SELVEDGE_CLOUDFRONT_SECRET", cloudfront::SECRET.to_owned()),
    ];
    let queues = config.queues.iter().map(|queue| {
        let name = queue.to_ascii_uppercase().replace('-', "_");
        (format!("SELVEDGE_QUEUE_{name}"), format!("{endpoint}/{ACCOUNT}/{queue}"))
    });
    fixed.map(|(name, value)| (name.to_owned(), value)).into_iter().chain(queues).collect()
}
