// The access log of Lambda@Edge: a line for each request in the event that is the function's last of it, in the form of
// selvedge_log::access::Access.

/** Longest path, and longest text of any other kind that a client chose, in characters; what is longer is cut. */
const MAX_PATH = 2048;
const MAX_TEXT = 256;

/** Most variations of one response that the log tells. */
const MAX_VARIATIONS = 32;

/** What the module writes between codes and names. */
const BETWEEN = "\x1f";

/** The digits of CloudFront's ids of requests, which are base64url, and how many of them are looked at. */
const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const LOOKED_AT = 5;

/** How many requests have a line: a share of all from 0 to 1, and every one that is answered with a 5xx. */
export class AccessLog {
  #share;
  #now;

  constructor(share, now) {
    this.#share = share;
    this.#now = now;
  }

  /** When an event came. */
  begin() {
    return this.#now();
  }

  /** Writes the line of a request if this event was the last of it and it is chosen. */
  end(started, { config, request }, outcome, summary, records, platform) {
    if (summary === "") return;
    const status = Number(outcome.status);
    if (status >= 500 || isChosen(config?.requestId ?? "", this.#share)) {
      platform.access(this.#line(started, config, request, outcome, summary, records));
    }
  }

  #line(started, config, { method, uri, headers }, outcome, summary, records) {
    const [reason, cache, route, backend, bot] = summary.split(BETWEEN);
    const variations = records.filter(([kind]) => kind === "exposure").slice(0, MAX_VARIATIONS);
    const field = (fields, name) => fields?.[name]?.map(({ value }) => value).join(", ");
    const cacheStatus = field(outcome.headers, "cache-status");
    return {
      level: "info",
      selvedge: "access",
      time: new Date(started).toISOString(),
      request_id: config?.requestId,
      trigger: config?.eventType,
      method: cut(method, MAX_TEXT),
      host: cut(field(headers, "host"), MAX_TEXT),
      path: cut(uri, MAX_PATH),
      status: Number(outcome.status),
      head_ms: this.#now() - started,
      outcome: reason,
      cache: known(cache),
      cache_status: cacheStatus && withoutKeys(cacheStatus).slice(-MAX_TEXT),
      route: known(route),
      backend: known(backend),
      bot: known(bot),
      variations: variations.length === 0 ? undefined : Object.fromEntries(variations.map(([, name, value]) => [name, value])),
      country: field(headers, "cloudfront-viewer-country"),
      user_agent: cut(field(headers, "user-agent"), MAX_TEXT),
    };
  }
}

/** Whether a request is chosen: its id is random. */
function isChosen(id, share) {
  let number = 0;
  for (const digit of id.slice(0, LOOKED_AT)) number = number * DIGITS.length + Math.max(0, DIGITS.indexOf(digit));
  return number / DIGITS.length ** LOOKED_AT < share;
}

/** Removes what caches say about their keys, which hold queries; what is in no string ends at `;` or `,`. */
function withoutKeys(status) {
  return status.replaceAll(/;\s*key=(?:"(?:[^"\\]|\\.)*(?:"|$)|[^;,"]*)/g, "");
}

function known(text) {
  return text === "" ? undefined : text;
}

function cut(text, most) {
  return text?.slice(0, most).toWellFormed();
}
