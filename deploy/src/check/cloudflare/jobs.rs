//! Queues and schedules.

use std::collections::BTreeSet;

use selvedge_core::job::QueueStore;
use selvedge_core::policy::Policy;
use selvedge_core::policy::read::child;

use super::{Finding, PerPlan};
use crate::build::cloudflare::platform_queue_name;
use crate::cli::Plan;

/// [Cron Triggers](https://developers.cloudflare.com/workers/platform/limits/) of one account; a Worker has one for each
/// different expression.
const CRON_TRIGGERS: PerPlan = PerPlan { free: 5, paid: 250 };

/// Longest name of one of [Cloudflare's queues](https://developers.cloudflare.com/queues/platform/limits/).
const MAX_QUEUE_NAME: usize = 63;

/// Names what Cloudflare has too few of, or takes no name for.
pub(super) fn findings(policy: &Policy, plan: Option<Plan>) -> Vec<Finding> {
    let own = policy.queues.iter().filter(|queue| queue.store == QueueStore::Platform);
    let too_long = own.filter_map(|queue| {
        let name = platform_queue_name(policy, queue);
        (name.len() > MAX_QUEUE_NAME).then(|| long_name(child("queues", &queue.name), &name))
    });
    triggers(policy, plan).into_iter().chain(too_long).collect()
}

fn triggers(policy: &Policy, plan: Option<Plan>) -> Option<Finding> {
    let expressions: BTreeSet<_> =
        policy.schedules.iter().map(|schedule| schedule.cron.to_string()).collect();
    let count = expressions.len();
    let beyond = PerPlan { free: count, paid: count }.beyond(CRON_TRIGGERS, plan)?;
    let message = format!(
        "{} different cron expressions are more than the {} that an account has on the {} plan",
        beyond.needed, beyond.limit, beyond.plan
    );
    let help = format!("let schedules share an expression{}", beyond.help);
    Some(Finding::new(beyond.severity, "schedules", message, help))
}

fn long_name(path: String, name: &str) -> Finding {
    let message = format!(
        "Cloudflare's queue would be called `{name}`, which has {} characters and not at most {MAX_QUEUE_NAME}",
        name.len()
    );
    Finding::error(
        path,
        message,
        "shorten the name of the policy or of the queue, or write `store = \"edge\"`",
    )
}
