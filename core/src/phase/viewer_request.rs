//! The first phase: the request as the client sent it.

use std::ops::ControlFlow;
use std::time::Duration;

use http::{HeaderValue, Method, Response, header};

use super::ViewerRequestOutcome;
use crate::body::Body;
use crate::bot::Classifier;
use crate::bot::rules::BotAction;
use crate::device::DeviceClass;
use crate::engine::Engine;
use crate::fallback::{TEXT_PLAIN, text_response};
use crate::geo::rules::{GeoDecision, Refusal};
use crate::headers::cors::Preflight;
use crate::headers::{hop_by_hop, imitation};
use crate::limits::Exceeded;
use crate::reason::{Reason, Rule};
use crate::route::router::Found;
use crate::route::{Action, FixedResponse};
use crate::stage;
use crate::target::Target;
use crate::template::Encoding;
use crate::time::Timestamp;
use crate::transaction::Transaction;
use crate::values::RequestValues;

/// A step of the phase either lets the request go on or answers it.
type Gate = ControlFlow<Response<Body>>;

const CONTINUE: Gate = ControlFlow::Continue(());

impl Engine {
    /// Decides what becomes of a request before anything else sees it.
    ///
    /// In this order: limits, target, headers that imitate the platform, maintenance, geography, bots,
    /// CORS preflight, routing, experiments, and the route's own answer.
    pub fn on_viewer_request(&self, tx: &mut Transaction, _now: Timestamp) -> ViewerRequestOutcome {
        match self.decide(tx) {
            ControlFlow::Continue(()) => ViewerRequestOutcome::Continue,
            ControlFlow::Break(response) => ViewerRequestOutcome::Respond(response),
        }
    }

    /// Returns the counter of a client whose category is limited, and its window.
    #[must_use]
    pub fn rate_limit(&self, tx: &Transaction) -> Option<(String, Duration)> {
        let category = tx.limited_by?;
        let Some(BotAction::Limit(limit)) = self.policy().bots.rules.get(&category) else { return None };
        let client =
            tx.facts.client_ip.map_or_else(|| "unknown".to_owned(), |ip| ip.to_canonical().to_string());
        Some((format!("bot:{}:{client}", category.as_str()), limit.window))
    }

    /// Returns the answer to a client that has used up its requests.
    ///
    /// `count` is what the counter of [`Engine::rate_limit`] says, this request included.
    pub fn on_counted(&self, tx: &mut Transaction, count: u64, now: Timestamp) -> ViewerRequestOutcome {
        let Some(category) = tx.limited_by else { return ViewerRequestOutcome::Continue };
        let Some(BotAction::Limit(limit)) = self.policy().bots.rules.get(&category) else {
            return ViewerRequestOutcome::Continue;
        };
        if count <= u64::from(limit.requests) {
            return ViewerRequestOutcome::Continue;
        }
        let window = limit.window.as_secs().max(1);
        let left = window - (now.as_millis() / 1000) % window;
        tx.decide(Reason::BotLimited, Rule::Bot(category));
        tx.forget_variations();
        let mut response = refuse(&limit.refusal);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(left));
        ViewerRequestOutcome::Respond(response)
    }

    fn decide(&self, tx: &mut Transaction) -> Gate {
        self.admit(tx)?;
        self.route(tx)
    }

    fn admit(&self, tx: &mut Transaction) -> Gate {
        if !tx.is_resumed && !tx.is_admitted {
            self.check_limits(tx)?;
        }
        self.check_target(tx)?;
        imitation::strip(tx.request.headers_mut());
        tx.upgrade = hop_by_hop::upgrade_requested(tx.request.headers());
        hop_by_hop::strip_request(tx.request.headers_mut());
        if !tx.is_admitted {
            self.check_maintenance(tx)?;
            self.check_place(tx)?;
        }
        if !tx.is_resumed {
            tx.verdict = Classifier::new().classify(tx.request.headers(), &tx.facts);
            tx.device = DeviceClass::classify(tx.request.headers());
        }
        if tx.is_admitted { CONTINUE } else { self.check_bot(tx) }
    }

    fn check_maintenance(&self, tx: &mut Transaction) -> Gate {
        let answer = self.policy().maintenance.as_ref().and_then(|maintenance| maintenance.answer(&tx.facts));
        let Some(response) = answer else { return CONTINUE };
        tx.decide(Reason::Maintenance, Rule::BuiltIn);
        ControlFlow::Break(response)
    }

    fn check_limits(&self, tx: &mut Transaction) -> Gate {
        let request = &tx.request;
        let limits = &self.policy().limits;
        let checked = limits.check(request.method(), request.uri(), request.headers(), tx.omitted);
        let Err(exceeded) = checked else { return CONTINUE };
        tx.decide(exceeded.reason(), Rule::BuiltIn);
        ControlFlow::Break(match exceeded {
            Exceeded::Method => plain(501, "Method not implemented"),
            Exceeded::Url => plain(414, "URI too long"),
            Exceeded::Headers => plain(431, "Request header fields too large"),
            Exceeded::Body => plain(413, "Content too large"),
        })
    }

    fn check_target(&self, tx: &mut Transaction) -> Gate {
        let slashes = self.policy().limits.encoded_slashes;
        match Target::parse(tx.request.uri(), tx.request.headers(), slashes) {
            Ok(target) => tx.target = Some(target),
            Err(refusal) => {
                tx.decide(Reason::TargetRefused(refusal), Rule::BuiltIn);
                return ControlFlow::Break(plain(400, "Bad request"));
            }
        }
        CONTINUE
    }

    fn check_place(&self, tx: &mut Transaction) -> Gate {
        if tx.place.comes_later {
            tx.place.gate = !self.policy().geo.lets_everybody_in();
            return CONTINUE;
        }
        match self.policy().geo.decide(&tx.facts) {
            GeoDecision::Continue => {}
            GeoDecision::Allow { rule } => tx.note(Reason::GeoAllowed, Rule::Geo(Some(rule))),
            GeoDecision::Block { refusal, reason, rule } => {
                tx.decide(reason, Rule::Geo(rule));
                return ControlFlow::Break(refuse(refusal));
            }
        }
        CONTINUE
    }

    fn check_bot(&self, tx: &mut Transaction) -> Gate {
        let Some(category) = tx.verdict.category() else { return CONTINUE };
        let rule = Rule::Bot(category);
        match self.policy().bots.decide(tx.verdict) {
            None => {}
            Some(BotAction::Allow) => tx.note(Reason::BotAllowed, rule),
            Some(BotAction::Tag) => tx.note(Reason::BotTagged, rule),
            Some(BotAction::Limit(_)) => tx.limited_by = Some(category),
            Some(BotAction::Block(refusal)) => {
                tx.decide(Reason::BotBlocked, rule);
                return ControlFlow::Break(refuse(refusal));
            }
        }
        CONTINUE
    }

    fn route(&self, tx: &mut Transaction) -> Gate {
        self.check_preflight(tx)?;
        match self.find(tx, &tx.request.method().clone()) {
            Found::Route(id, captures) => {
                tx.note(Reason::RouteMatched, Rule::Route(id));
                (tx.route, tx.captures) = (Some(id), captures);
            }
            Found::MethodNotAllowed(methods) => return ControlFlow::Break(method_not_allowed(tx, &methods)),
            Found::Nothing => {
                if tx.place.route {
                    self.assign_variations(tx);
                }
                tx.decide(Reason::RouteNotFound, Rule::BuiltIn);
                return ControlFlow::Break(self.policy().fallback.not_found.response());
            }
        }
        if !tx.is_resumed || (tx.assign_again && !tx.is_admitted) {
            self.assign_variations(tx);
        }
        self.answer(tx)
    }

    pub(super) fn find(&self, tx: &mut Transaction, method: &Method) -> Found {
        let target = tx.target.as_ref().expect("the target was checked before");
        let mut by_place = false;
        let found = self.router().find(&self.policy().routes, method, target, tx.subject(), &mut by_place);
        tx.place.route |= by_place && tx.place.comes_later;
        found
    }

    /// Answers a CORS preflight for the route that the real request would take.
    fn check_preflight(&self, tx: &mut Transaction) -> Gate {
        if tx.request.method() != Method::OPTIONS {
            return CONTINUE;
        }
        let Some(method) = tx.request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD) else {
            return CONTINUE;
        };
        let Ok(method) = Method::from_bytes(method.as_bytes()) else { return CONTINUE };
        let route = match self.find(tx, &method) {
            Found::Route(id, _) => Some(self.policy().route(id)),
            Found::MethodNotAllowed(_) | Found::Nothing => None,
        };
        let Some(cors) = route.and_then(|route| route.cors.as_ref()).or(self.policy().cors.as_ref()) else {
            return CONTINUE;
        };
        let (reason, headers) = match cors.preflight(tx.request.method(), tx.request.headers()) {
            Preflight::NotPreflight => return CONTINUE,
            Preflight::Allow(headers) => (Reason::CorsPreflight, headers),
            Preflight::Refuse(_) => {
                tx.decide(Reason::CorsRefused, Rule::BuiltIn);
                return ControlFlow::Break(plain(403, "Cross-origin request refused"));
            }
        };
        tx.decide(reason, Rule::BuiltIn);
        let mut response = text_response(204, "", TEXT_PLAIN);
        response.headers_mut().extend(headers);
        ControlFlow::Break(response)
    }

    /// The route's own answer, when it has one.
    fn answer(&self, tx: &mut Transaction) -> Gate {
        let Some(id) = tx.route else { return CONTINUE };
        tx.place.answer = tx.place.comes_later && stage::answer_depends_on_place(self.policy().route(id));
        match &self.policy().route(id).action {
            Action::Proxy { .. } | Action::Handle(_) => CONTINUE,
            Action::Redirect(redirect) => ControlFlow::Break(self.redirect(tx, id, redirect)),
            Action::Respond(fixed) => {
                let response = self.fixed_response(tx, fixed);
                tx.decide(Reason::RouteResponded, Rule::Route(id));
                ControlFlow::Break(response)
            }
        }
    }

    fn fixed_response(&self, tx: &Transaction, fixed: &FixedResponse) -> Response<Body> {
        let encoding = Encoding::of_media_type(&fixed.content_type);
        let body = fixed.body.render(&RequestValues { engine: self, tx }, encoding);
        text_response(fixed.status, body.into_bytes(), &fixed.content_type)
    }
}

pub(super) fn plain(status: u16, body: &'static str) -> Response<Body> {
    text_response(status, body, TEXT_PLAIN)
}

fn refuse(refusal: &Refusal) -> Response<Body> {
    text_response(refusal.status, refusal.body.clone().into_bytes(), TEXT_PLAIN)
}

fn method_not_allowed(tx: &mut Transaction, methods: &[String]) -> Response<Body> {
    tx.decide(Reason::RouteMethodNotAllowed, Rule::BuiltIn);
    let mut response = plain(405, "Method not allowed");
    let allow = HeaderValue::from_str(&methods.join(", ")).expect("checked methods are tokens");
    response.headers_mut().insert(header::ALLOW, allow);
    response
}
