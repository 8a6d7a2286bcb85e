//! What the command line can say.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use clap::{Args, Parser, Subcommand};
use selvedge_emulator::{DEFAULT_CACHE_DIR_BYTES, LogQuery, SampleRate};

/// The exit codes, after every command's help.
const EXIT_CODES: &str = "Exit codes: 0 all is well, 1 the policy has errors, 2 anything else.";

/// Edge logic written once, decided the same on every platform.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a policy on a local edge in front of a reference origin (the default)
    Dev(Dev),
    /// Check a policy; silent when all is well
    Check(Check),
    /// Show what the edge would do with a request, and why, without any server
    Explain(Explain),
    /// Build what a platform deploys
    Build(Build),
    /// Build, and deploy with the platform's own tool
    Deploy(Deploy),
    /// Make a new project that runs at once
    New(New),
    /// Print the JSON Schema of edge.toml, for editors
    Schema,
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  selvedge completions bash > ~/.local/share/bash-completion/completions/selvedge"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// The environment variable that has the token for purging when nothing else is said.
const PURGE_TOKEN: &str = "SELVEDGE_PURGE_TOKEN";

/// Options of `selvedge dev`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  selvedge dev
  selvedge dev --policy edge.toml --listen 127.0.0.1:9000
  selvedge dev --no-origin --geoip GeoLite2-City.mmdb
  selvedge dev --cache-dir cache --cache-dir-bytes 10000000000
  selvedge dev --access-log - --access-log-query names
  selvedge dev --access-log access.log --access-log-sample 0.1 --trace
  selvedge dev --server-timing
  selvedge dev --plain | grep cache.miss
  selvedge dev --runtime cloudflare
  selvedge dev --runtime lambda
  selvedge dev --runtime spin
  selvedge dev --runtime spin --spin-binary

Pose as a client anywhere with a header:
  curl -i -H 'Selvedge-Client-Ip: 203.0.113.9' http://127.0.0.1:8787/

On a terminal it is a live view: requests, outcomes, hit ratio, latencies, backends. Press ? for its keys, such as
f to make a backend fail, s to make it slow, h to heal it, p to purge, r to reload, q to end. With --runtime, with
`--access-log -`, with TERM=dumb and where the output is no terminal, it prints lines.

Where the purge token is set, faults of backends can also be set over HTTP, with {\"kind\": \"fail\"} or \"slow\" or \"none\":
  curl -H \"Authorization: Bearer $SELVEDGE_PURGE_TOKEN\" -d '{\"kind\": \"slow\", \"delay-ms\": 2000}' \\
    http://127.0.0.1:8787/_selvedge/faults/us

Edits to the policy take effect within a second.")]
pub(crate) struct Dev {
    /// Policy to run [default: ./edge.toml, else the storefront]
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Address of the edge
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8787")]
    pub(crate) listen: SocketAddr,
    /// Address of the reference origin
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8788")]
    pub(crate) origin_listen: SocketAddr,
    /// Do not start the reference origin
    #[arg(long)]
    pub(crate) no_origin: bool,
    /// Database that tells countries from addresses (MMDB) [default: the storefront's]
    #[arg(long, value_name = "FILE")]
    pub(crate) geoip: Option<PathBuf>,
    /// Ignore the header Selvedge-Client-Ip
    #[arg(long)]
    pub(crate) no_pose: bool,
    /// File that keeps queues' messages [default: they end with the edge]
    #[arg(long, value_name = "FILE", conflicts_with = "runtime")]
    pub(crate) queues: Option<PathBuf>,
    /// Folder that keeps long responses, also for the next start [default: the cache ends with the edge]
    #[arg(long, value_name = "DIR", conflicts_with = "runtime")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Most bytes in the cache folder
    #[arg(long, value_name = "N", requires = "cache_dir", default_value_t = DEFAULT_CACHE_DIR_BYTES)]
    pub(crate) cache_dir_bytes: u64,
    /// Environment variable with the token for `POST /_selvedge/purge` and `/_selvedge/faults/`; where it is not set only the reference origin
    /// can purge
    #[arg(long, value_name = "NAME", default_value = PURGE_TOKEN)]
    pub(crate) purge_token_env: String,
    /// Print a line for each request instead of showing the live view
    #[arg(long)]
    pub(crate) plain: bool,
    /// Print no line for each request, and show no view
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Write a line of JSON for each request to the end of a file, or to the standard output (-)
    #[arg(long, value_name = "FILE|-")]
    pub(crate) access_log: Option<PathBuf>,
    /// What of a query is in the access log
    #[arg(long, value_name = "PART", requires = "access_log", default_value = "omit")]
    pub(crate) access_log_query: QueryPart,
    /// Have clients' addresses in the access log, which are personal data
    #[arg(long, requires = "access_log")]
    pub(crate) access_log_address: bool,
    /// Share of the requests that are in the access log, from 0 to 1; those answered with a 5xx always are
    #[arg(long, value_name = "SHARE", requires = "access_log", default_value = "1", value_parser = sample_rate)]
    pub(crate) access_log_sample: SampleRate,
    /// Go on with clients' traces (traceparent) and begin others, with a part of the edge's own that backends are told
    #[arg(long)]
    pub(crate) trace: bool,
    /// Send traces to a collector, by OTLP over HTTP [default: the one of OTEL_EXPORTER_OTLP_ENDPOINT, if it is set]
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "URL")]
    pub(crate) otlp: Option<String>,
    /// Tell clients in Server-Timing what took how long, and whether the cache answered
    #[arg(long)]
    pub(crate) server_timing: bool,
    /// Run the policy on a platform's own runtime behind the local edge
    #[arg(long, value_name = "NAME")]
    pub(crate) runtime: Option<Target>,
    /// With `--runtime spin`, run `spin up` instead of the host here [default: the one on PATH]
    #[arg(long, value_name = "PROGRAM", requires = "runtime", num_args = 0..=1, default_missing_value = "spin")]
    pub(crate) spin_binary: Option<PathBuf>,
}

impl Default for Dev {
    fn default() -> Self {
        Self {
            policy: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 8787)),
            origin_listen: SocketAddr::from(([127, 0, 0, 1], 8788)),
            no_origin: false,
            geoip: None,
            no_pose: false,
            queues: None,
            cache_dir: None,
            cache_dir_bytes: DEFAULT_CACHE_DIR_BYTES,
            purge_token_env: PURGE_TOKEN.to_owned(),
            plain: false,
            quiet: false,
            access_log: None,
            access_log_query: QueryPart::Omit,
            access_log_address: false,
            access_log_sample: SampleRate::ALL,
            trace: false,
            #[cfg(feature = "otlp")]
            otlp: None,
            server_timing: false,
            runtime: None,
            spin_binary: None,
        }
    }
}

/// Options of `selvedge check`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  selvedge check
  selvedge check examples/storefront/edge.toml && echo fine
  selvedge check --target cloudflare
  selvedge check --target cloudflare --plan free examples/storefront/edge.toml
  selvedge check --target spin --via aka

With a platform it also says what that platform will refuse (error), and what it does
otherwise than one may expect (warning), with the rule's place and what to do instead.

Exit codes: 0 no errors, though maybe warnings, 1 the policy has errors, 2 the file cannot be read.")]
pub(crate) struct Check {
    /// Policy to check
    #[arg(value_name = "FILE", default_value = "edge.toml")]
    pub(crate) file: PathBuf,
    /// Platform whose limits count too
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Option<Target>,
    /// Plan of the account [default: what only the paid plan can do is a warning]
    #[arg(long, value_name = "PLAN", requires = "target")]
    pub(crate) plan: Option<Plan>,
    /// Where a Spin application runs [default: what all places have in common]
    #[arg(long, value_name = "PLACE", requires = "target")]
    pub(crate) via: Option<Via>,
}

/// Options of `selvedge explain`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  selvedge explain GET http://shop.example.com/ --country US
  selvedge explain GET http://shop.example.com/static/site.css -H 'User-Agent: sqlmap/1.7' --json
  selvedge explain GET http://shop.example.com/go --ip 203.0.113.9
  selvedge explain GET http://shop.example.com/ --answer 'Cache-Control: max-age=60' --answer 'Vary: Accept-Language'")]
pub(crate) struct Explain {
    /// Request method
    #[arg(value_name = "METHOD")]
    pub(crate) method: String,
    /// Absolute URL
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// Request header; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// Header of a supposed answer of the backend, to see what the cache makes of it; may be given several times
    #[arg(long = "answer", value_name = "NAME: VALUE")]
    pub(crate) answers: Vec<String>,
    /// Status of the supposed answer [default: 200]
    #[arg(long, value_name = "STATUS")]
    pub(crate) answer_status: Option<u16>,
    /// Address of the client; its country comes from the database
    #[arg(long, value_name = "ADDRESS", conflicts_with = "country")]
    pub(crate) ip: Option<IpAddr>,
    /// Country of the client
    #[arg(long, value_name = "CODE")]
    pub(crate) country: Option<String>,
    /// Policy [default: ./edge.toml, else the storefront]
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Database that tells countries from addresses (MMDB) [default: the storefront's]
    #[arg(long, value_name = "FILE")]
    pub(crate) geoip: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What of a query is in the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum QueryPart {
    /// Nothing
    Omit,
    /// The parameters' names
    Names,
    /// All of it, with whatever secrets it holds
    Whole,
}

impl From<QueryPart> for LogQuery {
    fn from(part: QueryPart) -> Self {
        match part {
            QueryPart::Omit => Self::Omit,
            QueryPart::Names => Self::Names,
            QueryPart::Whole => Self::Whole,
        }
    }
}

fn sample_rate(text: &str) -> Result<SampleRate, String> {
    text.parse().map_err(|_| "a share is a number from 0 to 1, such as 0.1".to_owned())
}

/// A platform that policies are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Target {
    /// Cloudflare Workers
    Cloudflare,
    /// AWS Lambda in a region
    Lambda,
    /// CloudFront with Lambda@Edge
    LambdaEdge,
    /// Spin, on SpinKube, on Akamai Functions or anywhere else
    Spin,
}

impl Target {
    /// The name as the command line has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Cloudflare => "cloudflare",
            Self::Lambda => "lambda",
            Self::LambdaEdge => "lambda-edge",
            Self::Spin => "spin",
        }
    }
}

/// A processor that Lambda has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Architecture {
    /// x86-64
    #[default]
    #[value(name = "x86-64")]
    X86,
    /// Arm, Graviton
    #[value(name = "arm64")]
    Arm,
}

impl Architecture {
    /// The name as the command line has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::X86 => "x86-64",
            Self::Arm => "arm64",
        }
    }

    /// The flag of `cargo lambda build`.
    pub(crate) const fn flag(self) -> &'static str {
        match self {
            Self::X86 => "--x86-64",
            Self::Arm => "--arm64",
        }
    }
}

/// A plan that a platform is paid by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Plan {
    /// Workers Free
    Free,
    /// Workers Paid
    Paid,
}

/// Where a Spin application runs, by what deploys it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Via {
    /// Wherever `spin deploy` deploys to
    #[default]
    Spin,
    /// Kubernetes with SpinKube
    Kube,
    /// Akamai Functions
    Aka,
}

/// Options of `selvedge build`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  selvedge build --target cloudflare
  selvedge build --target cloudflare --policy examples/storefront/edge.toml --out /tmp/storefront
  selvedge build --target lambda --arch arm64
  selvedge build --target lambda-edge --geoip GeoLite2-Country.mmdb
  selvedge build --target spin --via aka

Errors of `selvedge check --target` are refused, its warnings are shown.

Cloudflare needs cargo with the target wasm32-unknown-unknown (rustup target add wasm32-unknown-unknown),
Lambda needs cargo-lambda (pip install cargo-lambda ziglang), Spin needs the target wasm32-wasip2.
Routes with handlers need a Cargo.toml beside the policy, of a library with
`pub fn handlers(builder: EngineBuilder) -> EngineBuilder`.")]
pub(crate) struct Build {
    /// Platform to build for
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Target,
    /// Policy to build
    #[arg(long, value_name = "FILE", default_value = "edge.toml")]
    pub(crate) policy: PathBuf,
    /// Folder to write to [default: dist/TARGET beside the policy]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Plan of the account [default: what only the paid plan can do is a warning]
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan: Option<Plan>,
    /// Processor of a Lambda function [default: x86-64]
    #[arg(long, value_name = "ARCH")]
    pub(crate) arch: Option<Architecture>,
    /// Where a Spin application runs [default: what all places have in common]
    #[arg(long, value_name = "PLACE")]
    pub(crate) via: Option<Via>,
    /// Database of places (MMDB) to ship, for `[geo] source = "database"` on lambda-edge and spin
    #[arg(long, value_name = "FILE")]
    pub(crate) geoip: Option<PathBuf>,
}

/// Options of `selvedge deploy`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  selvedge deploy --target cloudflare --dry-run
  selvedge deploy --target cloudflare -- --env staging
  selvedge deploy --target lambda -- --region eu-central-1 --enable-function-url
  selvedge deploy --target lambda-edge --bucket my-code --dry-run
  selvedge deploy --target lambda-edge --bucket my-code -- --profile shop
  selvedge deploy --target spin -- --variable backend_origin=https://eu.example.com
  selvedge deploy --target spin --via kube --image registry.example.com/shop:1 -- --replicas 3
  selvedge deploy --target spin --via aka --dry-run

cloudflare: runs `wrangler deploy`, which asks you to log in, or takes CLOUDFLARE_API_TOKEN from the environment.
lambda: runs `cargo lambda deploy`, which takes credentials as AWS's own tools do; a dry run needs none.
lambda-edge: runs `aws s3 cp` and `aws cloudformation deploy`, with the credentials that the AWS CLI finds.
spin: runs `spin deploy`, `spin aka deploy`, or with `--via kube` `spin registry push`, `spin kube scaffold` and
`kubectl apply`; secrets that backends need are taken from the environment, on Kubernetes from a Secret.")]
pub(crate) struct Deploy {
    #[command(flatten)]
    pub(crate) build: Build,
    /// Show what would be uploaded and upload nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// S3 bucket in us-east-1 that takes the function's code, for lambda-edge
    #[arg(long, value_name = "NAME")]
    pub(crate) bucket: Option<String>,
    /// Image that the application is pushed as, for spin with --via kube
    #[arg(long, value_name = "REFERENCE")]
    pub(crate) image: Option<String>,
    /// Further arguments for the platform's tool
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) arguments: Vec<String>,
}

/// Options of `selvedge new`.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  selvedge new shop && cd shop && selvedge dev")]
pub(crate) struct New {
    /// Folder to make
    #[arg(value_name = "NAME")]
    pub(crate) name: PathBuf,
}

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default().bold();
pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const CYAN: Style = AnsiColor::Cyan.on_default();

/// `error:` as errors start; colours disappear where the output is no terminal.
pub(crate) fn error_label() -> String {
    format!("{RED}error:{RED:#}")
}
