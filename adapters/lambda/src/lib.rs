//! AWS Lambda in a region: a native host for [`selvedge_core`].
//!
//! One binary answers function URLs, API Gateway and load balancers, takes batches of SQS queues, is told of the times of
//! schedules, and says what the policy does with CloudFront's events. The compiled policy lies beside it in `policy.bin`, so that another policy needs no compiling.
//! It decides nothing about a request.

use std::process::ExitCode;

use selvedge_core::engine::EngineBuilder;
use selvedge_core::time::Timestamp;

mod answer;
mod body;
mod cloudfront;
mod effects;
mod event;
mod facts;
mod fields;
mod function;
mod jobs;
mod observed;
mod request;
mod response;
mod runtime;
mod settings;
mod sqs;
mod stream;

use function::Function;
use settings::Settings;

/// A function, before it runs.
pub struct Lambda {
    handlers: fn(EngineBuilder) -> EngineBuilder,
    clock: fn() -> Timestamp,
}

/// Runs with the handlers that the policy names until Lambda ends the process.
pub fn run(handlers: fn(EngineBuilder) -> EngineBuilder) -> ExitCode {
    Lambda::new(handlers).run()
}

impl Lambda {
    /// Prepares a function with the handlers that its policy names.
    #[must_use]
    pub fn new(handlers: fn(EngineBuilder) -> EngineBuilder) -> Self {
        Self { handlers, clock: effects::system_time }
    }

    /// Reads the time that the policy sees from elsewhere than the machine's clock, for tests.
    #[must_use]
    pub fn clock(mut self, clock: fn() -> Timestamp) -> Self {
        self.clock = clock;
        self
    }

    /// Runs until Lambda ends the process.
    ///
    /// A policy that is missing or cannot be used ends it at once, with the reason on the standard error, which
    /// Lambda writes to the function's log.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let function = Settings::from_environment().and_then(|settings| {
            let engine = settings.engine(self.handlers)?;
            Function::new(engine, settings, self.clock)
        });
        match function.and_then(runtime::run) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                selvedge_log::write_log("ERROR", &format!("{error:#}"));
                ExitCode::FAILURE
            }
        }
    }
}
