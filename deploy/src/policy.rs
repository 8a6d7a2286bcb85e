//! Finding, reading and showing policies.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use selvedge_core::engine::Engine;
use selvedge_core::policy::read::{PolicyError, PolicyErrors, read};
use selvedge_core::policy::{Policy, blob};
use selvedge_core::route::{Action, BackendChoice, Route};

use crate::check::Severity;
use crate::cli::{BOLD, CYAN, DIM};
use crate::table::Table;

/// The storefront, for whoever has no policy yet.
pub(crate) const STOREFRONT: &str = include_str!("../../examples/storefront/edge.toml");

/// The storefront's database of countries, in the public domain.
pub(crate) const STOREFRONT_GEOIP: &[u8] =
    include_bytes!("../../examples/storefront/geoip/iptoasn-country.mmdb");

/// Where a policy comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A file, which can be edited while it runs.
    File(PathBuf),
    /// The storefront inside this program.
    Storefront,
}

impl Source {
    /// Takes the file that was named, else `./edge.toml`, else the storefront.
    pub(crate) fn find(named: Option<&Path>) -> Self {
        let candidates = ["edge.toml", "examples/storefront/edge.toml"].map(PathBuf::from);
        let found = || candidates.into_iter().find(|path| path.is_file());
        named.map(Path::to_owned).or_else(found).map_or(Self::Storefront, Self::File)
    }

    /// The name that messages use.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Storefront => "the built-in storefront".to_owned(),
        }
    }

    /// Reads the text.
    pub(crate) fn text(&self) -> anyhow::Result<String> {
        match self {
            Self::File(path) => {
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
            }
            Self::Storefront => Ok(STOREFRONT.to_owned()),
        }
    }

    /// Reads, checks and compiles; errors of the policy are printed.
    pub(crate) fn compile(&self) -> anyhow::Result<Engine> {
        self.compile_with(|_| {})
    }

    /// The same with a last change to the checked policy.
    pub(crate) fn compile_with(&self, change: impl FnOnce(&mut Policy)) -> anyhow::Result<Engine> {
        let text = self.text()?;
        match compile_with(&text, change) {
            Ok(engine) => Ok(engine),
            Err(Refused::Policy(errors)) => {
                anstream::eprint!("{}", render(&self.name(), &text, &errors));
                bail!("{} has {}", self.name(), count(errors.iter().count()))
            }
            Err(Refused::Compile(message)) => bail!("{}: {message}", self.name()),
        }
    }
}

/// Why a text does not become an engine.
pub(crate) enum Refused {
    /// It has errors.
    Policy(PolicyErrors),
    /// Something that it needs is not here.
    Compile(String),
}

/// Reads, checks, changes and compiles a policy with this process's environment.
pub(crate) fn compile_with(text: &str, change: impl FnOnce(&mut Policy)) -> Result<Engine, Refused> {
    let mut policy = read(text).map_err(Refused::Policy)?;
    change(&mut policy);
    let builder = Engine::builder(policy).environment(|name| std::env::var(name).ok()).collapsing();
    builder.compile().map_err(|error| Refused::Compile(error.to_string()))
}

/// A short name for a text, to tell two policies apart.
pub(crate) fn fingerprint(text: &str) -> String {
    format!("{:016x}", blob::fingerprint(text.as_bytes()))
}

/// Writes every error with its line and a caret under its place.
pub(crate) fn render(file: &str, text: &str, errors: &PolicyErrors) -> String {
    errors.iter().map(|error| Remark::from(error).render(file, text)).collect()
}

/// Something to say about a place of a policy.
pub(crate) struct Remark<'a> {
    pub(crate) severity: Severity,
    /// Path of the value; empty for the file itself.
    pub(crate) path: &'a str,
    /// Line and column, from 1.
    pub(crate) place: (usize, usize),
    pub(crate) message: &'a str,
    pub(crate) help: Option<&'a str>,
}

impl<'a> From<&'a PolicyError> for Remark<'a> {
    fn from(error: &'a PolicyError) -> Self {
        Self {
            severity: Severity::Error,
            path: error.path(),
            place: (error.line(), error.column()),
            message: error.message(),
            help: error.help(),
        }
    }
}

impl Remark<'_> {
    /// Writes it with its line and a caret under its place.
    pub(crate) fn render(&self, file: &str, text: &str) -> String {
        let (line, column) = self.place;
        let (name, style) = (self.severity.name(), self.severity.style());
        let path =
            if self.path.is_empty() { String::new() } else { format!("{BOLD}{}{BOLD:#}: ", self.path) };
        let mut out = format!("{file}:{line}:{column}: {style}{name}{style:#}: {path}{}\n", self.message);
        let source = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let indent: String = source.chars().take(column.saturating_sub(1)).map(blank).collect();
        out += &format!("{DIM}{line:>5} |{DIM:#} {source}\n      {DIM}|{DIM:#} {indent}{style}^{style:#}\n");
        if let Some(help) = self.help {
            out += &format!("      {DIM}={DIM:#} {CYAN}help{CYAN:#}: {help}\n");
        }
        out
    }
}

fn blank(c: char) -> char {
    if c == '\t' { c } else { ' ' }
}

/// `1 error`, `2 errors`.
pub(crate) fn count(errors: usize) -> String {
    count_of(errors, Severity::Error)
}

/// `1 warning`, `2 warnings`.
pub(crate) fn count_of(number: usize, severity: Severity) -> String {
    let name = severity.name();
    if number == 1 { format!("1 {name}") } else { format!("{number} {name}s") }
}

/// The routes as a table.
pub(crate) fn routes(policy: &Policy) -> Table {
    let mut table = Table::new(&["ROUTE", "MATCHES", "DOES", "EDGE CACHE"]);
    for route in &policy.routes {
        table.row([route.name.clone(), matches(route), does(policy, route), caches(route)]);
    }
    table.row(["-".to_owned(), "anything else".to_owned(), not_found(policy), "-".to_owned()]);
    table
}

fn not_found(policy: &Policy) -> String {
    format!("{} from the edge", policy.fallback.not_found.status)
}

fn matches(route: &Route) -> String {
    let methods = if route.methods.is_empty() { "ANY".to_owned() } else { route.methods.join(",") };
    let hosts: Vec<_> = route.hosts.iter().map(ToString::to_string).collect();
    let extensions = if route.extensions.is_empty() {
        String::new()
    } else {
        format!(" .{}", route.extensions.join(" ."))
    };
    let more =
        if route.when.count() > 0 { format!(" (+{} conditions)", route.when.count()) } else { String::new() };
    format!("{methods} {}{}{extensions}{more}", hosts.join(","), route.path.as_str())
}

fn does(policy: &Policy, route: &Route) -> String {
    match &route.action {
        Action::Proxy { backend, .. } => {
            let mut names: Vec<_> =
                backend.backends().iter().map(|id| policy.backend(*id).name.as_str()).collect();
            names.dedup();
            let how = match backend {
                BackendChoice::One(_) => "",
                BackendChoice::ByPlace(_) => " by place",
                BackendChoice::Nearest { .. } => " by distance",
                BackendChoice::Weighted(_) => " by weight",
            };
            format!("backend {}{how}", names.join("|"))
        }
        Action::Redirect(redirect) => format!("redirect {}", redirect.status),
        Action::Respond(fixed) => format!("respond {}", fixed.status),
        Action::Handle(name) => format!("handler {name}"),
    }
}

fn caches(route: &Route) -> String {
    use selvedge_core::cache::rule::Storing;
    match (&route.action, route.cache.store, route.cache.edge) {
        (Action::Proxy { .. }, Storing::Store, Some(lifetime)) => format!("{}s", lifetime.as_secs()),
        (Action::Proxy { .. }, Storing::Store, None) => "as the origin says".to_owned(),
        (Action::Proxy { .. }, Storing::Never, _) => "never".to_owned(),
        (Action::Redirect(_) | Action::Respond(_) | Action::Handle(_), ..) => "-".to_owned(),
    }
}
