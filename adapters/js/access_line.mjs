// The line of a request in the access log, in the form of selvedge_log::access::Access.

/** Longest path, and longest text of any other kind that a client chose, in characters; what is longer is cut. */
const MAX_PATH = 2048;
const MAX_TEXT = 256;

/** Most variations of one response that the log tells. */
const MAX_VARIATIONS = 32;

/** What the module writes between codes and names. */
export const BETWEEN = "\x1f";

/** The line, as an object whose fields have their order; what is undefined is not told. Times are milliseconds. */
export function accessLine(told) {
  const variations = told.records.filter(([kind]) => kind === "exposure").slice(0, MAX_VARIATIONS);
  return {
    level: told.level,
    selvedge: "access",
    time: new Date(told.started).toISOString(),
    request_id: told.id,
    trigger: told.trigger,
    method: cut(told.method, MAX_TEXT),
    host: cut(told.host, MAX_TEXT),
    path: cut(told.path, MAX_PATH),
    protocol: known(told.protocol),
    status: told.status,
    bytes_out: told.bytes,
    head_ms: told.head,
    origin_ms: told.origin,
    duration_ms: told.duration,
    outcome: told.reason,
    cache: known(told.cache),
    cache_status: told.cacheStatus === undefined ? undefined : withoutKeys(told.cacheStatus).slice(-MAX_TEXT),
    route: known(told.route),
    backend: known(told.backend),
    bot: known(told.bot),
    variations: variations.length === 0 ? undefined : Object.fromEntries(variations.map(([, name, value]) => [name, value])),
    country: told.country,
    user_agent: cut(told.userAgent, MAX_TEXT),
  };
}

/** Removes what caches say about their keys, which hold queries; what is in no string ends at `;` or `,`. */
function withoutKeys(status) {
  return status.replaceAll(/;\s*key=(?:"(?:[^"\\]|\\.)*(?:"|$)|[^;,"]*)/g, "");
}

/** The module writes what it does not know as nothing. */
export function known(text) {
  return text === "" ? undefined : text;
}

function cut(text, most) {
  return text?.slice(0, most).toWellFormed();
}
