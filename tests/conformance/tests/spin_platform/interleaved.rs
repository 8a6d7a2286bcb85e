//! Many requests in one instance, whose effects come in any order.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use selvedge_conformance::Observed;

use super::app::App;
use super::client::{all, send_from, step, text};

const REQUESTS: usize = 10_000;

/// As many as Spin gives one instance at once.
const AT_ONCE: usize = 16;

const POLICY: &str = r#"
[spin]
front = "akamai"

[backends.a]
url = "http://BACKEND"

[[geo.rules]]
action = "block"
countries = ["CN"]
body = "blocked"

[[routes]]
path = "/go/{n}"
redirect = { to = "/in/{country}/{n}" }

[[routes]]
path = "/handled/{name}"
methods = ["POST"]
handler = "echo"

[[routes]]
path = "/cached/{*rest}"
backend = "a"

[[routes]]
path = "/{*rest}"
methods = ["GET", "HEAD", "POST"]
backend = "a"
cache = { store = false }

[experiments.hero]
paths = "/page/{n}"
include-bots = true
identity-cookie = "visitor"
sticky = { cookie = "hero" }
variations = [
    { name = "one", weight = 1, request-headers = { X-Hero = "one" } },
    { name = "two", weight = 1, request-headers = { X-Hero = "two" } },
]
"#;

#[test]
fn ten_thousand_interleaved_requests_are_never_mixed_up() {
    let app = App::with(POLICY, |config| config.threads = 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let next = Arc::new(AtomicUsize::new(0));
    let visitors = runtime.block_on(async {
        let clients = (0..AT_ONCE).map(|_| tokio::spawn(client(app.address(), Arc::clone(&next))));
        let mut visitors = Vec::new();
        for client in clients.collect::<Vec<_>>() {
            visitors.extend(client.await.unwrap());
        }
        visitors
    });
    let distinct: BTreeSet<_> = visitors.iter().collect();
    assert_eq!(distinct.len(), visitors.len(), "no two visitors are the same");
    assert_eq!(visitors.len(), REQUESTS / 16, "each new visitor is given an identity, and nobody else");
}

/// Sends one request after the other; returns the identities that were given.
async fn client(to: SocketAddr, next: Arc<AtomicUsize>) -> Vec<String> {
    let mut visitors = Vec::new();
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= REQUESTS {
            return visitors;
        }
        visitors.extend(ask(to, n).await);
    }
}

/// Sends the request of a number and checks the whole answer; returns the identity that it gives, if it does.
async fn ask(to: SocketAddr, n: usize) -> Option<String> {
    let address = format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255);
    let country = if n.is_multiple_of(2) { "DE" } else { "FR" };
    let id = n.to_string();
    let hero = if n.is_multiple_of(3) { "one" } else { "two" };
    let cookie = format!("hero={hero}; visitor=v{n}");
    let fields = [("x-id", id.as_str()), ("cookie", &cookie)];
    let body = format!("{n} ").repeat(1 + n % 9000);
    let told = |hero: &str, cookie: &str| format!("{address} {hero} {cookie}");
    match n % 8 {
        0 if n.is_multiple_of(16) => {
            let answer =
                send_from(to, &step("GET", &format!("/page/{n}"), &fields[..1], ""), &address, country).await;
            return Some(new_visitor(&answer, n, &address));
        }
        0 | 1 => {
            let answer =
                send_from(to, &step("GET", &format!("/page/{n}"), &fields, ""), &address, country).await;
            check(&answer, n, 200, &format!("/page/{n} {}", told(hero, &cookie)));
        }
        2 => {
            let answer = send_from(to, &step("POST", "/echo/x", &fields, &body), &address, country).await;
            check(&answer, n, 200, &body);
        }
        3 => {
            let place = n % 50;
            let answer =
                send_from(to, &step("GET", &format!("/cached/{place}"), &fields, ""), &address, country)
                    .await;
            assert_eq!((answer.status, text(&answer)), (200, place.to_string().repeat(1000).as_str()), "{n}");
            assert_eq!(all(&answer, "set-cookie"), Vec::<&str>::new(), "{n}");
        }
        4 => {
            let answer =
                send_from(to, &step("HEAD", &format!("/page/{n}"), &fields, ""), &address, country).await;
            check(&answer, n, 200, "");
        }
        5 => {
            let answer =
                send_from(to, &step("GET", &format!("/empty/{n}"), &fields, ""), &address, country).await;
            check(&answer, n, 204, "");
            assert_eq!(all(&answer, "x-facts"), [told("", &cookie)], "{n}");
        }
        6 if n % 16 == 6 => {
            let answer = send_from(to, &step("GET", "/page/x", &fields, ""), &address, "CN").await;
            assert_eq!((answer.status, text(&answer)), (403, "blocked"), "{n}");
        }
        6 => {
            let answer =
                send_from(to, &step("GET", &format!("/go/{n}"), &fields, ""), &address, country).await;
            assert_eq!(
                (answer.status, all(&answer, "location")),
                (302, vec![format!("/in/{country}/{n}").as_str()])
            );
        }
        _ => {
            let answer =
                send_from(to, &step("POST", &format!("/handled/h{n}"), &fields, &id), &address, country)
                    .await;
            assert_eq!((answer.status, text(&answer)), (200, format!("POST h{n}: {n}").as_str()), "{n}");
        }
    }
    None
}

fn check(answer: &Observed, n: usize, status: u16, body: &str) {
    assert_eq!((answer.status, text(answer)), (status, body), "{n}");
    assert_eq!(all(answer, "x-id"), [n.to_string()], "{n}: the answer is its own");
    assert_eq!(all(answer, "set-cookie"), Vec::<&str>::new(), "{n}: whoever is known is given nothing");
}

/// Checks the page of somebody without cookies, whose cookies have to say what the backend was told.
fn new_visitor(answer: &Observed, n: usize, address: &str) -> String {
    let cookies = all(answer, "set-cookie");
    let value = |name: &str| {
        let cookie = cookies.iter().find_map(|cookie| cookie.strip_prefix(name)?.split(';').next());
        cookie.unwrap_or_else(|| panic!("{n} is not given {name}: {cookies:?}")).to_owned()
    };
    let (hero, visitor) = (value("hero="), value("visitor="));
    assert_eq!(cookies.len(), 2, "{n}: {cookies:?}");
    assert_eq!((answer.status, text(answer)), (200, format!("/page/{n} {address} {hero} ").as_str()));
    assert_eq!(all(answer, "x-id"), [n.to_string()]);
    visitor
}
