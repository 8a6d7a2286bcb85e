// What Cloudflare Workers give to the driver: facts, stores, counters, records and time.

import { written } from "./access_line.mjs";

const CACHE_ORIGIN = "https://cache.selvedge.invalid/";

/** Cache API keys are URLs of at most 16 KB; a longer key is stored under its digest. */
const MAX_KEY_CHARACTERS = 4096;

const HEAD_FIELD = "selvedge-head";
const NAMES_FIELD = "selvedge-variants";

/**
 * Statuses that Cloudflare makes up when it has no answer from a backend, and what they mean
 * (https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/).
 */
const FETCH_ERRORS = {
  520: "protocol",
  521: "connect",
  522: "connect",
  523: "connect",
  524: "timeout",
  525: "connect",
  526: "connect",
  527: "connect",
  530: "connect",
};

const NO_FACTS = "\n".repeat(11);

/** Bits of selvedge_core::facts::Fact: the address, and region to TLS version. */
const CLIENT_IP = 1 << 0;
const DETAILS = 0xff << 3;
const NO_DETAILS = "\n".repeat(7);
const NO_BOT = "\n";

/** One request's platform. */
export class Platform {
  constructor(env, context) {
    this.env = env;
    this.context = context;
  }

  now() {
    return Date.now();
  }

  /** The policy decides about caching, so Cloudflare's own cache between Worker and backend is turned off. */
  async fetch(url, init) {
    init.cf = { cacheTtlByStatus: { "100-599": -1 } };
    const response = await fetch(url, init);
    const fetchError = FETCH_ERRORS[response.status];
    if (fetchError === undefined) return response;
    await response.body?.cancel();
    throw Object.assign(new Error(`Cloudflare answered ${response.status} for the backend`), { fetchError });
  }

  async cacheGet(key) {
    const response = await caches.default.match(await cacheUrl(key));
    if (response === undefined) return null;
    const names = response.headers.get(NAMES_FIELD);
    if (names !== null) {
      const [since, ...list] = names.split(",");
      return { since: Number(since), names: list };
    }
    const head = response.headers.get(HEAD_FIELD);
    if (head === null) return null;
    const encoding = response.headers.get("content-encoding");
    return { head: decodeURIComponent(head), body: response.body, encoding };
  }

  async cachePut(key, keep, { since, names, head, body, encoding }) {
    const headers = { "cache-control": `public, max-age=${Math.max(1, Math.ceil(keep / 1000))}` };
    if (names !== undefined) {
      headers[NAMES_FIELD] = [since, ...names].join(",");
    } else {
      headers[HEAD_FIELD] = encodeURIComponent(head);
      // A body that the backend compressed is stored as it came.
      if (encoding !== null) headers["content-encoding"] = encoding;
    }
    await caches.default.put(await cacheUrl(key), new Response(body ?? null, { headers }));
  }

  /** Only this data center forgets: the Cache API reaches no other. */
  async cachePurge(keys) {
    await Promise.all(keys.map(async (key) => caches.default.delete(await cacheUrl(key))));
  }

  async kvGet(key) {
    const value = await this.env.SELVEDGE_KV.get(key, "arrayBuffer");
    return value === null ? null : new Uint8Array(value);
  }

  async kvPut(key, value) {
    await this.env.SELVEDGE_KV.put(key, value);
  }

  /** Cloudflare Queues where the policy says so, else a Durable Object for each queue. */
  async enqueue(queue, id, message) {
    const producer = this.env[`SELVEDGE_QUEUE_${queue.replaceAll("-", "_").toUpperCase()}`];
    if (producer !== undefined) return producer.send(message, { contentType: "bytes" });
    const { SELVEDGE_QUEUES: queues } = this.env;
    const headers = { "selvedge-operation": `put ${queue} ${id}` };
    const object = queues.get(queues.idFromName(queue));
    const response = await object.fetch("https://queue.selvedge.invalid/", { method: "POST", headers, body: message });
    if (!response.ok) throw new Error(`the queue answered ${response.status}`);
  }

  /** A Durable Object for each counter: the only exact one that Cloudflare has. */
  async count(key, window) {
    const { SELVEDGE_COUNTERS: counters } = this.env;
    const counter = counters.get(counters.idFromName(key));
    const response = await counter.fetch("https://counter.selvedge.invalid/", { method: "POST", body: `${this.now()} ${window}` });
    if (!response.ok) throw new Error(`the counter answered ${response.status}`);
    return Number(await response.text());
  }

  /** Analytics Engine takes an index of at most 96 bytes, texts and numbers. */
  record(kind, name, value, detail) {
    if (kind === "handler-failure") this.failed(`${name}: ${value}`);
    const number = kind === "event" ? Number(value) : 1;
    const blobs = [kind, name, value, detail];
    this.env.SELVEDGE_RECORDS?.writeDataPoint({ indexes: [name.slice(0, 32)], blobs, doubles: [number] });
  }

  /** A request's metrics go to Analytics Engine, and its record to the Worker's log, where Cloudflare finds its way in JSON. */
  access(line, isChosen) {
    const { outcome, cache, route, backend, bot, country, method, host, path, failed_over } = line;
    const blobs = ["access", route, outcome, cache, backend, bot, country, method, host, path, failed_over].map((text) => text ?? "");
    const doubles = [1, line.head_ms, line.origin_ms ?? 0, line.status, line.bytes_out ?? 0];
    this.env.SELVEDGE_RECORDS?.writeDataPoint({ indexes: [(route ?? "").slice(0, 32)], blobs, doubles });
    if (isChosen) console.log(written(line));
  }

  failed(message) {
    console.error(written({ level: "ERROR", selvedge: "log", message }));
  }

  after(promise) {
    this.context.waitUntil(promise);
  }
}

/**
 * What Cloudflare knows about the client, as lines for the module, from `request.cf` alone
 * (https://developers.cloudflare.com/workers/runtime-apis/request/#incomingrequestcfproperties).
 *
 * Facts that are not in the set may be left empty.
 *
 * Without it the request did not come through Cloudflare's network, and `CF-Connecting-IP` is anybody's word.
 */
export function facts(request, url, set) {
  const https = url.startsWith("https:") ? "1" : "0";
  const { cf } = request;
  if (!cf) return NO_FACTS + https + "\n\n";
  const ip = set & CLIENT_IP ? (request.headers.get("cf-connecting-ip") ?? "") : "";
  const { country, continent, botManagement } = cf;
  const place = ip + "\n" + line(country) + "\n" + line(continent) + "\n";
  const last = "\n" + https + "\n" + (botManagement === undefined ? NO_BOT : botLines(botManagement));
  if ((set & DETAILS) === 0) return place + NO_DETAILS + last;
  // One expression: a list to join would be garbage to collect.
  return place + line(cf.regionCode) +
    "\n" + line(cf.city) +
    "\n" + line(cf.latitude) +
    "\n" + line(cf.longitude) +
    "\n" + line(cf.timezone) +
    "\n" + line(cf.asn) +
    "\n" + line(cf.httpProtocol) +
    "\n" + line(cf.tlsVersion) +
    last;
}

function botLines({ score, verifiedBot }) {
  return line(score) + "\n" + (verifiedBot === undefined ? "" : Number(Boolean(verifiedBot)));
}

/** A line break within a value crosses as a record separator. */
function line(value) {
  if (value === undefined || value === null) return "";
  return typeof value === "string" && value.includes("\n") ? value.replaceAll("\n", "\x1e") : value;
}

async function cacheUrl(key) {
  const name = encodeURIComponent(key);
  return CACHE_ORIGIN + (name.length <= MAX_KEY_CHARACTERS ? name : `sha256-${await digest(key)}`);
}

async function digest(text) {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
