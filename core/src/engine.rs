//! The engine: an immutable, compiled policy.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri};

use crate::backend::{BackendId, HeaderSource};
use crate::body::Body;
use crate::effect::{Fetch, Record, Watch};
use crate::facts::Facts;
use crate::handler::{Handler, HandlerContext, HandlerResult, Handlers};
use crate::headers::hop_by_hop;
use crate::headers::name::FieldName;
use crate::health::{Health, Place};
use crate::interest::{self, Interest};
use crate::phase::Failure;
use crate::pipeline;
use crate::policy::Policy;
use crate::reason::{Reason, Rule, Summary};
use crate::route::Route;
use crate::route::router::Router;
use crate::time::Timestamp;
use crate::transaction::{Omitted, Seed, Transaction};

/// A compiled policy: made once, then shared by every request.
///
/// Its methods are the four [phases](crate::phase). It is `Send + Sync` and
/// never changes, but for what it learns of its backends' [health](crate::health); a new policy is a new engine.
pub struct Engine {
    policy: Policy,
    router: Router,
    handlers: Handlers,
    backends: Vec<CompiledBackend>,
    health: Health,
    names: Names,
    has_store: bool,
    collapses: bool,
}

/// What requests to a backend are made of.
pub(crate) struct CompiledBackend {
    pub(crate) name: Arc<str>,
    pub(crate) urls: Vec<Uri>,
    pub(crate) headers: Vec<(FieldName, HeaderValue)>,
}

/// Names that records carry.
struct Names {
    experiments: Vec<(Arc<str>, Vec<Arc<str>>)>,
}

/// Reads a variable of the environment.
type Environment = Box<dyn Fn(&str) -> Option<String>>;

/// Prepares an [`Engine`]: its policy, its handlers and its environment.
pub struct EngineBuilder {
    policy: Policy,
    handlers: Handlers,
    environment: Environment,
    has_store: bool,
    collapses: bool,
}

/// An answer that needed no effect.
#[derive(Debug)]
pub struct Answer {
    /// The response to the client.
    pub response: Response<Body>,
    /// What came of the request, for metrics and logs.
    pub summary: Summary,
    /// What to hand to whatever collects records.
    pub records: Vec<Record>,
}

/// Why a checked policy cannot be compiled here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompileError {
    /// The policy names a handler that nobody gave.
    MissingHandler {
        /// The part of the policy, such as ``route `home` ``.
        rule: String,
        /// The handler.
        handler: String,
    },
    /// A backend's header takes its value from the environment, which has none.
    MissingVariable {
        /// The backend.
        backend: String,
        /// The variable.
        variable: String,
    },
    /// A value from the environment cannot be a header value.
    BadVariable {
        /// The backend.
        backend: String,
        /// The variable; its value is a secret and is not shown.
        variable: String,
    },
    /// A backend's URL is not one.
    BadUrl {
        /// The backend.
        backend: String,
        /// The URL.
        url: String,
    },
}

impl Engine {
    /// Compiles a policy that needs no handlers and no environment.
    ///
    /// # Errors
    /// [`CompileError`] names the first thing that is missing.
    pub fn compile(policy: Policy) -> Result<Self, CompileError> {
        Self::builder(policy).compile()
    }

    /// Prepares a policy with handlers or an environment.
    #[must_use]
    pub fn builder(policy: Policy) -> EngineBuilder {
        let environment = Box::new(|_: &str| None);
        EngineBuilder { policy, handlers: Handlers::new(), environment, has_store: true, collapses: false }
    }

    /// Returns the policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Answers a request that needs no effect, from the headers that the policy can read.
    ///
    /// `None` when a backend, a handler, the cache or a counter is needed: hand the whole request to an
    /// [`Exchange`](crate::exchange::Exchange) then. Otherwise the answer is the one that an exchange would give.
    /// `request` and `facts` need what [`interest`](Self::interest) names, and `omitted` says what the other headers weigh.
    ///
    /// An answer without records and `Set-Cookie` holds for every request that is the same in all of this, whatever its
    /// seed and time, unless the policy's answers name the [request's id](Interest::request_id).
    #[must_use]
    pub fn answer_alone(
        &self,
        request: Request<Body>,
        facts: Facts,
        seed: Seed,
        omitted: Omitted,
        now: Timestamp,
    ) -> Option<Answer> {
        pipeline::answer(self, Transaction::partial(request, facts, seed, omitted), now)
    }

    /// Returns what a host answers when nothing else works, such as after a crash that repeats itself.
    #[must_use]
    pub fn last_resort(&self) -> Answer {
        let mut tx = Transaction::new(Request::new(Body::Empty), Facts::default(), Seed::default());
        tx.decide(Reason::HandlerPanicked, Rule::BuiltIn);
        let mut response = self.on_failure(&mut tx, Failure::Handler);
        self.on_viewer_response(&mut tx, &mut response, Timestamp::default());
        Answer { response, summary: tx.summary(), records: Vec::new() }
    }

    /// Returns what [`answer_alone`](Self::answer_alone) can read of a request.
    #[must_use]
    pub fn interest(&self) -> Interest {
        interest::of(&self.policy)
    }

    /// Returns how the backends fare, as this engine's requests and its host's checks found.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Whether requests for the same thing wait for one another.
    pub(crate) fn collapses(&self) -> bool {
        self.collapses
    }

    /// Whether the platform keeps responses.
    pub(crate) fn has_store(&self) -> bool {
        self.has_store
    }

    pub(crate) fn router(&self) -> &Router {
        &self.router
    }

    pub(crate) fn backend(&self, id: BackendId) -> &CompiledBackend {
        &self.backends[usize::from(id.0)]
    }

    /// Whether the policy gives a header to some backend, such as a secret.
    pub(crate) fn is_backends_own(&self, name: &http::HeaderName) -> bool {
        let mut headers = self.backends.iter().flat_map(|backend| &backend.headers);
        headers.any(|(own, _)| own.as_header_name() == name)
    }

    /// Every URL of every backend.
    pub(crate) fn backend_urls(&self) -> impl Iterator<Item = &Uri> {
        self.backends.iter().flat_map(|backend| &backend.urls)
    }

    pub(crate) fn handler(&self, name: &str) -> Option<Handler> {
        self.handlers.get(name).cloned()
    }

    /// The names of an experiment and of one of its variations.
    pub(crate) fn experiment_names(&self, experiment: usize, variation: usize) -> (Arc<str>, Arc<str>) {
        let (name, variations) = &self.names.experiments[experiment];
        (Arc::clone(name), Arc::clone(&variations[variation]))
    }

    pub(crate) fn route_of(&self, tx: &Transaction) -> Option<&Route> {
        tx.route.map(|id| self.policy.route(id))
    }

    /// What the route's path captured under `name`.
    pub(crate) fn capture<'a>(&self, tx: &'a Transaction, name: &str) -> Option<&'a str> {
        let at = self.route_of(tx)?.path.captures().position(|capture| capture == name)?;
        tx.target.as_ref()?.path().get(tx.captures.get(at)?.clone())
    }

    /// Every URL of these backends and of the first one's failover order, in the order in which they are asked.
    pub(crate) fn places(&self, backends: &[BackendId]) -> Vec<Place> {
        let failover = backends.first().map(|first| self.policy.backend(*first).failover.as_slice());
        let failover = failover.unwrap_or_default().iter().filter(|id| !backends.contains(id));
        let order = backends.iter().chain(failover);
        order.flat_map(|id| (0..self.backend(*id).urls.len()).map(move |url| (*id, url))).collect()
    }

    /// The backend of a name.
    pub(crate) fn backend_named(&self, name: &str) -> Option<BackendId> {
        let at = self.policy.backends.iter().position(|backend| backend.name == name)?;
        u16::try_from(at).ok().map(BackendId)
    }

    /// Prepares the check of a place; `None` when its backend has no rule for one.
    #[must_use]
    pub fn check(&self, place: Place) -> Option<Fetch> {
        let rule = self.policy.backend(place.0).health.check.as_ref()?;
        let mut request = Request::new(Body::Empty);
        *request.uri_mut() = rule.path.parse().ok()?;
        let fetch = self.fetch_from(place, request)?;
        Some(Fetch { timeout: rule.timeout, watch: None, ..fetch })
    }

    /// A request that is not a client's to one of a backend's URLs, without hop-by-hop headers.
    pub(crate) fn fetch_from(&self, place: Place, mut request: Request<Body>) -> Option<Fetch> {
        let (id, url) = place;
        let compiled = self.backend(id);
        *request.uri_mut() = join(compiled.urls.get(url)?, request.uri().path_and_query()?.clone())?;
        hop_by_hop::strip_request(request.headers_mut());
        request.headers_mut().remove(http::header::HOST);
        for (name, value) in &compiled.headers {
            request.headers_mut().insert(name.as_header_name().clone(), value.clone());
        }
        Some(Fetch {
            backend: Arc::clone(&compiled.name),
            request,
            timeout: self.policy.backend(id).timeout,
            connect_timeout: self.policy.backend(id).connect_timeout,
            watch: self.watch(place),
            max_body_bytes: self.policy.limits.max_body_bytes,
        })
    }

    /// What the policy wants to know of the bodies of a place: whether they come whole where that decides on its circuit, and in time.
    pub(crate) fn watch(&self, place: Place) -> Option<Watch> {
        let backend = self.policy.backend(place.0);
        let is_watched = backend.health.breaker.is_some() || backend.total_timeout.is_some();
        is_watched.then(|| Watch { total: backend.total_timeout, report: self.health.body(place, None) })
    }
}

/// A backend's URL with a path and query after its own path.
pub(crate) fn join(base: &Uri, path_and_query: PathAndQuery) -> Option<Uri> {
    let prefix = base.path().trim_end_matches('/');
    let path = match prefix {
        "" => path_and_query,
        prefix => format!("{prefix}{path_and_query}").parse().ok()?,
    };
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}

impl EngineBuilder {
    /// Gives the handler that routes name as `name`.
    #[must_use]
    pub fn handler<F, Fut>(mut self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(HandlerContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = HandlerResult> + Send + 'static,
    {
        self.handlers.insert(name.into(), Arc::new(move |context| Box::pin(handler(context))));
        self
    }

    /// Gives the environment from which backends' secret headers are read.
    #[must_use]
    pub fn environment(mut self, read: impl Fn(&str) -> Option<String> + 'static) -> Self {
        self.environment = Box::new(read);
        self
    }

    /// Says that the platform keeps no responses: none is asked for or handed out to be kept, and `Cache-Status` claims none.
    #[must_use]
    pub fn without_store(mut self) -> Self {
        self.has_store = false;
        self
    }

    /// Says that the host lets requests for the same thing wait for one another: [`Effect::CacheWait`](crate::effect::Effect::CacheWait).
    #[must_use]
    pub fn collapsing(mut self) -> Self {
        self.collapses = true;
        self
    }

    /// Compiles the policy.
    ///
    /// # Errors
    /// [`CompileError`] names the first thing that is missing.
    pub fn compile(self) -> Result<Engine, CompileError> {
        let Self { policy, handlers, environment, has_store, collapses } = self;
        if let Some((rule, handler)) = policy.handlers().find(|(_, handler)| !handlers.contains_key(*handler))
        {
            return Err(CompileError::MissingHandler { rule, handler: handler.to_owned() });
        }
        let backends = policy.backends.iter().map(|backend| compile_backend(backend, &environment));
        let backends = backends.collect::<Result<Vec<_>, _>>()?;
        let (router, names, health) =
            (Router::new(&policy.routes), Names::new(&policy), Health::new(&policy));
        Ok(Engine { policy, router, handlers, backends, health, names, has_store, collapses })
    }
}

fn compile_backend(
    backend: &crate::backend::Backend,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<CompiledBackend, CompileError> {
    let parse = |url: &String| {
        url.parse().map_err(|_| CompileError::BadUrl { backend: backend.name.clone(), url: url.clone() })
    };
    let urls = backend.urls.iter().map(parse).collect::<Result<_, _>>()?;
    let value = |(name, source): &(FieldName, HeaderSource)| {
        header_value(&backend.name, source, environment).map(|value| (name.clone(), value))
    };
    let headers = backend.request_headers.iter().map(value).collect::<Result<_, _>>()?;
    Ok(CompiledBackend { name: backend.name.as_str().into(), urls, headers })
}

fn header_value(
    backend: &str,
    source: &HeaderSource,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<HeaderValue, CompileError> {
    let (variable, value) = match source {
        HeaderSource::Text(text) => (text, text.clone()),
        HeaderSource::Env(variable) => {
            let missing =
                || CompileError::MissingVariable { backend: backend.to_owned(), variable: variable.clone() };
            (variable, environment(variable).ok_or_else(missing)?)
        }
    };
    let mut value = HeaderValue::from_str(&value)
        .map_err(|_| CompileError::BadVariable { backend: backend.to_owned(), variable: variable.clone() })?;
    value.set_sensitive(matches!(source, HeaderSource::Env(_)));
    Ok(value)
}

impl Names {
    fn new(policy: &Policy) -> Self {
        let experiments = policy.experiments.iter().map(|experiment| {
            let variations = experiment.variations.iter().map(|variation| variation.name.as_str().into());
            (experiment.name.as_str().into(), variations.collect())
        });
        Self { experiments: experiments.collect() }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("policy", &self.policy.name).finish_non_exhaustive()
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingHandler { rule, handler } => {
                write!(f, "{rule} names the handler `{handler}`, which this program does not have")
            }
            Self::MissingVariable { backend, variable } => {
                write!(f, "backend `{backend}` needs the environment variable `{variable}`, which is not set")
            }
            Self::BadVariable { backend, variable } => {
                write!(f, "backend `{backend}`: the value of `{variable}` cannot be a header value")
            }
            Self::BadUrl { backend, url } => write!(f, "backend `{backend}`: `{url}` is not a URL"),
        }
    }
}

impl std::error::Error for CompileError {}
