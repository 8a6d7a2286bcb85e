// The access log of a JavaScript host: what is told of each request, in the form of selvedge_log::access::Access.

/** Longest path, and longest text of any other kind that a client chose, in characters; what is longer is cut. */
const MAX_PATH = 2048;
const MAX_TEXT = 256;

/** Most variations of one response that the log tells. */
const MAX_VARIATIONS = 32;

/** Places among the facts about a client, in the order of selvedge_core::facts::Fact. */
const COUNTRY = 1;
const PROTOCOL = 9;

const ALL_FACTS = -1;

/** What the module writes between the names of a response's route, backend and kind of client. */
const BETWEEN_NAMES = "\x1f";

/** How many requests have a line: a share of all from 0 to 1, and every one that is answered with a 5xx. */
export class AccessLog {
  #share;

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

  /** Begins with a request, under the id that backends and handlers know it by. */
  begin(request, host, id) {
    return new Observed(request, host, Uint8Array.from(id), this.#share);
  }
}

/** One request. */
class Observed {
  #request;
  #host;
  #id;
  #share;
  #started;
  #origin = null;

  constructor(request, host, id, share) {
    this.#request = request;
    this.#host = host;
    this.#id = id;
    this.#share = share;
    this.#started = host.now();
  }

  /** Takes note of the wait for a backend. */
  fetched(milliseconds) {
    this.#origin = (this.#origin ?? 0) + milliseconds;
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
    const { host, pathname } = new URL(url);
    const facts = String(this.#host.facts(request, url, ALL_FACTS)).split("\n");
    const [route, backend, bot] = response.names.split(BETWEEN_NAMES);
    const head = this.#host.now() - this.#started;
    const bytes = bytesOf(response, method);
    const variations = records.filter(([kind]) => kind === "exposure").slice(0, MAX_VARIATIONS);
    const cacheStatus = valueOf(response.fields, "cache-status");
    return {
      level: "INFO",
      selvedge: "access",
      time: new Date(this.#started).toISOString(),
      request_id: Array.from(this.#id, (byte) => byte.toString(16).padStart(2, "0")).join(""),
      method: cut(method, MAX_TEXT),
      host: cut(host, MAX_TEXT),
      path: cut(pathname, MAX_PATH),
      protocol: known(facts[PROTOCOL]),
      status: response.status,
      bytes_out: bytes ?? undefined,
      head_ms: head,
      origin_ms: this.#origin ?? undefined,
      duration_ms: response.handle === null || bytes === 0 ? head : undefined,
      outcome: response.reason,
      cache: known(response.cache),
      cache_status: cacheStatus === undefined ? undefined : withoutKeys(cacheStatus).slice(-MAX_TEXT),
      route: known(route),
      backend: known(backend),
      bot: known(bot),
      variations: variations.length === 0 ? undefined : Object.fromEntries(variations.map(([, name, value]) => [name, value])),
      country: known(facts[COUNTRY]),
      user_agent: headers.has("user-agent") ? cut(headers.get("user-agent"), MAX_TEXT) : undefined,
    };
  }
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

/** Removes what caches say about their keys, which hold queries; what is in no string ends at `;` or `,`. */
function withoutKeys(status) {
  return status.replaceAll(/;\s*key=(?:"(?:[^"\\]|\\.)*(?:"|$)|[^;,"]*)/g, "");
}

function known(text) {
  return text === undefined || text === "" ? undefined : text;
}

function cut(text, most) {
  return text.slice(0, most).toWellFormed();
}
