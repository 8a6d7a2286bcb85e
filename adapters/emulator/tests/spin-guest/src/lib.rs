//! Does what the path asks for, and says what came of it.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use spin_sdk::http::{EmptyBody, IntoResponse, Request, send};
use spin_sdk::key_value::Store;
use spin_sdk::wasip3::clocks::{monotonic_clock, system_clock};
use spin_sdk::wasip3::random::random::get_random_u64;
use spin_sdk::{http_service, variables};

/// Tells instances apart.
static NAME: LazyLock<u64> = LazyLock::new(get_random_u64);
static REQUESTS: AtomicUsize = AtomicUsize::new(0);
static PRESENT: AtomicUsize = AtomicUsize::new(0);

const PAUSE_NANOSECONDS: u64 = 1_000_000;

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let count = REQUESTS.fetch_add(1, Ordering::Relaxed) + 1;
    let path = request.uri().path().to_owned();
    let argument = request.uri().query().unwrap_or_default().to_owned();
    match path.as_str() {
        "/count" => Ok(format!("{} {count}", *NAME)),
        "/headers" => Ok(headers(&request)),
        "/variable" => Ok(variables::get(&argument).await.unwrap_or_else(|error| format!("{error:?}"))),
        "/file" => {
            Ok(std::fs::read_to_string(&argument).unwrap_or_else(|error| format!("{:?}", error.kind())))
        }
        "/write" => Ok(format!("{:?}", std::fs::write(&argument, "x").map_err(|error| error.kind()))),
        "/time" => Ok(system_clock::now().seconds.to_string()),
        "/fetch" => fetch(&argument).await,
        "/keep" => Ok(keep(&argument).await.unwrap_or_else(|error| format!("{error:?}"))),
        "/meet" => Ok(meet(&argument).await?),
        "/alone" => Ok(alone().await),
        "/present" => Ok(format!("{} {}", *NAME, PRESENT.load(Ordering::Relaxed))),
        "/panic" => panic!("as it was asked to"),
        "/loop" => loop {
            std::hint::spin_loop();
        },
        _ => anyhow::bail!("`{path}` is not known"),
    }
}

fn headers(request: &Request) -> String {
    let lines = request.headers().iter();
    let lines = lines.map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap_or("not text")));
    format!("{}\n{}", request.uri(), lines.collect::<String>())
}

async fn fetch(url: &str) -> anyhow::Result<String> {
    let request = Request::get(url).body(EmptyBody::new())?;
    Ok(match send(request).await {
        Ok(response) => response.status().as_u16().to_string(),
        Err(error) => format!("{error:?}"),
    })
}

/// Opens the store of a name and writes, reads, lists and deletes a key.
async fn keep(name: &str) -> Result<String, spin_sdk::key_value::Error> {
    let store = Store::open(name).await?;
    store.set("a", b"1").await?;
    store.set("b", b"2").await?;
    let value = store.get("a").await?.unwrap_or_default();
    let keys = store.get_keys().await.collect().await?;
    store.delete("a").await?;
    let exists = store.exists("a").await?;
    Ok(format!("{} {} {exists}", String::from_utf8_lossy(&value), keys.join(",")))
}

/// Waits until so many requests are present, in `COUNT`, or is not there if this is another instance, in `COUNT,NAME`.
async fn meet(argument: &str) -> anyhow::Result<String> {
    let (count, name) = argument.split_once(',').unwrap_or((argument, ""));
    let count: usize = count.parse()?;
    if !name.is_empty() && name != NAME.to_string() {
        return Ok("elsewhere".to_owned());
    }
    PRESENT.fetch_add(1, Ordering::Relaxed);
    while PRESENT.load(Ordering::Relaxed) < count {
        monotonic_clock::wait_for(PAUSE_NANOSECONDS).await;
    }
    Ok(NAME.to_string())
}

/// Stays for a moment, and says how many were present at most.
async fn alone() -> String {
    PRESENT.fetch_add(1, Ordering::Relaxed);
    let mut most = 0;
    for _ in 0..5 {
        most = most.max(PRESENT.load(Ordering::Relaxed));
        monotonic_clock::wait_for(PAUSE_NANOSECONDS).await;
    }
    PRESENT.fetch_sub(1, Ordering::Relaxed);
    most.to_string()
}
