use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use proptest::prelude::*;

use super::*;
use crate::backend::BackendId;
use crate::cache::lifetime::{LifetimeSource, Lifetimes};
use crate::cache::stored::{StoredParts, StoredResponse};
use crate::cache::vary::SelectingHeader;
use crate::effect::{CacheEntry, FetchError, ReadBodyError, StoreError};
use crate::facts::{Continent, Coordinates, CountryCode};
use crate::job::{Job, JobSource, Settlement};
use crate::reason::Reason;

const SEED: Seed = *b"0123456789abcdef";

/// A request with every fact.
const BEGIN: &str = "B\n1000\nPOST\nhttps://shop.example.com/a?b=c\n203.0.113.9\nDE\nEU\nBE\nKö\u{1e}ln\n50.9\n6.9\n\
                     Europe/Berlin\n3320\nHTTP/2\nTLSv1.3\n1\n30\n0\naccept\n*/*\nx-accent\ncafé\n\nwhole\n1";

/// A backend's response with the head of two fields.
const FETCHED: &str = "C\n1000\n7\n3\nfetch\n200\n4\n2\nset-cookie\na=1\nset-cookie\nb=2";

/// A body that was broken off.
const ENDED: &str = "O\n1000\n2\n3\n7\n200\nbroken";

/// A message of a queue.
const JOB: &str = "J\n1000\nqueue\norders\nid-1\n2\nit panicked";

fn decoded(text: impl AsRef<[u8]>, bytes: &[u8], names: &[HeaderName]) -> Result<Incoming, WireError> {
    decode(&Bytes::copy_from_slice(text.as_ref()), bytes, names)
}

fn begin(text: &str) -> Begin {
    match decoded(text, &SEED, &[]) {
        Ok(Incoming::Begin(begin)) => *begin,
        other => panic!("{other:?}"),
    }
}

fn completed(text: &str, bytes: &[u8]) -> EffectResult {
    completed_bytes(text.as_bytes(), bytes)
}

fn completed_bytes(text: &[u8], bytes: &[u8]) -> EffectResult {
    match decoded(text, bytes, &[]) {
        Ok(Incoming::Completed { exchange: 7, id: EffectId(3), result, now }) => {
            assert_eq!(now, Timestamp::from_millis(1000));
            *result
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_is_read_with_every_fact() {
    let Begin { request, whole, facts, seed, now } = begin(BEGIN);
    assert_eq!((whole, seed, now), (Whole::Yes, SEED, Timestamp::from_millis(1000)));
    assert_eq!(request.method(), http::Method::POST);
    assert_eq!(request.uri(), "https://shop.example.com/a?b=c");
    assert_eq!(request.body(), &Body::Host(REQUEST_BODY));
    assert_eq!(request.headers()["x-accent"].as_bytes(), "café".as_bytes(), "a value is its bytes");
    let expected = Facts {
        client_ip: "203.0.113.9".parse().ok(),
        country: CountryCode::new("DE"),
        continent: Continent::new("EU"),
        region: Some("BE".to_owned()),
        city: Some("Kö\nln".to_owned()),
        coordinates: Coordinates::new(50.9, 6.9),
        time_zone: Some("Europe/Berlin".to_owned()),
        asn: Some(3320),
        protocol: Some("HTTP/2".to_owned()),
        tls_version: Some("TLSv1.3".to_owned()),
        is_https: Some(true),
        bot_score: Some(30),
        is_verified_bot: Some(false),
    };
    assert_eq!(facts, expected);
}

#[test]
fn a_name_may_be_given_by_its_place() {
    let names = [HeaderName::from_static("accept"), HeaderName::from_static("x-b")];
    let text = BEGIN.replace("x-accent", ":1");
    let Ok(Incoming::Begin(begin)) = decoded(text, &SEED, &names) else { panic!("a request") };
    assert_eq!(begin.request.headers()["x-b"].as_bytes(), "café".as_bytes());
}

#[test]
fn facts_that_are_missing_or_senseless_are_none() {
    let blank = "B\n0\nGET\nhttp://a.test/\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\npart\n120\n0";
    let Begin { request, whole, facts, .. } = begin(blank);
    assert_eq!((request.body(), facts), (&Body::Empty, Facts::default()));
    assert_eq!(whole, Whole::Without(Omitted { bytes: 120 }));
    let senseless = "B\n0\nGET\nhttp://a.test/\nnowhere\nZZ\nXX\n\n\n91\n0\n\n-1\n\n\n\n300\n\n\nwhole\n0";
    assert_eq!(begin(senseless).facts, Facts::default());
    let crashed = BEGIN.replace("whole", "crashed\nit panicked");
    assert_eq!(begin(&crashed).whole, Whole::AfterCrash("it panicked".to_owned()));
}

#[test]
fn a_url_that_is_none_becomes_one_that_the_core_refuses() {
    use crate::target::{EncodedSlashes, Target};

    let request = begin(&BEGIN.replace("https://shop.example.com/a?b=c", "https://a b/")).request;
    assert!(Target::parse(request.uri(), request.headers(), EncodedSlashes::Reject).is_err(), "{request:?}");
}

#[test]
fn results_of_every_kind_are_read() {
    let EffectResult::Fetch(Ok(response)) = completed(FETCHED, b"") else { panic!("a response") };
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(response.body(), &Body::Host(BodyHandle(4)));
    let read = |rest: &str, bytes: &[u8]| completed(&format!("C\n1000\n7\n3\n{rest}"), bytes);
    for (word, error) in [
        ("connect", FetchError::Connect),
        ("timeout", FetchError::Timeout),
        ("protocol", FetchError::Protocol),
        ("body-too-large", FetchError::BodyTooLarge),
        ("client-body", FetchError::ClientBody),
        ("client-timeout", FetchError::ClientTimeout),
    ] {
        assert_eq!(error.as_str(), word);
        assert!(matches!(read(&format!("fetch\n{word}"), b""), EffectResult::Fetch(Err(e)) if e == error));
    }
    assert!(matches!(read("cache\n-", b""), EffectResult::CacheGet(None)));
    let EffectResult::CacheGet(Some(CacheEntry::Variants(found))) = read("cache\nV\n7\n1\naccept", b"")
    else {
        panic!("variants")
    };
    assert_eq!((&found.names[..], found.since.as_millis()), (&[http::header::ACCEPT][..], 7));
    assert!(matches!(read("put", b""), EffectResult::CachePut));
    assert!(matches!(read("purge", b""), EffectResult::CachePurge));
    assert!(matches!(read("slice\n-", b""), EffectResult::SliceBody(None)));
    assert!(matches!(read("slice\n5", b""), EffectResult::SliceBody(Some(Body::Host(BodyHandle(5))))));
    assert!(matches!(read("kv\n-", b""), EffectResult::KvGet(Ok(None))));
    assert!(matches!(read("kv\n=", b"x"), EffectResult::KvGet(Ok(Some(value))) if value == "x"));
    assert!(matches!(read("kv\n!", b""), EffectResult::KvGet(Err(StoreError))));
    assert!(matches!(read("kvput\n=", b""), EffectResult::KvPut(Ok(()))));
    assert!(matches!(read("kvput\n!", b""), EffectResult::KvPut(Err(StoreError))));
    assert!(matches!(read("count\n12", b""), EffectResult::Count(Ok(12))));
    assert!(matches!(read("count\n!", b""), EffectResult::Count(Err(StoreError))));
    assert!(matches!(read("body\n=", b"abc"), EffectResult::ReadBody(Ok(body)) if body == "abc"));
    assert!(matches!(read("body\ntoo-large", b""), EffectResult::ReadBody(Err(ReadBodyError::TooLarge))));
    assert!(matches!(read("body\nbroken", b""), EffectResult::ReadBody(Err(ReadBodyError::Broken))));
    assert!(matches!(read("enqueue\n=", b""), EffectResult::Enqueue(Ok(()))));
    assert!(matches!(read("enqueue\n!", b""), EffectResult::Enqueue(Err(StoreError))));
    assert!(matches!(read("sleep", b""), EffectResult::Sleep));
    assert!(matches!(read("record", b""), EffectResult::Record));
}

#[test]
fn a_job_is_read_with_its_message_behind_the_seed() {
    let job = |text: String| match decoded(text, &[&SEED[..], b"hello"].concat(), &[]) {
        Ok(Incoming::Job(begin)) => *begin,
        other => panic!("{other:?}"),
    };
    let BeginJob { job: found, crash, seed, now } = job(JOB.to_owned());
    let source = JobSource::Queue("orders".to_owned());
    let expected = Job { source, id: "id-1".to_owned(), attempt: 2, body: Bytes::from_static(b"hello") };
    assert_eq!((found, crash.as_deref()), (expected, Some("it panicked")));
    assert_eq!((seed, now), (SEED, Timestamp::from_millis(1000)));
    let scheduled = job("J\n1000\nschedule\nnightly\n5\n1\n".to_owned());
    assert_eq!(scheduled.job.source, JobSource::Schedule("nightly".to_owned()));
    assert_eq!(scheduled.crash, None);
    for text in ["J\n1000\npost\na\nb\n1\n", "J\n1000\nqueue\na\nb\n-1\n", "J\nsoon\nqueue\na\nb\n1\n"] {
        assert!(decoded(text, &SEED, &[]).is_err(), "{text:?}");
    }
}

#[test]
fn what_becomes_of_a_job_is_written_with_the_effects_behind_it() {
    use crate::effect::{Effect, EffectSpan, Issued, Record};
    use crate::exchange::{Rest, Settle, Step};

    let write = |settlement, rest, effects| {
        let (text, bytes) =
            encode_step(7, &Step::Settle(Settle { settlement, effects, rest }), Told::Codes).into_parts();
        assert_eq!(bytes, b"");
        String::from_utf8(text).expect("all of it is UTF-8")
    };
    let retry = Settlement::Retry { after: Duration::from_secs(90) };
    let (name, id, message) = ("q".to_owned(), "1".to_owned(), "status 503".to_owned());
    let record = Effect::Record(Record::JobFailure { name, id, message, settlement: retry });
    let issued = Issued { id: EffectId(2), span: EffectSpan::AfterResponse, effect: record };
    assert_eq!(write(Settlement::Done, Rest::Nothing, Vec::new()), "S\n7\n0\ndone\n0\n0");
    assert_eq!(write(Settlement::Dropped, Rest::Pending, Vec::new()), "S\n7\n1\ndropped\n0\n0");
    assert_eq!(
        write(retry, Rest::Nothing, vec![issued]),
        "S\n7\n0\nretry\n90\n1\nX\n2\njob-failure\nq\n1\nstatus 503; again in 90 s"
    );
}

#[test]
fn how_a_body_ended_is_told_by_its_backend_and_its_probe() {
    let told = |text: &str| match decoded(text, b"", &[]) {
        Ok(Incoming::BodyEnded { place, probe, status, end, now }) => (place, probe, status, end, now),
        other => panic!("{other:?}"),
    };
    let (place, now) = ((BackendId(2), 3), Timestamp::from_millis(1000));
    assert_eq!(told(ENDED), (place, Some(7), StatusCode::OK, BodyEnd::Broken, now));
    for end in BodyEnd::ALL {
        let text = format!("O\n1000\n2\n3\n-\n200\n{}", end.as_str());
        assert_eq!(told(&text), (place, None, StatusCode::OK, end, now));
    }
    let rows = [
        ("70000\n3\n-\n200\nwhole", "backend"),
        ("2\n3\n?\n200\nwhole", "probe"),
        ("2\n3\n-\n20\nwhole", "status"),
        ("2\n3\n-\n200\nwell", "end of a body"),
    ];
    for (rest, expected) in rows {
        let text = format!("O\n1000\n{rest}");
        let error = decoded(&text, b"", &[]).unwrap_err();
        assert_eq!(error.expected, expected, "{rest:?}");
    }
}

#[test]
fn a_message_that_is_cut_short_or_too_long_is_an_error() {
    for text in [BEGIN, FETCHED, JOB, ENDED] {
        let bytes: &[u8] = if [FETCHED, ENDED].contains(&text) { b"" } else { &SEED };
        let lines: Vec<_> = text.split('\n').collect();
        for end in 0..lines.len() {
            assert!(decoded(lines[..end].join("\n"), bytes, &[]).is_err(), "cut after {end} lines");
        }
        assert_eq!(decoded(format!("{text}\n"), bytes, &[]).unwrap_err().expected, "end");
    }
    assert_eq!(decoded(BEGIN, &SEED[..15], &[]).unwrap_err().expected, "seed");
}

#[test]
fn what_is_not_http_is_an_error() {
    let rows = [
        (BEGIN.replace("POST", "P OST"), "method"),
        (BEGIN.replace("x-accent", "x accent"), "header name"),
        (BEGIN.replace("*/*", "\u{7f}"), "header value"),
        (BEGIN.replace("\naccept", "\n:0"), "header name"),
        (BEGIN.replace("\naccept", "\n:x"), "header name"),
        (FETCHED.replace("\n2\nset", "\n5000\nset"), "number of header fields"),
        (BEGIN.replace("whole", "part\nx"), "bytes of omitted fields"),
        (BEGIN.replace("whole", "part\n-1"), "bytes of omitted fields"),
        (BEGIN.replace("whole\n1", "whole\n2"), "sign of a body"),
        (BEGIN.replace("whole", "half"), "completeness"),
        (FETCHED.replace("\n200\n", "\n20\n"), "status"),
        (FETCHED.replace("fetch", "Fetch"), "kind of result"),
        (FETCHED.replace('C', "Z"), "kind of message"),
    ];
    for (text, expected) in rows {
        assert_eq!(decoded(&text, &SEED, &[]).unwrap_err().expected, expected, "{text}");
    }
}

fn stored() -> StoredResponse {
    let mut headers = HeaderMap::new();
    headers.append("link", HeaderValue::from_static("</a>; rel=preload"));
    headers.append("link", HeaderValue::from_bytes(b"</caf\xe9>\t; rel=preload").unwrap());
    StoredResponse::from_parts(StoredParts {
        status: StatusCode::NOT_FOUND,
        headers,
        vary: vec![
            SelectingHeader { name: HeaderName::from_static("accept"), value: Some((*b"*/*\xff").into()) },
            SelectingHeader { name: HeaderName::from_static("cookie"), value: None },
        ],
        lifetimes: Lifetimes {
            fresh: Duration::from_secs(60),
            stale_while_revalidate: Duration::from_millis(1),
            stale_if_error: Duration::ZERO,
            source: LifetimeSource::Rule,
        },
        may_be_stale: true,
        tags: vec!["a".to_owned(), "b c".to_owned()],
        date: Timestamp::from_millis(1),
        request_time: Timestamp::from_millis(2),
        response_time: Timestamp::from_millis(3),
        initial_age: Duration::from_secs(4),
    })
}

#[test]
fn a_stored_head_comes_back_as_it_was_and_a_damaged_one_counts_as_not_there() {
    let line = head::write(&stored());
    assert!(!line.contains(&b'\n'), "it is one line: {line:?}");
    assert_eq!(head::read(&line), Some(stored()));
    let values: Vec<_> = line.split(|byte| *byte == 0x1f).collect();
    for end in 0..values.len() {
        assert_eq!(head::read(&values[..end].join(&0x1f)), None, "cut after {end} values");
    }
    assert_eq!(head::read(&[b"3", &line[1..]].concat()), None, "another version");
    let message = [b"C\n1000\n7\n3\ncache\nR\n", &line[..], b"\n5"].concat();
    let EffectResult::CacheGet(Some(CacheEntry::Response(head, body))) = completed_bytes(&message, b"")
    else {
        panic!("a stored response")
    };
    assert_eq!((&*head, body), (&stored(), Body::Host(BodyHandle(5))));
    let damaged = completed("C\n1000\n7\n3\ncache\nR\n1\u{1f}9\n5", b"");
    assert!(matches!(damaged, EffectResult::CacheGet(None)), "{damaged:?}");
}

#[test]
fn every_effect_is_written_line_by_line() {
    use crate::cache::purge::{Manner, Purge};
    use crate::effect::{CachePurge, CachePut, Effect, EffectSpan, Fetch, Issued, Record, Variants, Watch};
    use crate::exchange::Step;

    let mut request =
        Request::post("https://a.test/x").header("host", "a.test").body(Body::Host(REQUEST_BODY)).unwrap();
    request.headers_mut().append("x-bytes", HeaderValue::from_bytes("é".as_bytes()).unwrap());
    let fetch = |watch, request| Fetch {
        backend: "a".into(),
        request,
        timeout: Duration::from_secs(3),
        connect_timeout: Duration::from_secs(3),
        watch,
        max_body_bytes: 9,
    };
    let health = crate::health::Health::new(&crate::policy::Policy::default());
    let watch = |total, probe| Some(Watch { total, report: health.body((BackendId(2), 3), probe) });
    let names = Arc::from([HeaderName::from_static("accept")]);
    let variants = CacheEntry::Variants(Variants { names, since: Timestamp::from_millis(7) });
    let response = CacheEntry::Response(Arc::new(stored()), Body::Bytes(Bytes::from_static(b"body")));
    let put = |entry| {
        Effect::CachePut(Box::new(CachePut {
            key: "k\nv".into(),
            entry,
            keep: Duration::from_secs(1),
            ends_turn: None,
            is_body_kept: false,
        }))
    };
    let rows = [
        (
            Effect::Fetch(Box::new(fetch(None, request))),
            "F\n0\na\n3000\n\n9\nPOST\nhttps://a.test/x\n0\n2\nhost\na.test\nx-bytes\né".to_owned(),
        ),
        (
            Effect::Fetch(Box::new(fetch(
                watch(Some(Duration::from_secs(60)), None),
                Request::new(Body::Empty),
            ))),
            "F\n0\na\n3000\n60000 2 3 -\n9\nGET\n/\n-\n0".to_owned(),
        ),
        (
            Effect::Fetch(Box::new(fetch(watch(None, Some(7)), Request::new(Body::Empty)))),
            "F\n0\na\n3000\n- 2 3 7\n9\nGET\n/\n-\n0".to_owned(),
        ),
        (Effect::CacheGet { key: "k\nv".into() }, "G\n0\nk\u{1f}v".to_owned()),
        (put(variants), "P\n0\nk\u{1f}v\n1000\nV\n7\n1\naccept".to_owned()),
        (
            put(response),
            format!("P\n0\nk\u{1f}v\n1000\nR\n{}\n=4", String::from_utf8_lossy(&head::write(&stored()))),
        ),
        (
            Effect::CachePurge(Box::new(CachePurge {
                purges: vec![Purge::Everything],
                manner: Manner::Hard,
                at: Timestamp::from_millis(7),
                keys: vec!["k\nv".into(), "l".into()],
            })),
            "U\n0\n2\nk\u{1f}v\nl".to_owned(),
        ),
        (Effect::SliceBody { body: BodyHandle(5), start: 2, length: 3 }, "S\n0\n5\n2\n3".to_owned()),
        (Effect::KvGet { key: "k".into() }, "K\n0\nk".to_owned()),
        (Effect::KvPut { key: "k".into(), value: Bytes::from_static(b"12") }, "W\n0\nk\n=2".to_owned()),
        (Effect::Count { key: "k".into(), window: Duration::from_secs(10) }, "N\n0\nk\n10000".to_owned()),
        (
            Effect::Enqueue { queue: "q".into(), id: "i".into(), body: Bytes::from_static(b"123") },
            "Q\n0\nq\ni\n=3".to_owned(),
        ),
        (Effect::ReadBody { body: REQUEST_BODY, limit: 16 }, "B\n0\n0\n16".to_owned()),
        (Effect::Sleep { time: Duration::from_millis(20) }, "Z\n0\n20".to_owned()),
        (Effect::Cancel { id: EffectId(7) }, "C\n0\n7".to_owned()),
        (
            Effect::Record(Record::HandlerFailure {
                handler: "h".into(),
                reason: Reason::HandlerPanicked,
                message: "a\r\nb".into(),
            }),
            "X\n0\nhandler-failure\nh\na  b\nhandler.panicked".to_owned(),
        ),
        (Effect::Record(Record::Event { name: "e".into(), value: 1.5 }), "X\n0\nevent\ne\n1.5\n".to_owned()),
    ];
    for (effect, expected) in rows {
        let issued = Issued { id: EffectId(0), span: EffectSpan::BeforeResponse, effect };
        let message = encode_step(8, &Step::Effects(vec![issued]), Told::Codes);
        assert_eq!(String::from_utf8_lossy(&message.into_parts().0), format!("E\n8\n1\n{expected}"));
    }
    assert_eq!(encode_step(8, &Step::Done, Told::Codes).into_parts(), (b"D\n8".to_vec(), Vec::new()));
}

#[test]
fn a_response_is_written_with_its_body_beside_it_or_behind_it() {
    use crate::exchange::{Respond, Rest, Step};
    use crate::reason::{Reason, Summary};

    let summary = Summary::of(Reason::BotBlocked);
    let write = |header: &'static str, body: &'static [u8]| {
        let mut response = Response::new(Body::Bytes(Bytes::from_static(body)));
        *response.status_mut() = StatusCode::FORBIDDEN;
        response.headers_mut().append(header, HeaderValue::from_static("x"));
        let respond = Respond { response, summary, effects: Vec::new(), rest: Rest::Pending };
        let (text, bytes) = encode_step(1, &Step::Respond(Box::new(respond)), Told::Codes).into_parts();
        (String::from_utf8(text).expect("all of it is UTF-8"), bytes)
    };
    let head = "R\n1\n1\nbot.blocked\n\n\n403\n";
    assert_eq!(write("vary", b"no"), (format!("{head}=2\n1\nvary\nx\n0"), b"no".to_vec()));
    assert_eq!(
        write("content-type", b"n\no"),
        (format!("{head}'3\n1\ncontent-type\nx\n0\nn\no"), Vec::new())
    );
    assert_eq!(
        write("content-type", b"\xff"),
        (format!("{head}=1\n1\ncontent-type\nx\n0"), b"\xff".to_vec())
    );
}

#[test]
fn an_entry_comes_back_with_its_body_and_a_damaged_one_counts_as_not_there() {
    let response = encode_entry(&CacheEntry::Response(Arc::new(stored()), Body::Empty));
    let back = decode_entry(&response, Body::Host(BodyHandle(5)));
    let Some(CacheEntry::Response(head, body)) = back else { panic!("a stored response") };
    assert_eq!((&*head, body), (&stored(), Body::Host(BodyHandle(5))));
    let names = [http::header::ACCEPT, http::header::COOKIE];
    let kept = crate::effect::Variants { names: names.into(), since: Timestamp::from_millis(7) };
    let variants = encode_entry(&CacheEntry::Variants(kept.clone()));
    let back = decode_entry(&variants, Body::Empty);
    assert!(matches!(back, Some(CacheEntry::Variants(found)) if found == kept), "{variants:?}");
    for damaged in
        [&response[..9], &response[1..], &variants[..4], b"", b"V", b"V\n7\n5000", b"V\n7\n1\nb d", b"X\n0"]
    {
        assert!(decode_entry(damaged, Body::Empty).is_none(), "{damaged:?}");
    }
    assert!(decode_entry(&[&variants[..], b"\n"].concat(), Body::Empty).is_none(), "there is more");
}

proptest! {
    /// Hostile or damaged bytes are an error at worst.
    #[test]
    fn no_message_panics(lines in proptest::collection::vec("[A-Z]|[a-z]{0,9}|[0-9]{0,20}|.{0,20}", 0..40), bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
        let text = lines.join("\n");
        for head in ["", "B\n", "J\n1\nqueue\n", "C\n1\n1\n1\nfetch\n", "C\n1\n1\n1\ncache\nR\n", "C\n1\n1\n1\ncache\nV\n", "O\n"] {
            let _ = decoded(format!("{head}{text}"), &bytes, &[]);
        }
    }

    #[test]
    fn no_stored_head_panics(line in "(2\u{1f})?[0-9a-z=\u{1f}-]{0,80}") {
        if let Some(stored) = head::read(line.as_bytes()) {
            prop_assert_eq!(head::read(&head::write(&stored)), Some(stored));
        }
    }

    /// One line changed within a whole message is read or refused, and the rest of it stays where it was.
    #[test]
    fn a_changed_line_is_read_or_refused(at in 0_usize..24, line in ".{0,12}") {
        let mut lines: Vec<_> = BEGIN.split('\n').collect();
        let at = at.min(lines.len() - 1);
        lines[at] = &line;
        if !line.contains('\n') && let Ok(Incoming::Begin(begin)) = decoded(lines.join("\n"), &SEED, &[]) {
            prop_assert!(begin.request.headers().len() <= 2);
        }
    }
}
