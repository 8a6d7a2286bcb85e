//! Errors of queues and schedules.

use super::{Row, assert_errors};

#[test]
fn queues_and_schedules() {
    let queue =
        |text: &'static str, path: &'static str, why: &'static str, help: &'static str| -> Row<'static> {
            (text, path, why, help)
        };
    assert_errors(&[
        queue("[queues.§q]\n", "queues.q", "nobody does the work", "add `backend = \"NAME\"`"),
        queue(
            "[queues.q]\nbackend = §\"x\"\n",
            "queues.q.backend",
            "backend `x` does not exist",
            "there are none",
        ),
        queue("[queues.§Q]\nhandler = \"h\"\n", "queues.Q", "`Q` cannot name a queue", "lower-case letters"),
        queue("[queues.§-q]\nhandler = \"h\"\n", "queues.-q", "`-q` cannot name a queue", "hyphens within"),
        queue("[queues.q]\nhandler = \"h\"\nattempts = §0\n", "queues.q.attempts", "from 1 to 100", ""),
        queue("[queues.q]\nhandler = \"h\"\nattempts = §101\n", "queues.q.attempts", "from 1 to 100", ""),
        queue(
            "[queues.q]\nhandler = \"h\"\nretry-delay = §\"2h\"\n",
            "queues.q.retry-delay",
            "from 1s to 1h",
            "",
        ),
        queue(
            "[queues.q]\nhandler = \"h\"\npath = §\"/x\"\n",
            "queues.q.path",
            "only a backend has a `path`",
            "",
        ),
        queue(
            "[backends.a]\nurl = \"http://a.test\"\n[queues.§q]\nbackend = \"a\"\nhandler = \"h\"\n",
            "queues.q",
            "not both",
            "",
        ),
        queue(
            "[backends.a]\nurl = \"http://a.test\"\n[queues.q]\nbackend = \"a\"\npath = §\"jobs\"\n",
            "queues.q.path",
            "`jobs` is not a path",
            "`/jobs/orders`",
        ),
        queue(
            "[backends.a]\nurl = \"http://a.test\"\n[queues.q]\nbackend = \"a\"\npath = §\"/a#b\"\n",
            "queues.q.path",
            "`/a#b` is not a path",
            "write it like",
        ),
        queue("[schedules.§s]\nhandler = \"h\"\n", "schedules.s", "a schedule needs a `cron`", "30 3 * * *"),
        queue(
            "[schedules.s]\nhandler = \"h\"\ncron = §\"0 0 1 * MON\"\n",
            "schedules.s.cron",
            "restricts both the day",
            "write two schedules",
        ),
        queue(
            "[schedules.s]\nhandler = \"h\"\ncron = §\"61 0 * * *\"\n",
            "schedules.s.cron",
            "its minute `61` is not made of numbers from 0 to 59",
            "30 3 * * MON-FRI",
        ),
        queue(
            "[schedules.§s]\ncron = \"0 0 * * *\"\n",
            "schedules.s",
            "nobody does the work",
            "add `backend",
        ),
    ]);
}
