//! What holds whatever keeps the data.

use selvedge_origin::{Origin, OriginConfig};

use crate::client::{create, get, send};

type Headers<'a> = &'a [(&'a str, &'a str)];

const ANNI: &str = r#"{"name":"Anni Carder","email":"anni@example.com"}"#;

pub(crate) async fn a_list_is_read_page_by_page(config: &OriginConfig) {
    let origin = Origin::new(config).await.unwrap();
    let mut target = "/api/users?limit=3".to_owned();
    let mut seen = Vec::new();
    for expected in [3, 1] {
        let page = get(&origin, &target).await;
        assert_eq!(page.status, 200, "{page:?}");
        let json = page.json();
        let items = json["items"].as_array().unwrap();
        assert_eq!(items.len(), expected);
        seen.extend(items.iter().map(|item| item["id"].as_i64().unwrap()));
        match json["next"].as_str() {
            Some(next) => {
                target = format!("/api/users?limit=3&after={next}");
                assert_eq!(page.header("link"), format!("<{target}>; rel=\"next\""));
            }
            None => assert_eq!(page.header("link"), "", "the last page has no next one"),
        }
    }
    assert_eq!(seen, [1, 2, 3, 4]);
    let products = get(&origin, "/api/products").await;
    assert_eq!(products.json()["items"][0]["price_cents"], 4_900);
    assert_eq!(
        (products.header("cache-control"), products.header("surrogate-key")),
        ("public, max-age=60", "products")
    );
    let foreign = get(&origin, "/api/users?limit=1").await.json()["next"].as_str().unwrap().to_owned();
    for wrong in
        ["limit=0", "limit=101", "limit=x", "limit=1&limit=2", "after=x", &format!("after={foreign}")]
    {
        let answer = get(&origin, &format!("/api/products?{wrong}")).await;
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
    }
}

pub(crate) async fn a_record_is_created_read_replaced_and_deleted(config: &OriginConfig) {
    let origin = Origin::new(config).await.unwrap();
    let created = send(&origin, "POST /api/users", &[], ANNI).await;
    assert_eq!((created.status, created.header("location")), (201, "/api/users/5"));
    assert_eq!(created.body, r#"{"id":5,"name":"Anni Carder","email":"anni@example.com"}"#);
    let read = get(&origin, "/api/users/5").await;
    assert_eq!((&read.body, read.header("etag")), (&created.body, created.header("etag")));
    assert_eq!((read.header("cache-control"), read.header("surrogate-key")), ("private, no-cache", "user-5"));
    let same = get(&origin, "/api/user?id=5").await;
    assert_eq!((&same.body, same.header("cache-control")), (&created.body, "private, max-age=60"));
    assert_eq!((same.header("etag"), same.header("surrogate-key")), (read.header("etag"), "user-5"));
    let changed = r#"{"name":"Anni Albers","email":"anni@example.com"}"#;
    let replaced = send(&origin, "PUT /api/users/5", &[("if-match", read.header("etag"))], changed).await;
    assert_eq!((replaced.status, &replaced.json()["name"]), (200, &"Anni Albers".into()));
    assert_ne!(replaced.header("etag"), read.header("etag"));
    let after = get(&origin, "/api/users/5").await;
    assert_eq!((&after.body, after.header("etag")), (&replaced.body, replaced.header("etag")));
    let deleted = send(&origin, "DELETE /api/users/5", &[("if-match", after.header("etag"))], "").await;
    assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
    assert_eq!(get(&origin, "/api/users/5").await.status, 404);
    assert_eq!(create(&origin, "/api/users", ANNI).await, "/api/users/6", "no id is given twice");
}

pub(crate) async fn a_change_needs_the_version_that_there_is(config: &OriginConfig) {
    let origin = Origin::new(config).await.unwrap();
    let etag = get(&origin, "/api/products/1").await.header("etag").to_owned();
    let weak = format!("W/{etag}");
    let listed = format!("\"other\", {etag}");
    let body = r#"{"name":"Raw denim","price_cents":5100}"#;
    for method in ["PUT", "DELETE"] {
        let rows: [(&str, Headers<'_>, u16); 4] = [
            ("/api/products/1", &[], 428),
            ("/api/products/1", &[("if-match", "\"other\"")], 412),
            ("/api/products/1", &[("if-match", &weak)], 412),
            ("/api/products/99", &[("if-match", "*")], 404),
        ];
        for (target, headers, status) in rows {
            let body = if method == "PUT" { body } else { "" };
            let answer = send(&origin, &format!("{method} {target}"), headers, body).await;
            assert_eq!(answer.status, status, "{method} {target} {headers:?}: {answer:?}");
            assert_eq!(answer.header("content-type"), "application/problem+json");
        }
    }
    let replaced = send(&origin, "PUT /api/products/1", &[("if-match", &listed)], body).await;
    assert_eq!((replaced.status, replaced.header("surrogate-key")), (200, "product-1"));
    assert_eq!(send(&origin, "PUT /api/products/1", &[("if-match", &etag)], body).await.status, 412);
    assert_eq!(send(&origin, "DELETE /api/products/1", &[("if-match", "*")], "").await.status, 204);
}

pub(crate) async fn validators_answer_conditional_requests(config: &OriginConfig) {
    let origin = Origin::new(config).await.unwrap();
    let user = get(&origin, "/api/users/1").await;
    let list = get(&origin, "/api/users").await;
    assert!(list.header("etag").starts_with("W/\""), "{list:?}");
    let modified = user.header("last-modified");
    assert_eq!(modified, "Sun, 01 Nov 2026 00:00:00 GMT");
    let rows: [(&str, &str, &str, u16); 7] = [
        ("/api/users/1", "if-none-match", user.header("etag"), 304),
        ("/api/user?id=1", "if-none-match", user.header("etag"), 304),
        ("/api/users/1", "if-none-match", "\"other\"", 200),
        ("/api/users/1", "if-modified-since", modified, 304),
        ("/api/users/1", "if-modified-since", "Sat, 31 Oct 2026 23:59:59 GMT", 200),
        ("/api/users", "if-none-match", list.header("etag"), 304),
        ("/api/users", "if-none-match", "W/\"other\"", 200),
    ];
    for (target, name, value, status) in rows {
        let answer = send(&origin, &format!("GET {target}"), &[(name, value)], "").await;
        assert_eq!(
            (answer.status, answer.body.is_empty()),
            (status, status == 304),
            "{target} {name}: {value}"
        );
        assert!(
            !answer.header("etag").is_empty() && !answer.header("cache-control").is_empty(),
            "{answer:?}"
        );
    }
    create(&origin, "/api/users", ANNI).await;
    let changed = send(&origin, "GET /api/users", &[("if-none-match", list.header("etag"))], "").await;
    assert_eq!(changed.status, 200, "a list with another record is another one");
}

pub(crate) async fn a_request_that_is_wrong_is_told_why(config: &OriginConfig) {
    let origin = Origin::new(config).await.unwrap();
    let long = format!(r#"{{"name":"{}","email":"a@b"}}"#, "x".repeat(64 * 1024));
    let rows: [(&str, Headers<'_>, &str, u16); 14] = [
        ("GET /api/users/99", &[], "", 404),
        ("GET /api/users/x", &[], "", 400),
        ("GET /api/users/99999999999999999999", &[], "", 400),
        ("POST /api/users", &[], "{", 400),
        ("POST /api/users", &[], r#"{"name":"Ada"}"#, 422),
        ("POST /api/users", &[], r#"{"name":"Ada","email":"none"}"#, 422),
        ("POST /api/users", &[], r#"{"name":"Ada","email":"a@b","id":7}"#, 422),
        ("POST /api/products", &[], r#"{"name":"Linen","price_cents":-1}"#, 422),
        ("POST /api/users", &[("content-type", "text/plain")], ANNI, 415),
        ("POST /api/users", &[], "", 415),
        ("POST /api/users", &[], &long, 413),
        ("POST /api/users", &[("idempotency-key", "")], ANNI, 400),
        ("PATCH /api/users/1", &[], "", 405),
        ("DELETE /api/users", &[], "", 405),
    ];
    for (line, headers, body, status) in rows {
        let answer = send(&origin, line, headers, body).await;
        let shown = &body[..body.len().min(80)];
        assert_eq!(answer.status, status, "{line} {headers:?} {shown}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{line}");
        let problem = answer.json();
        assert_eq!(
            (problem["status"].as_u64(), problem["type"].as_str()),
            (Some(status.into()), Some("about:blank"))
        );
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{line}: {problem}");
    }
    assert_eq!(send(&origin, "PATCH /api/users/1", &[], "").await.header("allow"), "GET,HEAD,PUT,DELETE");
}

pub(crate) async fn a_key_carries_a_request_out_once(config: &OriginConfig) {
    let origin = Origin::new(config).await.unwrap();
    let key = [("idempotency-key", "8e03978e-40d5-43dd-bc93-6894a57f9324")];
    let first = send(&origin, "POST /api/users", &key, ANNI).await;
    let again = send(&origin, "POST /api/users", &key, ANNI).await;
    assert_eq!((first.status, again.status), (201, 201), "{first:?} {again:?}");
    for name in ["location", "etag"] {
        assert_eq!(first.header(name), again.header(name), "{name}");
    }
    assert_eq!(first.body, again.body);
    let other = r#"{"name":"Otti Berger","email":"otti@example.com"}"#;
    assert_eq!(send(&origin, "POST /api/users", &key, other).await.status, 422);
    assert_eq!(
        send(&origin, "POST /api/products", &key, r#"{"name":"A","price_cents":1}"#).await.status,
        422
    );
    let crowd = (0..20).map(|_| {
        let origin = origin.clone();
        tokio::spawn(
            async move { send(&origin, "POST /api/users", &[("idempotency-key", "crowd")], ANNI).await },
        )
    });
    let (mut places, mut conflicts) = (Vec::new(), 0);
    for task in crowd.collect::<Vec<_>>() {
        let answer = task.await.unwrap();
        match answer.status {
            201 => places.push(answer.header("location").to_owned()),
            status => {
                assert_eq!(status, 409, "{answer:?}");
                conflicts += 1;
            }
        }
    }
    assert!(conflicts > 0, "the first is in flight while the next ones come");
    places.dedup();
    assert_eq!(places, ["/api/users/6"], "one record, whoever was answered");
    assert_eq!(get(&origin, "/api/users").await.json()["items"].as_array().unwrap().len(), 6);
}

pub(crate) async fn a_key_carries_a_change_out_once(config: &OriginConfig) {
    let origin = Origin::new(config).await.unwrap();
    let first = get(&origin, "/api/users/1").await.header("etag").to_owned();
    let [albers, berger] = ["Anni Albers", "Otti Berger"]
        .map(|name| format!(r#"{{"name":"{name}","email":"weaver@example.com"}}"#));
    let put = async |key: &str, etag: &str, body: &str| {
        send(&origin, "PUT /api/users/1", &[("idempotency-key", key), ("if-match", etag)], body).await
    };
    assert_eq!(put("a", "\"other\"", &albers).await.status, 412);
    let done = put("a", &first, &albers).await;
    assert_eq!(done.status, 200, "what was refused has not used the key up: {done:?}");
    let later = put("b", done.header("etag"), &berger).await;
    assert_eq!(later.status, 200, "{later:?}");
    let again = put("a", &first, &albers).await;
    assert_eq!((again.status, &again.body, again.header("etag")), (200, &done.body, done.header("etag")));
    assert_eq!(get(&origin, "/api/users/1").await.body, later.body, "it is answered again, not done again");
    assert_eq!(put("a", later.header("etag"), &berger).await.status, 422, "another request");
    let delete = async |target: &str, key: &str, etag: &str| {
        let headers = [("idempotency-key", key), ("if-match", etag)];
        send(&origin, &format!("DELETE {target}"), &headers, "").await.status
    };
    assert_eq!(delete("/api/users/1", "a", later.header("etag")).await, 422, "another request");
    for _ in 0..2 {
        assert_eq!(delete("/api/users/1", "c", later.header("etag")).await, 204);
    }
    assert_eq!(delete("/api/users/2", "c", "*").await, 422, "another record");
    assert_eq!(delete("/api/users/1", "d", "*").await, 404);
    assert_eq!(delete("/api/users/2", "", "*").await, 400, "no key");
}

pub(crate) async fn no_read_after_a_write_is_stale(config: &OriginConfig) {
    let origin = Origin::new(config).await.unwrap();
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let origin = origin.clone();
            tokio::spawn(async move {
                for _ in 0..200 {
                    assert_eq!(get(&origin, "/api/users/1").await.status, 200);
                }
            })
        })
        .collect();
    let mut etag = get(&origin, "/api/users/1").await.header("etag").to_owned();
    for count in 0..50 {
        let body = format!(r#"{{"name":"Ada {count}","email":"ada@example.com"}}"#);
        let replaced = send(&origin, "PUT /api/users/1", &[("if-match", &etag)], &body).await;
        assert_eq!(replaced.status, 200, "{replaced:?}");
        let read = get(&origin, "/api/users/1").await;
        assert_eq!(read.json()["name"], format!("Ada {count}"), "a read begins after the write has ended");
        etag = read.header("etag").to_owned();
    }
    for reader in readers {
        reader.await.unwrap();
    }
    assert_eq!(send(&origin, "DELETE /api/users/1", &[("if-match", &etag)], "").await.status, 204);
    assert_eq!(get(&origin, "/api/users/1").await.status, 404, "what is deleted is not in a cache");
}

pub(crate) async fn a_crowd_asks_the_database_once(config: &OriginConfig) {
    let origin = Origin::new(config).await.unwrap();
    let crowd: Vec<_> = (0..200)
        .map(|_| {
            let origin = origin.clone();
            tokio::spawn(async move { get(&origin, "/api/users/2").await })
        })
        .collect();
    for task in crowd {
        assert_eq!(task.await.unwrap().json()["name"], "Bela Spinner");
    }
    assert_eq!(origin.counts().database_reads, 1);
}

pub(crate) async fn of_concurrent_changes_of_one_version_one_holds(config: &OriginConfig) {
    let origin = Origin::new(config).await.unwrap();
    let etag = get(&origin, "/api/products/2").await.header("etag").to_owned();
    let crowd: Vec<_> = (0..16)
        .map(|count| {
            let (origin, etag) = (origin.clone(), etag.clone());
            let body = format!(r#"{{"name":"Linen","price_cents":{count}}}"#);
            tokio::spawn(
                async move { send(&origin, "PUT /api/products/2", &[("if-match", &etag)], &body).await },
            )
        })
        .collect();
    let mut held = Vec::new();
    for task in crowd {
        let answer = task.await.unwrap();
        match answer.status {
            200 => held.push(answer.body),
            status => assert_eq!(status, 412, "{answer:?}"),
        }
    }
    assert_eq!(held, [get(&origin, "/api/products/2").await.body]);
}
