//! The command as a person runs it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for something that takes a second at most.
const PATIENCE: Duration = Duration::from_secs(30);

fn selvedge(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_selvedge")).args(args).current_dir(folder).output().unwrap()
}

fn storefront() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/storefront/edge.toml")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn check_is_silent_when_all_is_well() {
    let output = selvedge(Path::new("."), &["check", storefront().to_str().unwrap()]);
    assert_eq!(
        (output.status.code(), text(&output.stdout), text(&output.stderr)),
        (Some(0), String::new(), String::new())
    );
}

#[test]
fn check_shows_every_error_with_its_line_and_exits_1() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("edge.toml"), "nme = \"x\"\n\n[geo]\nunknown = \"maybe\"\n").unwrap();
    let output = selvedge(folder.path(), &["check"]);
    let shown = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    for part in [
        "edge.toml:1:1: error: nme: unknown key `nme`",
        "did you mean `name`?",
        "edge.toml:4:11: error: geo.unknown",
        "4 | unknown = \"maybe\"",
        "2 errors",
    ] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
    assert!(!shown.contains('\u{1b}'), "no colours where there is no terminal");
}

#[test]
fn check_for_a_platform_tells_what_it_refuses_with_place_and_advice() {
    let folder = tempfile::tempdir().unwrap();
    let policy = "[backends.us]\nurl = \"http://127.0.0.1:8788\"\n\n[limits]\nmax-url-bytes = \"1MiB\"\n";
    fs::write(folder.path().join("edge.toml"), policy).unwrap();
    let check = |args: &[&str]| {
        let output = selvedge(folder.path(), &[&["check"], args].concat());
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    assert_eq!(check(&[]), (Some(0), String::new()), "the policy itself is well");
    let (code, shown) = check(&["--target", "cloudflare"]);
    assert_eq!(code, Some(1), "{shown}");
    for part in [
        "edge.toml:2:7: warning: backends.us.url: Cloudflare cannot reach `127.0.0.1`",
        "edge.toml:5:17: error: limits.max-url-bytes: 1048576 bytes are more than the 16384",
        "    5 | max-url-bytes = \"1MiB\"\n      |                 ^\n      = help: write `max-url-bytes = \"16KiB\"`",
        "edge.toml: 1 error and 1 warning on cloudflare",
    ] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
    assert!(shown.find(":2:7:") < shown.find(":5:17:"), "in the order of the file: {shown}");
    let (code, shown) = check(&["--plan", "free"]);
    assert_eq!(code, Some(2), "a plan is of a platform: {shown}");
}

#[test]
fn the_storefront_has_warnings_on_cloudflare_and_no_errors() {
    let policy = storefront();
    for plan in ["free", "paid"] {
        let args = ["check", "--target", "cloudflare", "--plan", plan, policy.to_str().unwrap()];
        let output = selvedge(Path::new("."), &args);
        let shown = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{shown}");
        assert!(shown.contains("4 warnings on cloudflare") && !shown.contains("error"), "{shown}");
    }
}

#[test]
fn a_platform_that_refuses_a_policy_is_not_built_for() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("edge.toml"), "[limits]\nmax-header-bytes = \"1MiB\"\n").unwrap();
    for command in ["build", "deploy"] {
        let output = selvedge(folder.path(), &[command, "--target", "cloudflare"]);
        let shown = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {shown}");
        assert!(shown.contains("edge.toml:2:20: error: limits.max-header-bytes"), "{command}: {shown}");
    }
    assert!(!folder.path().join("dist").exists(), "nothing was written");
}

#[test]
fn a_file_that_cannot_be_read_is_another_exit_code_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let output = selvedge(folder.path(), &["check", "nothing.toml"]);
    let shown = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{shown}");
    assert!(shown.contains("nothing.toml") && shown.contains("selvedge new NAME"), "{shown}");
}

#[test]
fn explain_tells_each_decision_with_its_reason() {
    let policy = storefront();
    let policy = policy.to_str().unwrap();
    let run = |args: &[&str]| {
        let all: Vec<&str> = ["explain", "--policy", policy].iter().chain(args).copied().collect();
        let output = selvedge(Path::new("."), &all);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let blocked = run(&["GET", "http://shop.example.com/", "--country", "CN"]);
    assert!(blocked.contains("geo.blocked") && blocked.contains("geo.rules[0]"), "{blocked}");
    let by_address = run(&["GET", "http://shop.example.com/", "--ip", "223.5.5.5"]);
    assert!(by_address.contains("geo.blocked"), "the storefront's database knows the address: {by_address}");
    let cached = run(&["GET", "http://shop.example.com/static/site.css?v=1", "-H", "Accept: */*"]);
    for part in
        ["route.matched", "backends.global", "http://shop.example.com/static/site.css", "x-region: global"]
    {
        assert!(cached.contains(part), "no {part:?} in\n{cached}");
    }
    let json: Value =
        serde_json::from_str(&run(&["GET", "http://shop.example.com/go", "--country", "US", "--json"]))
            .unwrap();
    assert_eq!(json["response"]["status"], 302);
    let decisions = json["decisions"].as_array().unwrap();
    assert_eq!(decisions.last().unwrap()["reason"], "route.redirected");
}

#[test]
fn explain_tells_what_the_cache_makes_of_an_answer() {
    let policy = storefront();
    let run = |answer: &[&str]| {
        let request =
            ["explain", "--policy", policy.to_str().unwrap(), "GET", "http://shop.example.com/static/a.css"];
        let all: Vec<&str> = request.iter().chain(answer).copied().collect();
        let output = selvedge(Path::new("."), &all);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let answer = ["--answer", "Vary: Accept-Language", "--answer", "ETag: \"a\"", "--answer", "Age: 9"];
    let stored = run(&answer);
    for part in ["until 3600 s (rule)", "accept-language", "9 s", "whether it still holds"] {
        assert!(stored.contains(part), "no {part:?} in\n{stored}");
    }
    for (answer, reason) in [
        (["--answer", "Cache-Control: private"], "no: private"),
        (["--answer", "Content-Type: text/html"], "no: deception"),
        (["--answer-status", "404"], "no: no-lifetime"),
    ] {
        let refused = run(&answer);
        assert!(refused.contains(reason), "no {reason:?} in\n{refused}");
    }
    let json: Value = serde_json::from_str(&run(&["--json", "--answer-status", "200"])).unwrap();
    assert_eq!(
        (&json["caching"]["stored"], &json["caching"]["kept_for"]),
        (&"yes".into(), &"90000 s".into())
    );
    let output = selvedge(Path::new("."), &["explain", "GET", "http://x.test/", "--answer-status", "1000"]);
    assert_eq!(output.status.code(), Some(2), "1000 is no status");
}

#[test]
fn explain_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let policy = "[backends.a]\nurl = \"http://a.test\"\nrequest-headers = { X-Token = { env = \"TOKEN_OF_A\" } }\n\
                  [[routes]]\npath = \"/\"\nbackend = \"a\"\n";
    fs::write(folder.path().join("edge.toml"), policy).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_selvedge"))
        .args(["explain", "GET", "http://x.test/"])
        .current_dir(folder.path())
        .env("TOKEN_OF_A", "5ecret-of-a")
        .output()
        .unwrap();
    let shown = text(&output.stdout) + &text(&output.stderr);
    assert!(shown.contains("x-token"), "the header is named: {shown}");
    assert!(!shown.contains("5ecret"), "its value is not: {shown}");
}

#[test]
fn explain_refuses_what_contradicts_itself() {
    let args = ["explain", "GET", "http://x.test/", "--ip", "203.0.113.9", "--country", "DE"];
    let output = selvedge(Path::new("."), &args);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("cannot be used with"), "{}", text(&output.stderr));
}

#[test]
fn a_new_project_is_valid_and_is_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let made = selvedge(folder.path(), &["new", "my-edge"]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let project = folder.path().join("my-edge");
    assert_eq!(selvedge(&project, &["check"]).status.code(), Some(0), "its policy has no errors");
    let schema = fs::read_to_string(project.join("edge.schema.json")).unwrap();
    assert_eq!(schema, text(&selvedge(&project, &["schema"]).stdout), "its schema is this version's");
    let again = selvedge(folder.path(), &["new", "my-edge"]);
    assert_eq!(again.status.code(), Some(2), "{}", text(&again.stdout));
    assert!(text(&again.stderr).contains("my-edge"), "{}", text(&again.stderr));
}

#[test]
fn help_has_examples_and_shells_get_completions() {
    for command in ["dev", "check", "explain", "new"] {
        let help = text(&selvedge(Path::new("."), &[command, "--help"]).stdout);
        assert!(help.contains("Example") && help.contains(&format!("selvedge {command}")), "{help}");
    }
    let completions = text(&selvedge(Path::new("."), &["completions", "bash"]).stdout);
    assert!(completions.contains("--no-pose"), "the options of dev are completed");
}

/// A `selvedge dev` on ports of its own.
struct Dev {
    child: Child,
    output: BufReader<ChildStdout>,
    errors: BufReader<ChildStderr>,
    edge: SocketAddr,
    origin: SocketAddr,
}

impl Dev {
    fn start(folder: &Path, args: &[&str]) -> Self {
        let (edge, origin) = (free_address(), free_address());
        let mut child = Command::new(env!("CARGO_BIN_EXE_selvedge"))
            .args(["dev", "--listen", &edge.to_string(), "--origin-listen", &origin.to_string()])
            .args(args)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env("SELVEDGE_LOG", "warn")
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let errors = BufReader::new(child.stderr.take().unwrap());
        Self { child, output, errors, edge, origin }
    }

    /// What it prints until it is ready.
    fn announcement(&mut self) -> String {
        let mut announced = String::new();
        while !announced.contains("Ctrl-C") {
            assert_ne!(self.output.read_line(&mut announced).unwrap(), 0, "it ended: {announced}");
        }
        announced
    }

    fn get(&self, path: &str, header: &str) -> String {
        ask(self.edge, &format!("GET {path}"), header, "")
    }
}

fn ask(server: SocketAddr, line: &str, header: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let close = format!("Connection: close\r\nContent-Length: {}\r\n", body.len());
    write!(stream, "{line} HTTP/1.1\r\nHost: shop.example\r\n{close}{header}\r\n{body}").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

impl Drop for Dev {
    fn drop(&mut self) {
        // One that has ended already needs no ending.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

#[test]
fn dev_runs_the_storefront_and_says_what_to_try() {
    let folder = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(folder.path(), &[]);
    let announced = dev.announcement();
    for part in
        ["the built-in storefront", &format!("http://{}", dev.edge), "/api/content", "404 from the edge"]
    {
        assert!(announced.contains(part), "no {part:?} in\n{announced}");
    }
    assert_eq!(announced.matches("  curl ").count(), 5, "{announced}");
    let rows = [
        ("/", "Selvedge-Client-Ip: 223.5.5.5\r\n", "HTTP/1.1 403", "Blocked in China"),
        ("/", "User-Agent: sqlmap/1.7\r\n", "HTTP/1.1 403", "Bot detected"),
        ("/go", "Selvedge-Client-Ip: 8.8.8.8\r\n", "HTTP/1.1 302", "https://us.example.com/"),
        ("/static/site.css", "", "HTTP/1.1 200", "detail=backend.responded"),
        ("/static/site.css", "", "HTTP/1.1 200", "detail=cache.hit"),
        ("/api/user?id=1", "", "HTTP/1.1 200", "Ada Weaver"),
        ("/_selvedge/", "", "HTTP/1.1 200", "\"name\": \"storefront\""),
    ];
    for (path, header, status, part) in rows {
        let answer = dev.get(path, header);
        assert!(answer.starts_with(status) && answer.contains(part), "{path} {header}:\n{answer}");
    }
}

#[test]
fn the_edge_hears_of_what_changes_at_the_origin_that_dev_has_started() {
    let folder = tempfile::tempdir().unwrap();
    let policy = "[backends.shop]\nurl = \"http://127.0.0.1:8788\"\n\n[[routes]]\npath = \"/api/{*rest}\"\n\
                  backend = \"shop\"\ncache.edge = \"1h\"\n";
    fs::write(folder.path().join("edge.toml"), policy).unwrap();
    let mut dev = Dev::start(folder.path(), &[]);
    dev.announcement();
    dev.get("/api/products/1", "");
    let stored = dev.get("/api/products/1", "");
    assert!(stored.contains("detail=cache.hit"), "{stored}");
    let etag = stored.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    let headers = format!("If-Match: {etag}\r\nContent-Type: application/json\r\n");
    let body = "{\"name\":\"Corduroy\",\"price_cents\":2500}";
    let changed = ask(dev.origin, "PUT /api/products/1", &headers, body);
    assert!(changed.starts_with("HTTP/1.1 200"), "{changed}");
    let deadline = Instant::now() + PATIENCE;
    while !dev.get("/api/products/1", "").contains("Corduroy") {
        assert!(Instant::now() < deadline, "the edge asks anew though what it has is fresh for an hour");
    }
    let purge = ask(dev.edge, "POST /_selvedge/purge", "", "{\"everything\":true}");
    assert!(purge.starts_with("HTTP/1.1 401"), "nobody else has the token: {purge}");
}

#[test]
fn dev_has_an_access_log_on_its_standard_output_and_tells_the_rest_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let flags =
        ["--access-log", "-", "--access-log-query", "names", "--access-log-address", "--server-timing"];
    let mut dev = Dev::start(folder.path(), &flags);
    let mut announced = String::new();
    while !announced.contains("Ctrl-C") {
        assert_ne!(dev.errors.read_line(&mut announced).unwrap(), 0, "it ended: {announced}");
    }
    let answer = dev.get("/static/site.css?token=s3cret", "");
    assert!(answer.contains("server-timing: edge;dur="), "{answer}");
    let mut line = String::new();
    dev.output.read_line(&mut line).unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["path"], &line["query"]), (&"/static/site.css".into(), &"token".into()), "{line}");
    assert_eq!(line["address"], "127.0.0.1");
}

#[cfg(unix)]
#[test]
fn dev_prints_a_line_for_each_request_unless_it_is_to_be_quiet() {
    let rows: [(&[&str], bool); 2] = [(&[], true), (&["--quiet"], false)];
    for (flags, has_lines) in rows {
        let folder = tempfile::tempdir().unwrap();
        let mut dev = Dev::start(folder.path(), flags);
        dev.announcement();
        dev.get("/static/site.css?token=s3cret", "");
        assert!(Command::new("kill").args(["-INT", &dev.child.id().to_string()]).status().unwrap().success());
        let mut lines = String::new();
        dev.output.read_to_string(&mut lines).unwrap();
        let words: Vec<&str> = lines.split_whitespace().collect();
        let expected = ["GET", "/static/site.css", "200", "backend.responded", "cache.miss", "global"];
        assert_eq!(words.starts_with(&expected), has_lines, "{flags:?}: {lines}");
        assert_eq!(words.is_empty(), !has_lines, "{flags:?}: {lines}");
        assert!(!lines.contains(['\u{1b}', '?']), "no colours and no queries: {lines:?}");
    }
}

#[test]
fn dev_refuses_a_share_that_is_none_and_a_log_without_a_place() {
    let rows: [(&[&str], &str); 2] = [
        (&["dev", "--access-log", "-", "--access-log-sample", "1.5"], "from 0 to 1"),
        (&["dev", "--access-log-sample", "0.5"], "--access-log"),
    ];
    for (arguments, part) in rows {
        let output = selvedge(Path::new("."), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(part), "{}", text(&output.stderr));
    }
}

#[test]
fn dev_without_posing_believes_no_header() {
    let folder = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(folder.path(), &["--no-pose"]);
    dev.announcement();
    let answer = dev.get("/go", "Selvedge-Client-Ip: 223.5.5.5\r\n");
    assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");
}

#[test]
fn an_edit_takes_effect_and_a_broken_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("edge.toml");
    let write = |body: &str| {
        fs::write(&policy, format!("[[routes]]\npath = \"/\"\nrespond = {{ body = \"{body}\" }}\n")).unwrap();
    };
    write("first");
    let mut dev = Dev::start(folder.path(), &["--no-origin"]);
    dev.announcement();
    assert!(dev.get("/", "").ends_with("first"));
    write("second");
    let edited = Instant::now();
    while !dev.get("/", "").ends_with("second") {
        assert!(edited.elapsed() < PATIENCE, "the edit has no effect");
    }
    fs::write(&policy, "[[routes]]\npath = 5\n").unwrap();
    let mut shown = String::new();
    while !shown.contains("stays in use") {
        assert_ne!(dev.errors.read_line(&mut shown).unwrap(), 0, "it ended: {shown}");
    }
    assert!(shown.contains("edge.toml:2:8: error: routes[0].path: expected a text"), "{shown}");
    assert!(dev.get("/", "").ends_with("second"), "the policy before a broken edit answers on");
}

#[test]
fn dev_puts_cloudfront_before_the_functions() {
    let folder = tempfile::tempdir().unwrap();
    let storefront = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/storefront/edge.toml");
    let text = fs::read_to_string(storefront).unwrap();
    let policy = folder.path().join("edge.toml");
    fs::write(&policy, &text).unwrap();
    let mut dev = Dev::start(folder.path(), &["--runtime", "lambda-edge"]);
    dev.announcement();
    let rows = [
        (
            "/",
            "Selvedge-Client-Ip: 223.5.5.5\r\n",
            "HTTP/1.1 403",
            "x-cache: LambdaGeneratedResponse from cloudfront",
        ),
        ("/go", "Selvedge-Client-Ip: 8.8.8.8\r\n", "HTTP/1.1 302", "location: https://us.example.com/"),
        ("/static/site.css", "", "HTTP/1.1 200", "x-cache: Miss from cloudfront"),
        ("/static/site.css", "", "HTTP/1.1 200", "x-cache: Hit from cloudfront"),
        ("/api/user?id=1", "", "HTTP/1.1 200", "Ada Weaver"),
    ];
    for (path, header, status, part) in rows {
        let answer = dev.get(path, header);
        assert!(answer.starts_with(status) && answer.contains(part), "{path} {header}:\n{answer}");
    }
    fs::write(&policy, text.replace("Blocked in China", "Not from there")).unwrap();
    let edited = Instant::now();
    while !dev.get("/", "Selvedge-Client-Ip: 223.5.5.5\r\n").ends_with("Not from there") {
        assert!(edited.elapsed() < PATIENCE, "the edit has no effect");
    }
}

#[test]
fn a_port_that_is_taken_is_an_error_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = selvedge(folder.path(), &["dev", "--no-origin", "--listen", &address]);
    let shown = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{shown}");
    assert!(shown.contains(&address) && shown.contains("--listen"), "{shown}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_it_well() {
    let folder = tempfile::tempdir().unwrap();
    let mut dev = Dev::start(folder.path(), &[]);
    dev.announcement();
    assert!(Command::new("kill").args(["-INT", &dev.child.id().to_string()]).status().unwrap().success());
    assert_eq!(dev.child.wait().unwrap().code(), Some(0));
}
