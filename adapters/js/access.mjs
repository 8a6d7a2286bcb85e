// The access log of a JavaScript host: what is told of each request.

import { BETWEEN, accessLine, known } from "./access_line.mjs";

/** Places among the facts about a client, in the order of selvedge_core::facts::Fact. */
const ADDRESS = 0;
const COUNTRY = 1;
const PROTOCOL = 9;

const ALL_FACTS = -1;

/** How many requests have a line: a share of all from 0 to 1, and every one that is answered with a 5xx. */
export class AccessLog {
  #share;
  #allowed = 0;

  constructor(share) {
    this.#share = share;
  }

  /** The log that the variable SELVEDGE_ACCESS_LOG asks for; null where it is not set or empty. */
  static of({ SELVEDGE_ACCESS_LOG: text = "" }) {
    if (text === "") return null;
    const share = Number(text);
    if (!(share >= 0 && share <= 1)) throw new Error("SELVEDGE_ACCESS_LOG is no share of requests from 0 (none) to 1 (all)");
    return new AccessLog(share);
  }

  /** Takes note of what the policy allows to be told of clients. */
  allow(allowed) {
    this.#allowed = allowed;
  }

  /** Begins with a request, under the id that backends and handlers know it by. */
  begin(request, host, id) {
    return new Observed(request, host, Uint8Array.from(id), this.#share, this.#allowed);
  }
}

/** One request. */
class Observed {
  #request;
  #host;
  #id;
  #share;
  #allowed;
  #started;
  #origin;
  #lookup;

  constructor(request, host, id, share, allowed) {
    this.#request = request;
    this.#host = host;
    this.#id = id;
    this.#share = share;
    this.#allowed = allowed;
    this.#started = host.now();
    this.#origin = new Waits(host);
    this.#lookup = new Waits(host);
  }

  /** The request's host, whose waits for backends and for the cache's store are told. */
  watched() {
    const host = this.#host;
    const waits = { fetch: this.#origin, cacheGet: this.#lookup };
    return { now: () => host.now(), facts: (...asked) => host.facts(...asked), platform: (request) => watch(host.platform(request), waits) };
  }

  /**
   * Tells the host of the response with its head: the platform hands bodies on by itself, and shows no end of one.
   *
   * `response` is what the module gave, and `records` what it tells beside it.
   */
  answered(response, records) {
    const { status } = response;
    const chosen = new DataView(this.#id.buffer).getUint32(0) / 2 ** 32 < this.#share;
    this.#host.platform(this.#request).access(this.#line(response, records), chosen || status >= 500);
  }

  #line(response, records) {
    const request = this.#request;
    const { url, headers, method } = request;
    const { host, pathname, search } = new URL(url);
    const facts = String(this.#host.facts(request, url, ALL_FACTS)).split("\n");
    const head = this.#host.now() - this.#started;
    const bytes = bytesOf(response, method);
    return accessLine({
      started: this.#started,
      id: Array.from(this.#id, (byte) => byte.toString(16).padStart(2, "0")).join(""),
      method,
      host,
      traceparent: headers.get("traceparent"),
      path: pathname,
      query: search.slice(1),
      protocol: facts[PROTOCOL],
      status: response.status,
      bytes: bytes ?? undefined,
      head,
      origin: this.#origin.total,
      lookup: this.#lookup.total,
      duration: response.handle === null || bytes === 0 ? head : undefined,
      reason: response.reason,
      cache: response.cache,
      cacheStatus: valueOf(response.fields, "cache-status"),
      names: response.names.split(BETWEEN),
      records,
      country: known(facts[COUNTRY]),
      address: facts[ADDRESS],
      userAgent: headers.get("user-agent") ?? undefined,
    }, this.#allowed);
  }
}

/** The time during which at least one wait was under way, in milliseconds; undefined until one has ended. */
class Waits {
  total;
  #host;
  #underWay = 0;
  #since = 0;

  constructor(host) {
    this.#host = host;
  }

  async during(promise) {
    if (this.#underWay++ === 0) this.#since = this.#host.now();
    try {
      return await promise();
    } finally {
      const now = this.#host.now();
      this.total = (this.total ?? 0) + now - this.#since;
      this.#since = now;
      this.#underWay--;
    }
  }
}

/** A platform some of whose calls are waits. */
function watch(platform, waits) {
  return new Proxy(platform, {
    get(target, name) {
      const value = target[name];
      if (typeof value !== "function") return value;
      const call = value.bind(target);
      return Object.hasOwn(waits, name) ? (...asked) => waits[name].during(() => call(...asked)) : call;
    },
  });
}

/** The bytes of a response's body, where they are known: null for a body that streams without a length. */
function bytesOf({ body, handle, fields }, method) {
  if (method === "HEAD") return 0;
  if (handle !== null) {
    const length = valueOf(fields, "content-length");
    return length === undefined ? null : Number(length);
  }
  if (body === null) return 0;
  // A short text is ASCII.
  return typeof body === "string" ? body.length : body.byteLength;
}

function valueOf(fields, wanted) {
  const values = fields.filter(([name]) => name === wanted).map(([, value]) => value);
  return values.length === 0 ? undefined : values.join(", ");
}
