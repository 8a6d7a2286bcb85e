//! What triggers tell each other, lost or forged.

use super::*;

/// What can be wrong with a sealed header.
fn wrong(sealed: &str) -> Vec<(&'static str, Option<String>)> {
    let mut forged = sealed.to_owned();
    let last = if forged.pop() == Some('A') { 'B' } else { 'A' };
    forged.push(last);
    let half = sealed[..sealed.len() / 2].to_owned();
    vec![
        ("missing", None),
        ("empty", Some(String::new())),
        ("text", Some("{\"bot\":null}".to_owned())),
        ("not ASCII", Some("\u{e9}".to_owned())),
        ("forged", Some(forged)),
        ("half", Some(half)),
        ("long", Some("A".repeat(5_000))),
    ]
}

fn state(headers: &Headers) -> String {
    all(headers, "selvedge-state").concat()
}

fn with_state(headers: &mut Headers, state: Option<&str>) {
    headers.remove("selvedge-state");
    if let Some(state) = state {
        headers.insert("selvedge-state", state);
    }
}

/// Everything that one visit seals.
struct Sealed {
    entered: Request,
    sent: Request,
    arrived: Response,
}

fn visit(edge: &Arc<Edge>) -> Sealed {
    let entered = enter(edge, get("/items/1", &[("Cookie", "hero=one; session=1")]));
    let sent = depart(edge, entered.clone(), "DE");
    let arrived = arrive(edge, sent.clone(), respond(200, &[("X-Backend", "1")]));
    Sealed { entered, sent, arrived }
}

/// What is not to be opened at a trigger: what is wrong, what another key sealed, and what has other purposes.
fn refused(own: &str, other_purposes: [&str; 2], of_old_key: &str) -> Vec<(&'static str, Option<String>)> {
    let mut rows = wrong(own);
    rows.extend(other_purposes.map(|sealed| ("of another purpose", Some(sealed.to_owned()))));
    rows.push(("of an old key", Some(of_old_key.to_owned())));
    rows
}

#[test]
fn origin_request_decides_anew_what_it_is_not_told() {
    let edge = edge(SHOP);
    let Sealed { entered, sent, arrived } = visit(&edge);
    let old = visit(&edge_with(SHOP, [8; KEY_BYTES], None));
    let expected = depart(&edge, entered.clone(), "DE");
    let (passage, mark) = (state(&sent.headers), state(&arrived.headers));
    for (what, told) in refused(&state(&entered.headers), [&passage, &mark], &state(&old.entered.headers)) {
        let mut request = entered.clone();
        with_state(&mut request.headers, told.as_deref());
        assert_eq!(depart(&edge, request, "DE"), expected, "{what}: the cookie says the variation as well");
    }
}

#[test]
fn origin_response_passes_what_it_knows_nothing_of() {
    let edge = edge(SHOP);
    let Sealed { entered, sent, arrived } = visit(&edge);
    let old = visit(&edge_with(SHOP, [8; KEY_BYTES], None));
    let (learnt, mark) = (state(&entered.headers), state(&arrived.headers));
    let rows = refused(&state(&sent.headers), [&learnt, &mark], &state(&old.sent.headers));
    for (what, told) in rows.into_iter().filter(|(_, told)| told.is_some()) {
        let mut sent = sent.clone();
        with_state(&mut sent.headers, told.as_deref());
        let came = respond(200, &[("X-Backend", "1"), ("selvedge-state", &mark)]);
        assert_eq!(arrive(&edge, sent, came), respond(200, &[("X-Backend", "1")]), "{what}");
    }
}

#[test]
fn origin_response_makes_a_request_anew_that_was_sent_whole() {
    let edge = edge(SHOP);
    let sent = depart(&edge, enter(&edge, get("/api", &[])), "DE");
    assert!(!sent.headers.contains("selvedge-state"), "nothing internal leaves the edge");
    let arrived = arrive(&edge, sent, respond(404, &[("Content-Type", "text/plain")]));
    assert_eq!(all(&arrived.headers, "x-served-by"), ["selvedge"], "it is the response of the edge");
    assert!(all(&arrived.headers, "cache-status").concat().contains("fwd=bypass"), "{arrived:?}");
}

#[test]
fn viewer_response_passes_what_it_knows_nothing_of() {
    let edge = edge(SHOP);
    let Sealed { entered, sent, arrived } = visit(&edge);
    let old = visit(&edge_with(SHOP, [8; KEY_BYTES], None));
    let passes = |entered: Request, arrived: Response, what: &str| {
        let mut expected = arrived.clone();
        expected.headers.remove("selvedge-state");
        assert_eq!(leave(&edge, entered, arrived), expected, "{what}");
    };
    let (learnt, passage, mark) = (state(&entered.headers), state(&sent.headers), state(&arrived.headers));
    for (what, told) in refused(&mark, [&learnt, &passage], &state(&old.arrived.headers)) {
        let mut arrived = arrived.clone();
        with_state(&mut arrived.headers, told.as_deref());
        passes(entered.clone(), arrived, what);
    }
    for (what, told) in refused(&learnt, [&passage, &mark], &state(&old.entered.headers)) {
        let mut entered = entered.clone();
        with_state(&mut entered.headers, told.as_deref());
        passes(entered, arrived.clone(), what);
    }
}

#[test]
fn a_client_cannot_replay_what_was_sealed() {
    let edge = edge(SHOP);
    let Sealed { entered, .. } = visit(&edge);
    let replayed = state(&entered.headers);
    let again = get("/items/1", &[("Cookie", "hero=two"), ("selvedge-state", &replayed)]);
    let sent = depart(&edge, enter(&edge, again), "DE");
    assert_eq!(all(&sent.headers, "x-hero"), ["2"], "the variation is the cookie's");
}

#[test]
fn a_seal_hides_what_it_holds() {
    let edge = edge(SHOP);
    let Sealed { entered, sent, arrived } = visit(&edge);
    let other = edge_with(SHOP, [8; KEY_BYTES], None);
    let others = visit(&other);
    for (own, other) in [
        (state(&entered.headers), state(&others.entered.headers)),
        (state(&sent.headers), state(&others.sent.headers)),
        (state(&arrived.headers), state(&others.arrived.headers)),
    ] {
        assert_ne!(own, other, "the key is what makes it");
        assert!(own.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{own}");
    }
}
