//! The bodies of one exchange, by the handles that the core knows.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body as HttpBody;
use selvedge_core::body::{Body, BodyHandle};
use selvedge_core::effect::ReadBodyError;

/// Every body of one exchange that is still with the host; each can be taken once.
#[derive(Debug)]
pub struct Bodies<B> {
    slots: RefCell<Vec<Option<B>>>,
}

impl<B> Default for Bodies<B> {
    fn default() -> Self {
        Self { slots: RefCell::default() }
    }
}

impl<B: HttpBody> Bodies<B> {
    /// Keeps a body and returns what the core gets to see of it.
    ///
    /// # Panics
    /// When an exchange has more than `u32::MAX` bodies.
    pub fn keep(&self, body: B) -> Body {
        if body.is_end_stream() {
            return Body::Empty;
        }
        let mut slots = self.slots.borrow_mut();
        let handle = u32::try_from(slots.len()).expect("an exchange has a handful of bodies");
        slots.push(Some(body));
        Body::Host(BodyHandle(handle))
    }

    /// Hands a body out; `None` when it was handed out before.
    pub fn take(&self, handle: BodyHandle) -> Option<B> {
        self.slots.borrow_mut().get_mut(handle.0 as usize)?.take()
    }

    /// Puts another body in the place of one; nothing happens when it was handed out before.
    pub fn replace(&self, handle: BodyHandle, with: impl FnOnce(B) -> B) {
        if let Some(slot) = self.slots.borrow_mut().get_mut(handle.0 as usize) {
            *slot = slot.take().map(with);
        }
    }

    /// Hands out every body that nobody took.
    pub fn take_rest(&self) -> impl Iterator<Item = B> + use<B> {
        std::mem::take(&mut *self.slots.borrow_mut()).into_iter().flatten()
    }
}

/// Reads a whole body into memory.
///
/// # Errors
/// When it breaks off or is longer than `limit`.
pub async fn read<B>(mut body: B, limit: usize) -> Result<Bytes, ReadBodyError>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(|_| ReadBodyError::Broken)?.into_data() else { continue };
        if chunk.len() > limit - whole.len() {
            return Err(ReadBodyError::TooLarge);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[test]
    fn a_body_is_handed_out_once_and_an_empty_one_never() {
        let bodies = Bodies::default();
        assert_eq!(bodies.keep(Full::new(Bytes::new())), Body::Empty);
        let Body::Host(handle) = bodies.keep(Full::new(Bytes::from_static(b"a"))) else {
            panic!("it stays with the host");
        };
        bodies.replace(handle, |_| Full::new(Bytes::from_static(b"b")));
        assert!(bodies.take(handle).is_some());
        assert!(bodies.take(handle).is_none());
        assert_eq!(bodies.take_rest().count(), 0);
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        let body = || Full::new(Bytes::from_static(b"12345"));
        assert_eq!(read(body(), 5).await, Ok(Bytes::from_static(b"12345")));
        assert_eq!(read(body(), 4).await, Err(ReadBodyError::TooLarge));
    }
}
