//! AWS Lambda: the native binary behind the emulator's runtime API, function URL and SQS.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use selvedge_core::policy::blob;
use selvedge_emulator::runtime::lambda::{self, Function, FunctionConfig};
use selvedge_emulator::{Clock, ManualClock};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::case::{Case, Job, START, Step};
use crate::engine::{SECRET, labels, placed, policy, secrets};
use crate::http1;
use crate::origin::Origins;
use crate::{Observed, Platform, Session};

/// The variable that names the file with the time of a case.
pub const CLOCK: &str = "CONFORMANCE_CLOCK_FILE";

/// Longest time of one event: longer than any backend's timeout.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The platform `lambda`.
#[derive(Clone, Debug)]
pub struct Lambda {
    program: PathBuf,
    streams: bool,
}

impl Lambda {
    /// Takes the binary to run, and whether its function URL streams responses.
    #[must_use]
    pub fn new(program: PathBuf, streams: bool) -> Self {
        Self { program, streams }
    }
}

impl Platform for Lambda {
    fn name(&self) -> &'static str {
        "lambda"
    }

    fn joins_fields(&self) -> bool {
        true
    }

    fn start(&self, case: &Case) -> anyhow::Result<Box<dyn Session>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let origins = runtime.block_on(Origins::start(&labels(case)?, &case.unreachable))?;
        let policy = placed(policy(case)?, &origins);
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("policy.bin"), blob::encode(&policy))?;
        let output = folder.path().join("output");
        let clock_file = folder.path().join("clock");
        std::fs::write(&clock_file, START.as_millis().to_string())?;
        let clock = ManualClock::new(START);
        let mut environment: Vec<_> =
            secrets([&case.policy].into_iter()).into_iter().map(|name| (name, SECRET.to_owned())).collect();
        environment.push((CLOCK.to_owned(), clock_file.to_string_lossy().into_owned()));
        let function = Function::start(FunctionConfig {
            program: self.program.clone(),
            folder: folder.path().to_owned(),
            environment,
            queues: policy.queues.iter().map(|queue| queue.name.clone()).collect(),
            delivers: false,
            streams: self.streams,
            environments: 1,
            timeout: TIMEOUT,
            clock: Clock::Manual(clock.clone()),
            output: Some(File::create(&output)?),
        })?;
        Ok(Box::new(FunctionSession {
            runtime,
            origins,
            function,
            clock,
            clock_file,
            output,
            _folder: folder,
        }))
    }
}

struct FunctionSession {
    runtime: Runtime,
    origins: Origins,
    function: Function,
    clock: ManualClock,
    clock_file: PathBuf,
    output: PathBuf,
    _folder: TempDir,
}

impl Session for FunctionSession {
    fn send(&mut self, step: &Step) -> anyhow::Result<Observed> {
        self.clock.set(step.now);
        std::fs::write(&self.clock_file, step.now.as_millis().to_string())?;
        self.origins.set_answers(&step.answers);
        let mut observed = match &step.job {
            Some(job) => {
                Observed { status: 200, body: self.settle(job, step)?.into_bytes(), ..Observed::default() }
            }
            None => self.request(step)?,
        };
        self.runtime.block_on(self.function.deliver())?;
        observed.fetches = self.origins.take_fetches();
        Ok(observed)
    }
}

impl FunctionSession {
    /// Sends a request as CloudFront would, which takes the place of whatever a client says there.
    fn request(&self, step: &Step) -> anyhow::Result<Observed> {
        let extra = lambda::headers(&step.facts);
        let mut step = step.clone();
        step.headers.retain(|(name, _)| {
            !extra.iter().any(|(own, _)| name.eq_ignore_ascii_case(own))
                && !name.to_ascii_lowercase().starts_with("cloudfront-")
        });
        self.runtime.block_on(http1::exchange(self.function.address(), &step, &extra))
    }

    /// Does a step's job and tells what becomes of it, in the words of [`selvedge_core::job::Settlement`].
    fn settle(&self, job: &Job, step: &Step) -> anyhow::Result<String> {
        let _of_earlier_steps = self.function.take_delays();
        let lines_before = self.lines()?.len();
        let event = event(job, step);
        let result = self.runtime.block_on(self.function.invoke(event.to_string().into()))?;
        let result: Value = serde_json::from_slice(&result)?;
        if let Some(settlement) = result["settlement"].as_str() {
            return Ok(format!("{settlement}\n"));
        }
        let failures = result["batchItemFailures"].as_array().context("a batch has a list of failures")?;
        if !failures.is_empty() {
            let delays = self.function.take_delays();
            let delay = delays.first().ok_or_else(|| anyhow!("the message was not put off"))?;
            return Ok(format!("again in {} s\n", delay.as_secs()));
        }
        let lines = self.lines()?;
        let told = lines[lines_before..].iter().find(|line| line["selvedge"] == "job-failure");
        let told = told.and_then(|line| line["settlement"].as_str()).unwrap_or("done");
        Ok(format!("{told}\n"))
    }

    /// What the function wrote to its log.
    fn lines(&self) -> anyhow::Result<Vec<Value>> {
        let lines = BufReader::new(File::open(&self.output)?).lines();
        lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect()
    }
}

fn event(job: &Job, step: &Step) -> Value {
    if job.source == "schedule" {
        return json!({ "selvedge-schedule": job.name });
    }
    json!({ "Records": [{
        "messageId": "job",
        "receiptHandle": "job",
        "body": step.body,
        "attributes": { "ApproximateReceiveCount": job.attempt.to_string() },
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:us-east-1:000000000000:{}", job.name),
        "awsRegion": "us-east-1",
    }] })
}
