//! Messages of queues and the times of schedules.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use selvedge_core::exchange::Exchange;
use selvedge_core::host::settle;
use selvedge_core::job::{Job, JobSource, Settlement};
use selvedge_log::write_log;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::answer::Answer;
use crate::body::Bodies;
use crate::effects::EdgeHost;
use crate::event::Message;
use crate::function::Function;
use crate::sqs::{BASE64, EMPTY};

/// Most jobs at once.
const MAX_RUNNING: usize = 16;

/// Does the messages of a batch, and says which of them shall come again
/// (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting>).
///
/// What is not done in time comes again. In a FIFO queue so does every message behind one that comes again.
pub(crate) async fn messages(function: &Rc<Function>, messages: Vec<Message>, time: Duration) -> Answer {
    let mut open: Vec<_> = messages.iter().map(|message| message.message_id.clone()).collect();
    let is_fifo = messages.iter().any(|message| message.event_source_arn.ends_with(".fifo"));
    // What was done when the time is over stays done, so that the list is kept outside of the future.
    let all = all(function, messages, is_fifo, &mut open);
    if tokio::time::timeout(time, all).await.is_err() {
        write_log("ERROR", &format!("{} messages were not done in time and come again", open.len()));
    }
    let failures: Vec<Value> = open.iter().map(|id| json!({ "itemIdentifier": id })).collect();
    Answer::Result(json!({ "batchItemFailures": failures }).to_string().into_bytes())
}

/// Does messages and takes each that is done from the list.
async fn all(function: &Rc<Function>, messages: Vec<Message>, is_fifo: bool, open: &mut Vec<String>) {
    let most = if is_fifo { 1 } else { MAX_RUNNING };
    let mut running = JoinSet::new();
    let mut rest = messages.into_iter();
    loop {
        while running.len() < most
            && let Some(message) = rest.next()
        {
            let function = Rc::clone(function);
            running.spawn_local(async move { (message.message_id.clone(), one(&function, message).await) });
        }
        match running.join_next().await {
            Some(Ok((id, true))) => open.retain(|other| *other != id),
            Some(Ok((_, false)) | Err(_)) if is_fifo => return,
            Some(Ok((_, false)) | Err(_)) => {}
            None => return,
        }
    }
}

/// Does one message; `false` when it shall come again.
async fn one(function: &Rc<Function>, message: Message) -> bool {
    let Some(queue) = function.queues.of_arn(&message.event_source_arn) else {
        let arn = &message.event_source_arn;
        write_log("ERROR", &format!("no queue of the policy is {arn}; set SELVEDGE_QUEUE_NAME to its URL"));
        return false;
    };
    let queue = queue.to_owned();
    let Some(job) = job(&queue, &message) else {
        write_log("ERROR", &format!("the message {} is not base64 as it says", message.message_id));
        return true;
    };
    match run(function, job).await {
        Settlement::Done | Settlement::Dropped => true,
        Settlement::Retry { after } => {
            function.put_off(&queue, &message.receipt_handle, after).await;
            false
        }
    }
}

fn job(queue: &str, message: &Message) -> Option<Job> {
    let attributes = &message.message_attributes;
    let body = match attributes.encoding.as_ref().map(|encoding| encoding.string_value.as_str()) {
        Some(BASE64) => BASE64_STANDARD.decode(&message.body).ok()?.into(),
        Some(EMPTY) => Bytes::new(),
        Some(_) | None => Bytes::from(message.body.clone()),
    };
    let id = attributes.id.as_ref().map_or(&message.message_id, |id| &id.string_value);
    Some(Job {
        source: JobSource::Queue(queue.to_owned()),
        id: id.clone(),
        attempt: message.attributes.approximate_receive_count.parse().unwrap_or(1).max(1),
        body,
    })
}

/// Does what a schedule names. A name that the policy does not have is an error, or nobody would know.
pub(crate) async fn schedule(function: &Rc<Function>, name: String) -> Answer {
    if function.engine.policy().schedules.iter().all(|schedule| schedule.name != name) {
        let message = format!("the policy has no schedule `{name}`");
        return Answer::Failure { code: "Selvedge.UnknownSchedule", message };
    }
    let id = (function.clock)().as_millis().to_string();
    let job = Job { source: JobSource::Schedule(name), id, attempt: 1, body: Bytes::new() };
    let settlement = run(function, job).await;
    Answer::Result(json!({ "settlement": settlement.to_string() }).to_string().into_bytes())
}

async fn run(function: &Rc<Function>, job: Job) -> Settlement {
    let host = EdgeHost::new(Rc::clone(function), Rc::new(Bodies::default()));
    settle(host, Exchange::of_job(Arc::clone(&function.engine), job, function.seeds.next(), None)).await
}
