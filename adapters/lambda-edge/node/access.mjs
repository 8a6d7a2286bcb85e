// The access log of Lambda@Edge: a line for each request in the event that is the function's last of it.

import { BETWEEN, accessLine } from "./access_line.mjs";

/** The digits of CloudFront's ids of requests, which are base64url, and how many of them are looked at. */
const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const LOOKED_AT = 5;

/** How many requests have a line: a share of all from 0 to 1, and every one that is answered with a 5xx. */
export class AccessLog {
  #share;
  #now;
  #allowed = 0;

  constructor(share, now) {
    this.#share = share;
    this.#now = now;
  }

  /** Takes note of what the policy allows to be told of clients. */
  allow(allowed) {
    this.#allowed = allowed;
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

  #line(started, config, { method, uri, querystring, clientIp, headers }, outcome, summary, records) {
    const [reason, cache, ...names] = summary.split(BETWEEN);
    const field = (fields, name) => fields?.[name]?.map(({ value }) => value).join(", ");
    return accessLine({
      started,
      id: config?.requestId,
      trigger: config?.eventType,
      method,
      host: field(headers, "host"),
      traceparent: field(headers, "traceparent"),
      path: uri,
      query: querystring,
      status: Number(outcome.status),
      head: this.#now() - started,
      reason,
      cache,
      cacheStatus: field(outcome.headers, "cache-status"),
      names,
      records,
      country: field(headers, "cloudfront-viewer-country"),
      address: clientIp,
      userAgent: field(headers, "user-agent"),
    }, this.#allowed);
  }
}

/** Whether a request is chosen: its id is random. */
function isChosen(id, share) {
  let number = 0;
  for (const digit of id.slice(0, LOOKED_AT)) number = number * DIGITS.length + Math.max(0, DIGITS.indexOf(digit));
  return number / DIGITS.length ** LOOKED_AT < share;
}
