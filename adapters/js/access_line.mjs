// The line of a request in the access log, in the form of selvedge_log::access::Access.

/** Longest path and query, and longest text of any other kind that a client chose, in characters; what is longer is cut. */
const MAX_PATH = 2048;
const MAX_TEXT = 256;

/** Most variations of one response that the log tells. */
const MAX_VARIATIONS = 32;

/** What the module writes between codes and names. */
export const BETWEEN = "\x1f";

/** What the policy allows to be told of clients, as bits of selvedge_core::log::Log. */
const ADDRESS = 1;
const USER_AGENT = 2;
const QUERY_NAMES = 4;
const QUERY = 8;

/**
 * The line, as an object whose fields have their order; what is undefined is not told. Times are milliseconds.
 *
 * `allowed` says what of the query, the address and the user agent may be told.
 */
export function accessLine(told, allowed) {
  const variations = told.records.filter(([kind]) => kind === "exposure").slice(0, MAX_VARIATIONS);
  const [route, backend, bot, failedOver, attempts] = told.names;
  return {
    level: "INFO",
    selvedge: "access",
    time: new Date(told.started).toISOString(),
    request_id: told.id,
    trace_id: traceId(told.traceparent),
    trigger: told.trigger,
    method: cut(told.method, MAX_TEXT),
    host: cut(told.host, MAX_TEXT),
    path: cut(told.path, MAX_PATH),
    query: cut(keptQuery(told.query, allowed), MAX_PATH),
    protocol: known(told.protocol),
    status: told.status,
    bytes_out: told.bytes,
    head_ms: told.head,
    origin_ms: told.origin,
    cache_ms: told.lookup,
    duration_ms: told.duration,
    outcome: told.reason,
    cache: known(told.cache),
    cache_status: cacheStatus(told.cacheStatus, allowed),
    route: known(route),
    backend: known(backend),
    failed_over: known(failedOver),
    attempts: attempts ? Number(attempts) : undefined,
    bot: known(bot),
    variations: variations.length === 0 ? undefined : Object.fromEntries(variations.map(([, name, value]) => [name, value])),
    country: told.country,
    address: allowed & ADDRESS ? known(told.address) : undefined,
    user_agent: allowed & USER_AGENT ? cut(told.userAgent, MAX_TEXT) : undefined,
  };
}

/** What a terminal obeys and JSON does not escape: delete, C1 control codes, and what overrides or isolates the direction of text. */
const OBEYED = /[\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

/** Writes a line of the log. Outside of its strings JSON has none of those characters. */
export function written(line) {
  return JSON.stringify(line).replace(OBEYED, (found) => "\\u" + found.charCodeAt(0).toString(16).padStart(4, "0"));
}

/** A valid trace of the client's, by section 3.2.2 of https://www.w3.org/TR/trace-context-1/; later versions may add fields. */
const TRACEPARENT = /^(?!ff)([\da-f]{2})-(?!0{32})([\da-f]{32})-(?!0{16})[\da-f]{16}-[\da-f]{2}(-.*)?$/;

function traceId(traceparent) {
  const [, version, id, more] = TRACEPARENT.exec(traceparent ?? "") ?? [];
  return version === "00" && more !== undefined ? undefined : id;
}

function keptQuery(query, allowed) {
  if (!query || (allowed & (QUERY_NAMES | QUERY)) === 0) return undefined;
  return allowed & QUERY ? query : query.split("&").map((pair) => pair.split("=", 1)[0]).join("&");
}

/** What caches say; what is cut is the part of those nearer to the origin. */
function cacheStatus(status, allowed) {
  if (status === undefined) return undefined;
  return known((allowed & QUERY ? status : withoutKeys(status)).slice(-MAX_TEXT));
}

/** Removes what caches say about their keys, which hold queries. */
function withoutKeys(status) {
  return parameters(status).filter((parameter) => !/^;\s*key=/.test(parameter)).join("");
}

/** Splits before each `;` and `,` that is in no string. */
function parameters(status) {
  const found = [];
  let from = 0;
  let isString = false;
  for (let at = 0; at < status.length; at++) {
    const character = status[at];
    if (isString && character === "\\") {
      at++;
    } else if (character === '"') {
      isString = !isString;
    } else if (!isString && (character === ";" || character === ",")) {
      found.push(status.slice(from, at));
      from = at;
    }
  }
  found.push(status.slice(from));
  return found;
}

/** The module writes what it does not know as nothing. */
export function known(text) {
  return text === "" ? undefined : text;
}

function cut(text, most) {
  return text?.slice(0, most).toWellFormed();
}
