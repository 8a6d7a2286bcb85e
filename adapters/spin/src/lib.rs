//! Spin: an edge policy as a WASI 0.3 component, a native host for [`selvedge_core`].
//!
//! A component is one line, `selvedge_spin::component!();`, in a crate of the type `cdylib`. The compiled policy is
//! mounted beside it as `/policy.bin`, so that another policy needs no compiling. It decides nothing about a request.
//!
//! One instance answers many requests, several at once, on one thread. What they share is made by the first of them and never
//! changes; what belongs to one request lives in that request's own task.

pub mod variables;

#[cfg(feature = "component")]
mod body;
#[cfg(feature = "component")]
mod component;
#[cfg(feature = "component")]
mod effects;
#[cfg(feature = "component")]
mod facts;
#[cfg(feature = "component")]
mod fetch;
#[cfg(feature = "component")]
mod fields;
#[cfg(feature = "component")]
mod observed;
#[cfg(feature = "component")]
mod remembered;
#[cfg(feature = "component")]
mod request;
#[cfg(feature = "component")]
mod response;
#[cfg(feature = "component")]
mod settings;
#[cfg(feature = "component")]
mod store;
#[cfg(feature = "component")]
mod values;

/// Makes a crate a component for Spin, with the handlers that its policy names.
///
/// # Examples
/// ```no_run
/// selvedge_spin::component!();
/// ```
///
/// ```no_run
/// use selvedge_core::handler::HandlerContext;
///
/// selvedge_spin::component!(|edge| {
///     edge.handler("hello", async |_: HandlerContext| Ok(http::Response::new("Hello".into())))
/// });
/// ```
#[cfg(feature = "component")]
#[macro_export]
macro_rules! component {
    () => {
        $crate::component!(|edge| edge);
    };
    ($handlers:expr) => {
        // Only a component can have exports of such names.
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Component;

            impl $crate::export::Guest for Component {
                async fn handle(
                    request: $crate::export::Request,
                ) -> ::std::result::Result<$crate::export::Response, $crate::export::ErrorCode> {
                    $crate::export::handle(request, $handlers).await
                }
            }

            $crate::export::wasip3::http::service::export!(Component);
        };
    };
}

/// What [`component!`] expands to; nothing else is meant to use it.
#[cfg(feature = "component")]
#[doc(hidden)]
pub mod export {
    pub use crate::component::handle;
    pub use spin_sdk::wasip3;
    pub use spin_sdk::wasip3::exports::http::handler::Guest;
    pub use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};
}
