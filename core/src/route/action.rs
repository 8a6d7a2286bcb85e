//! What a route does.

use serde::{Deserialize, Serialize};

use super::weighted::Weighted;
use crate::backend::BackendId;
use crate::geo::by_place::ByPlace;
use crate::template::Template;

/// What a route does with a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Sends it to a backend.
    Proxy {
        /// Which backend.
        backend: BackendChoice,
        /// The path, and the query when it holds one, that the backend sees in place of the client's.
        rewrite: Option<Template>,
    },
    /// Sends the client elsewhere.
    Redirect(Redirect),
    /// Answers by itself.
    Respond(FixedResponse),
    /// Asks the handler of this name.
    Handle(String),
}

/// Which backend a request goes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum BackendChoice {
    /// Always this one.
    One(BackendId),
    /// By the client's place.
    ByPlace(ByPlace<BackendId>),
    /// The nearest by great-circle distance.
    Nearest {
        /// Backends to choose from; each has coordinates.
        candidates: Vec<BackendId>,
        /// For a client whose place is unknown.
        unknown: BackendId,
    },
    /// By weights, drawn anew for each request.
    Weighted(Weighted),
}

/// A redirect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// The target by the client's place.
    pub target: ByPlace<Template>,
    /// Whether the request's query is added to the target.
    pub keep_query: bool,
}

/// A fixed answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FixedResponse {
    /// 200 to 599.
    pub status: u16,
    /// The body.
    pub body: Template,
    /// The media type.
    pub content_type: String,
}

impl BackendChoice {
    /// Returns whether another backend can follow the first one, whatever that one's failover order is.
    #[must_use]
    pub fn is_draw(&self) -> bool {
        match self {
            Self::Weighted(weighted) => weighted.backends().count() > 1,
            Self::One(_) | Self::ByPlace(_) | Self::Nearest { .. } => false,
        }
    }

    /// Returns every backend that can be chosen.
    pub fn backends(&self) -> Vec<BackendId> {
        match self {
            Self::One(id) => vec![*id],
            Self::ByPlace(by_place) => by_place.values().copied().collect(),
            Self::Nearest { candidates, unknown } => candidates.iter().copied().chain([*unknown]).collect(),
            Self::Weighted(weighted) => weighted.backends().collect(),
        }
    }
}
