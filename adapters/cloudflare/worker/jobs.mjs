// Messages of Cloudflare Queues and the times of Cron Triggers, done by the policy.

import { Host, runtime } from "./runtime.mjs";

const encoder = new TextEncoder();
const NOTHING = new Uint8Array();

/**
 * Takes messages of one of Cloudflare's queues, whose name is the Worker's, a hyphen and the policy's
 * (https://developers.cloudflare.com/queues/configuration/javascript-apis/#consumer).
 */
export async function queue(batch, environment, context) {
  const name = batch.queue.slice(environment.SELVEDGE_QUEUE_PREFIX.length);
  const host = new Host(environment, context);
  await Promise.all(batch.messages.map((message) => deliver(name, message, host)));
}

async function deliver(name, message, host) {
  const { id, attempts: attempt } = message;
  try {
    const { settlement, after } = await runtime.job({ source: "queue", name, id, attempt, body: bytes(message.body) }, host);
    if (settlement === "retry") message.retry({ delaySeconds: after });
    else message.ack();
  } catch {
    // The driver has logged it.
    message.retry();
  }
}

/** What other programs send need not be bytes. */
function bytes(body) {
  if (body instanceof ArrayBuffer) return new Uint8Array(body);
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  return encoder.encode(typeof body === "string" ? body : JSON.stringify(body));
}

/** Tells whoever the schedules of an expression name; wrangler.toml lists them by the expression, each is a job of its own. */
export async function scheduled(controller, environment, context) {
  const { cron, scheduledTime } = controller;
  const host = new Host(environment, context);
  const job = (name) => ({ source: "schedule", name, id: String(scheduledTime), attempt: 1, body: NOTHING });
  const names = environment.SELVEDGE_SCHEDULES[cron] ?? [];
  await Promise.all(names.map((name) => runtime.job(job(name), host)));
}
