//! A backend's body on its way to whoever reads it, which may have to be whole by some time, and whose end may be of interest.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use selvedge_core::health::BodyEnd;
use tokio::time::{Instant, Sleep};

use crate::upload::UploadProgress;

/// A backend's body. One that is bounded breaks off when its time is over.
#[derive(Debug)]
pub struct BackendBody<B = Incoming> {
    body: B,
    watched: Option<Box<Watched>>,
}

/// Why a backend's body breaks off.
#[derive(Debug)]
pub enum BackendBodyError<E = hyper::Error> {
    /// Its connection broke.
    Connection(E),
    /// The backend took longer than the policy allows.
    Late,
}

/// What is to be known of a body.
struct Watched {
    bound: Option<Bound>,
    is_begun: bool,
    upload: UploadProgress,
    /// `None` once the end is told.
    on_end: Option<Box<dyn FnOnce(BodyEnd) + Send>>,
}

/// The time that a response has from the start of its fetch.
struct Bound {
    end: Pin<Box<Sleep>>,
    total: Duration,
    /// How much of it was spent on waiting for the backend.
    waited: Duration,
    waiting: Option<Instant>,
}

impl<B: HttpBody<Data = Bytes> + Unpin> BackendBody<B> {
    /// Takes a body that may take as long as it does, and of whose end nobody wants to know.
    #[must_use]
    pub fn new(body: B) -> Self {
        Self { body, watched: None }
    }

    /// Takes a body and calls `on_end` when it ends, for which it has until `total` is over since `started`, the start of its fetch.
    ///
    /// The end is [`BodyEnd::Late`] then if the backend was waited for through half of that time, the wait for its head included, and
    /// [`BodyEnd::Left`] else: a client that reads slowly is not its failure, and neither is a request of whose upload the client broke off.
    #[must_use]
    pub fn watched(
        body: B,
        total: Option<Duration>,
        started: Instant,
        upload: UploadProgress,
        on_end: impl FnOnce(BodyEnd) + Send + 'static,
    ) -> Self {
        if body.is_end_stream() {
            return Self::new(body);
        }
        let bound = total.map(|total| Bound::new(total, started));
        let watched = Watched { bound, is_begun: false, upload, on_end: Some(Box::new(on_end)) };
        Self { body, watched: Some(Box::new(watched)) }
    }
}

impl Watched {
    fn end(&mut self, end: BodyEnd) {
        let end = if end == BodyEnd::Broken && self.upload.has_failed() { BodyEnd::Left } else { end };
        if let Some(on_end) = self.on_end.take() {
            on_end(end);
        }
    }

    /// Whether the time is over; whoever asks is woken when it is.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.is_begun = true;
        let Some(bound) = &mut self.bound else { return false };
        let is_over = bound.end.as_mut().poll(cx).is_ready();
        if is_over {
            bound.on_frame();
            let end = if bound.waited * 2 >= bound.total { BodyEnd::Late } else { BodyEnd::Left };
            self.end(end);
        }
        is_over
    }

    fn on_wait(&mut self) {
        self.bound.iter_mut().for_each(Bound::on_wait);
    }

    fn on_frame(&mut self) {
        self.bound.iter_mut().for_each(Bound::on_frame);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.end(if self.is_begun { BodyEnd::Left } else { BodyEnd::Unread });
    }
}

impl Bound {
    fn new(total: Duration, started: Instant) -> Self {
        let end = Box::pin(tokio::time::sleep_until(started + total));
        Self { end, total, waited: started.elapsed(), waiting: None }
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
        if this.watched.as_mut().is_some_and(|watched| watched.is_over(cx)) {
            return Poll::Ready(Some(Err(BackendBodyError::Late)));
        }
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if let Some(watched) = &mut this.watched {
            match &frame {
                Poll::Pending => watched.on_wait(),
                Poll::Ready(Some(Err(_))) => watched.end(BodyEnd::Broken),
                // Whoever knows the length does not ask for more than the last frame.
                Poll::Ready(Some(Ok(_))) if !this.body.is_end_stream() => watched.on_frame(),
                Poll::Ready(_) => {
                    watched.end(BodyEnd::Whole);
                    this.watched = None;
                }
            }
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

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = self.bound.as_ref().map(|bound| (bound.total, bound.waited));
        f.debug_struct("Watched").field("total_and_waited", &times).finish_non_exhaustive()
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
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use http_body_util::BodyExt as _;
    use tokio::time::sleep;

    use super::*;

    const TOTAL: Duration = Duration::from_secs(10);

    /// A body with a frame each time that so long has passed, that may break off.
    struct Dripping {
        every: Duration,
        left: u32,
        breaks: bool,
        next: Pin<Box<Sleep>>,
    }

    impl Dripping {
        fn new(every: Duration, left: u32) -> Self {
            Self { every, left, breaks: false, next: Box::pin(sleep(every)) }
        }
    }

    impl HttpBody for Dripping {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            if self.left == 0 {
                return Poll::Ready(self.breaks.then_some(Err("it broke off")));
            }
            std::task::ready!(self.next.as_mut().poll(cx));
            let every = self.every;
            self.next.set(sleep(every));
            self.left -= 1;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"a")))))
        }
    }

    type Ends = Arc<Mutex<VecDeque<BodyEnd>>>;

    fn watched<B: HttpBody<Data = Bytes> + Unpin>(
        body: B,
        total: Option<Duration>,
    ) -> (BackendBody<B>, Ends) {
        let ends = Ends::default();
        let told = Arc::clone(&ends);
        let on_end = move |end| told.lock().expect("nothing panics").push_back(end);
        (BackendBody::watched(body, total, Instant::now(), UploadProgress::default().share(), on_end), ends)
    }

    /// The end that was told, and that it was told once.
    fn told(ends: &Ends) -> Option<BodyEnd> {
        let mut ends = ends.lock().expect("nothing panics");
        let end = ends.pop_front();
        assert_eq!(ends.len(), 0, "one end is told");
        end
    }

    /// Reads a body, after a pause before each frame; how many frames came, and how it ended.
    async fn read(body: Dripping, pause: Duration) -> (u32, Option<BodyEnd>) {
        let (mut body, ends) = watched(body, Some(TOTAL));
        let mut frames = 0;
        loop {
            sleep(pause).await;
            match body.frame().await {
                Some(Ok(_)) => frames += 1,
                Some(Err(error)) => {
                    assert!(matches!(error, BackendBodyError::Late), "{error}");
                    let again = body.frame().await;
                    assert!(matches!(again, Some(Err(_))), "it never looks like an end");
                    break;
                }
                None => break,
            }
        }
        drop(body);
        (frames, told(&ends))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_there_in_time_comes_whole() {
        let body = Dripping::new(Duration::from_secs(3), 3);
        assert_eq!(read(body, Duration::ZERO).await, (3, Some(BodyEnd::Whole)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_or_stands_still_breaks_off_and_is_late() {
        let drips = Dripping::new(Duration::from_secs(3), 9);
        assert_eq!(read(drips, Duration::ZERO).await, (3, Some(BodyEnd::Late)));
        let stands = Dripping::new(TOTAL * 9, 1);
        assert_eq!(read(stands, Duration::ZERO).await, (0, Some(BodyEnd::Late)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_is_cut_off_and_that_says_nothing_of_the_backend() {
        let body = Dripping::new(Duration::from_millis(1), 900);
        assert_eq!(read(body, Duration::from_millis(900)).await, (11, Some(BodyEnd::Left)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_for_the_head_counts() {
        let started = Instant::now();
        sleep(TOTAL - Duration::from_secs(1)).await;
        let dripping = Dripping::new(Duration::from_secs(2), 9);
        let upload = UploadProgress::default();
        let mut body = BackendBody::watched(dripping, Some(TOTAL), started, upload, |_| {});
        assert!(matches!(body.frame().await, Some(Err(BackendBodyError::Late))));
        assert_eq!(started.elapsed(), TOTAL);
    }

    #[tokio::test(start_paused = true)]
    async fn the_backend_that_breaks_a_body_off_is_told_apart_from_the_client_that_does() {
        let breaks = || Dripping { breaks: true, ..Dripping::new(Duration::ZERO, 1) };
        for (total, has_failed, expected) in [
            (Some(TOTAL), false, BodyEnd::Broken),
            (None, false, BodyEnd::Broken),
            (None, true, BodyEnd::Left),
        ] {
            let (mut body, ends) = watched(breaks(), total);
            let watched = body.watched.as_mut().expect("it is");
            if has_failed {
                watched.upload.fail();
            }
            assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
            assert!(body.frame().await.is_some_and(|frame| frame.is_err()));
            drop(body);
            assert_eq!(told(&ends), Some(expected));
        }
        let (mut body, ends) = watched(breaks(), None);
        assert!(body.frame().await.is_some());
        drop(body);
        assert_eq!(told(&ends), Some(BodyEnd::Left), "the client went away");
        let (body, ends) = watched(breaks(), None);
        drop(body);
        assert_eq!(told(&ends), Some(BodyEnd::Unread));
    }

    #[tokio::test]
    async fn a_body_of_known_length_is_whole_with_its_last_frame() {
        let (mut body, ends) = watched(http_body_util::Full::new(Bytes::from_static(b"a")), None);
        assert!(body.frame().await.is_some());
        assert_eq!(told(&ends), Some(BodyEnd::Whole));
    }
}
