// What Node.js gives to the driver on Lambda@Edge: backends, records and time. Stores are what CloudFront has none of.

import { written } from "./access_line.mjs";

/** Connections that are kept for the next event of the same instance, which handles one at a time. */
const OPTIONS = { keepAlive: true, maxSockets: 16, maxFreeSockets: 4 };

let loaded = null;

/** What asks backends. To load it takes most of a cold start, and hardly any event needs it: CloudFront asks backends by itself. */
function network() {
  if (loaded === null) {
    const [http, https, { Readable }] = ["node:http", "node:https", "node:stream"].map(process.getBuiltinModule);
    const clients = {
      "http:": { ask: http.request, agent: new http.Agent(OPTIONS) },
      "https:": { ask: https.request, agent: new https.Agent(OPTIONS) },
    };
    loaded = { clients, Readable };
  }
  return loaded;
}

const ASCII = /^[\x00-\x7f]*$/;

/** Statuses whose responses have no content (https://fetch.spec.whatwg.org/#null-body-status). */
const NO_CONTENT = new Set([101, 103, 204, 205, 304]);

/** Errors before a connection was there, by Node's code; the rest count as a broken answer. */
const CONNECT = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "CERT_HAS_EXPIRED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/** One event's platform; it is the event's host as well. */
export class Platform {
  #now;
  #after = [];

  constructor(now) {
    this.#now = now;
  }

  platform() {
    return this;
  }

  now() {
    return this.#now();
  }

  /**
   * Asks a backend over HTTP/1.1, with the headers that are given and no others: Node's own `fetch` adds some and decodes bodies.
   */
  fetch(url, { method, headers, body, signal }) {
    const { clients, Readable } = network();
    const { ask, agent } = clients[new URL(url).protocol];
    const fields = Array.isArray(headers) ? headers : Object.entries(headers);
    const list = fields.flatMap(([name, value]) => [name, latin1(value)]);
    const options = { method, headers: list, agent, signal, setHost: false };
    return new Promise((resolve, reject) => {
      const request = ask(url, options);
      request.on("error", (error) => reject(withWord(error)));
      request.on("response", (message) => resolve(new Received(message, Readable)));
      if (body === null || body === undefined) {
        request.end();
      } else if (body instanceof Uint8Array) {
        request.end(body);
      } else {
        Readable.fromWeb(body).on("error", (error) => request.destroy(error)).pipe(request);
      }
    });
  }

  async cacheGet() {
    return null;
  }

  async cachePut() {}

  async kvGet() {
    throw new Error("Lambda@Edge has no key-value store");
  }

  async kvPut() {
    throw new Error("Lambda@Edge has no key-value store");
  }

  async count() {
    throw new Error("Lambda@Edge has no counters");
  }

  async enqueue() {
    throw new Error("Lambda@Edge has no queues");
  }

  /** Records go to CloudWatch Logs, a line each. */
  record(kind, name, value, detail) {
    if (kind === "handler-failure") this.failed(`${name}: ${value}`);
    console.log(written({ level: "INFO", selvedge: kind, name, value, detail }));
  }

  access(line) {
    console.log(written(line));
  }

  failed(message) {
    console.error(written({ level: "ERROR", selvedge: "log", message }));
  }

  /** A result that CloudFront would have answered 502 for was repaired or replaced. */
  violated(message) {
    console.error(written({ level: "WARN", selvedge: "violation", message }));
  }

  after(promise) {
    this.#after.push(promise);
  }

  /** Waits for what would be work after the response elsewhere: a function is frozen once it returns. */
  async finish() {
    await Promise.all(this.#after);
  }
}

/** A backend's response, as the driver reads one: header fields as they came, and the body as a stream. */
class Received {
  constructor(message, Readable) {
    this.status = message.statusCode;
    this.headers = new Fields(message.rawHeaders);
    const isEmpty = NO_CONTENT.has(this.status) || message.req.method === "HEAD";
    if (isEmpty) message.resume();
    this.body = isEmpty ? null : Readable.toWeb(message);
  }
}

/** Header fields in the order in which they came. */
class Fields {
  #raw;

  constructor(raw) {
    this.#raw = raw;
  }

  forEach(field) {
    for (let at = 0; at < this.#raw.length; at += 2) field(utf8(this.#raw[at + 1]), this.#raw[at].toLowerCase());
  }

  get(wanted) {
    let found = null;
    this.forEach((value, name) => { if (name === wanted && found === null) found = value; });
    return found;
  }
}

/** Node reads and writes header bytes as Latin-1; the module takes text as UTF-8. */
function utf8(value) {
  return ASCII.test(value) ? value : Buffer.from(value, "latin1").toString("utf8");
}

function latin1(value) {
  return ASCII.test(value) ? value : Buffer.from(value, "utf8").toString("latin1");
}

function withWord(error) {
  return Object.assign(error, { fetchError: CONNECT.has(error.code) ? "connect" : "protocol" });
}
