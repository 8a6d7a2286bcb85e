// Runs cases on the driver and the platform that are deployed. What a case sets comes in `request.cf.selvedge`, which no client can write.

import { Runtime } from "./driver.mjs";
import { facts, Platform } from "./platform.mjs";
import module from "./policy.wasm";

/** Engines kept at a time; a case sends its steps one after the other. */
const MAX_RUNTIMES = 8;

const runtimes = new Map();

/** The deployed platform with a case's own time and its own part of every store. */
class CasePlatform extends Platform {
  constructor(env, context, test) {
    super(env, context);
    this.test = test;
    this.pending = [];
  }

  now() {
    return this.test.now;
  }

  fetch(url, init) {
    init.headers = new Headers(init.headers);
    init.headers.set("selvedge-case", this.test.case);
    return super.fetch(url, init);
  }

  cacheGet(key) {
    return super.cacheGet(`${this.test.case} ${key}`);
  }

  cachePut(key, keep, entry) {
    return super.cachePut(`${this.test.case} ${key}`, keep, entry);
  }

  cachePurge(keys) {
    return super.cachePurge(keys.map((key) => `${this.test.case} ${key}`));
  }

  kvGet(key) {
    return super.kvGet(`${this.test.case} ${key}`);
  }

  kvPut(key, value) {
    return super.kvPut(`${this.test.case} ${key}`, value);
  }

  count(key, window) {
    return super.count(`${this.test.case} ${key}`, window);
  }

  /** The queue of a case is delivered at the end of each step; a Durable Object goes by the machine's time. */
  async enqueue(queue, id, body) {
    queued(this.test.case).push({ source: "queue", name: queue, id, attempt: 1, body, due: this.now() });
  }

  after(promise) {
    this.pending.push(promise);
  }
}

class CaseHost {
  constructor(env, context, test) {
    this.only = new CasePlatform(env, context, test);
  }

  now() {
    return this.only.now();
  }

  facts(request, url, set) {
    return facts(request, url, set);
  }

  platform() {
    return this.only;
  }
}

const queues = new Map();

function queued(name) {
  if (!queues.has(name)) queues.set(name, []);
  return queues.get(name);
}

/** Delivers what is due of a case's messages. */
async function deliver(policy, host, test) {
  const messages = queued(test.case);
  for (;;) {
    const at = messages.findIndex(({ due }) => due <= test.now);
    if (at < 0) return;
    const [job] = messages.splice(at, 1);
    const { settlement, after } = await policy.job(job, host);
    if (settlement === "retry") messages.push({ ...job, attempt: job.attempt + 1, due: test.now + after * 1000 });
  }
}

/** Does a step's job and tells what becomes of it, in the words of selvedge_core::job::Settlement. */
async function settle(policy, host, test, request) {
  const body = new Uint8Array(await request.arrayBuffer());
  const { settlement, after } = await policy.job({ ...test.job, body }, host);
  return new Response(settlement === "retry" ? `again in ${after} s\n` : `${settlement}\n`);
}

function runtime(env, name) {
  let known = runtimes.get(name);
  if (known === undefined) {
    if (runtimes.size === MAX_RUNTIMES) runtimes.delete(runtimes.keys().next().value);
    known = new Runtime(module, env[name], env);
    runtimes.set(name, known);
  }
  return known;
}

export { Counter } from "./counter.mjs";

export default {
  async fetch(request, env, context) {
    const { selvedge: test } = request.cf;
    const host = new CaseHost(env, context, test);
    const policy = runtime(env, test.policy);
    const response = test.job ? await settle(policy, host, test, request) : await policy.handle(request, host);
    await Promise.all(host.only.pending);
    await deliver(policy, host, test);
    await Promise.all(host.only.pending);
    return response;
  },
};
