//! A backend's body on its way to whoever reads it, which may have to be whole by some time.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

/// A backend's body. One that is bounded breaks off when its time is over.
#[derive(Debug)]
pub struct BackendBody<B = Incoming> {
    body: B,
    bound: Option<Box<Bound>>,
}

/// Why a backend's body breaks off.
#[derive(Debug)]
pub enum BackendBodyError<E = hyper::Error> {
    /// Its connection broke.
    Connection(E),
    /// The backend took longer than the policy allows.
    Late,
}

/// The time that a response has from the start of its fetch.
struct Bound {
    end: Pin<Box<Sleep>>,
    total: Duration,
    /// How much of it was spent on waiting for the backend.
    waited: Duration,
    waiting: Option<Instant>,
    on_cut: Option<Box<dyn FnOnce() + Send>>,
}

impl<B: HttpBody<Data = Bytes> + Unpin> BackendBody<B> {
    /// Takes a body that may take as long as it does.
    #[must_use]
    pub fn new(body: B) -> Self {
        Self { body, bound: None }
    }

    /// Takes a body that breaks off when `total` is over since `started`, the start of its fetch. `on_cut` is called then if the
    /// backend was waited for through half of that time, the wait for its head included: a client that reads slowly is not its failure.
    #[must_use]
    pub fn within(
        body: B,
        total: Duration,
        started: Instant,
        on_cut: impl FnOnce() + Send + 'static,
    ) -> Self {
        if body.is_end_stream() {
            return Self::new(body);
        }
        let end = Box::pin(tokio::time::sleep_until(started + total));
        let (waited, on_cut) = (started.elapsed(), Some(Box::new(on_cut) as Box<_>));
        Self { body, bound: Some(Box::new(Bound { end, total, waited, waiting: None, on_cut })) }
    }
}

impl Bound {
    /// Whether the time is over; whoever asks is woken when it is.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let is_over = self.end.as_mut().poll(cx).is_ready();
        if is_over {
            self.on_frame();
            if let Some(on_cut) = self.on_cut.take().filter(|_| self.waited * 2 >= self.total) {
                on_cut();
            }
        }
        is_over
    }

    fn on_wait(&mut self) {
        self.waiting.get_or_insert_with(Instant::now);
    }

    fn on_frame(&mut self) {
        self.waited += self.waiting.take().map_or(Duration::ZERO, |since| since.elapsed());
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for BackendBody<B> {
    type Data = Bytes;
    type Error = BackendBodyError<B::Error>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if this.bound.as_mut().is_some_and(|bound| bound.is_over(cx)) {
            return Poll::Ready(Some(Err(BackendBodyError::Late)));
        }
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        match (&mut this.bound, &frame) {
            (Some(bound), Poll::Pending) => bound.on_wait(),
            (Some(bound), Poll::Ready(Some(_))) => bound.on_frame(),
            (bound @ Some(_), Poll::Ready(None)) => *bound = None,
            (None, _) => {}
        }
        frame.map(|frame| frame.map(|frame| frame.map_err(BackendBodyError::Connection)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound")
            .field("total", &self.total)
            .field("waited", &self.waited)
            .finish_non_exhaustive()
    }
}

impl<E: fmt::Display> fmt::Display for BackendBodyError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => write!(f, "the connection to the backend broke: {error}"),
            Self::Late => f.write_str("the backend took longer than the policy allows"),
        }
    }
}

impl<E: StdError + 'static> StdError for BackendBodyError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Connection(error) => Some(error),
            Self::Late => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use http_body_util::BodyExt as _;
    use tokio::time::sleep;

    use super::*;

    const TOTAL: Duration = Duration::from_secs(10);

    /// A body with a frame each time that so long has passed.
    struct Dripping {
        every: Duration,
        left: u32,
        next: Pin<Box<Sleep>>,
    }

    impl Dripping {
        fn new(every: Duration, left: u32) -> Self {
            Self { every, left, next: Box::pin(sleep(every)) }
        }
    }

    impl HttpBody for Dripping {
        type Data = Bytes;
        type Error = hyper::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
            if self.left == 0 {
                return Poll::Ready(None);
            }
            std::task::ready!(self.next.as_mut().poll(cx));
            let every = self.every;
            self.next.set(sleep(every));
            self.left -= 1;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"a")))))
        }
    }

    /// Reads a body, after a pause before each frame; how many frames came, how it ended, and how often the backend was blamed.
    async fn read(body: Dripping, pause: Duration) -> (u32, bool, u32) {
        let blamed = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&blamed);
        let on_cut = move || {
            counter.fetch_add(1, Ordering::SeqCst);
        };
        let mut body = BackendBody::within(body, TOTAL, Instant::now(), on_cut);
        let mut frames = 0;
        loop {
            sleep(pause).await;
            match body.frame().await {
                Some(Ok(_)) => frames += 1,
                Some(Err(error)) => {
                    assert!(matches!(error, BackendBodyError::Late), "{error}");
                    let again = body.frame().await;
                    assert!(matches!(again, Some(Err(_))), "it never looks like an end");
                    return (frames, false, blamed.load(Ordering::SeqCst));
                }
                None => return (frames, true, blamed.load(Ordering::SeqCst)),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_there_in_time_comes_whole() {
        assert_eq!(read(Dripping::new(Duration::from_secs(3), 3), Duration::ZERO).await, (3, true, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_or_stands_still_breaks_off_and_the_backend_is_blamed_once() {
        assert_eq!(read(Dripping::new(Duration::from_secs(3), 9), Duration::ZERO).await, (3, false, 1));
        assert_eq!(read(Dripping::new(TOTAL * 9, 1), Duration::ZERO).await, (0, false, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_is_cut_off_and_the_backend_not_blamed() {
        let body = Dripping::new(Duration::from_millis(1), 900);
        assert_eq!(read(body, Duration::from_millis(900)).await, (11, false, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_for_the_head_counts() {
        let started = Instant::now();
        sleep(TOTAL - Duration::from_secs(1)).await;
        let mut body = BackendBody::within(Dripping::new(Duration::from_secs(2), 9), TOTAL, started, || {});
        assert!(matches!(body.frame().await, Some(Err(BackendBodyError::Late))));
        assert_eq!(started.elapsed(), TOTAL);
    }
}
