//! A handler that panics takes down its own request and no other.

use std::thread;

use super::client::send;
use super::edge::shared;

const CLIENTS: usize = 16;
const REQUESTS: usize = 24;

#[test]
fn under_load_only_the_requests_that_panic_fail() {
    let shared = shared();
    let edge = shared.address();
    let client = |number: usize| {
        move || {
            let paths = ["/panic", "/late-panic", "/length", "/other"].into_iter().cycle().skip(number);
            let answers = paths.take(REQUESTS).map(|path| (path, send(edge, "GET", path, &[])));
            answers.map(|(path, answer)| (path, answer.status, answer.text().to_owned())).collect::<Vec<_>>()
        }
    };
    let clients: Vec<_> = (0..CLIENTS).map(|number| thread::spawn(client(number))).collect();
    let answers: Vec<_> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    for (path, status, body) in &answers {
        let expected = if path.ends_with("panic") { (503, "sorry") } else { (200, "hello") };
        assert_eq!((*status, body.as_str()), expected, "{path}");
    }
    let panicked = answers.iter().filter(|(path, ..)| path.ends_with("panic")).count();
    assert_eq!((answers.len(), panicked), (CLIENTS * REQUESTS, CLIENTS * REQUESTS / 2));
}
