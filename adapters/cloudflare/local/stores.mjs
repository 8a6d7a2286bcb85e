// Stands in for Cloudflare's cache and KV behind a local workerd: what the runtime's own clients ask over HTTP, kept in memory.

const MAX_BYTES = 64 * 1024 * 1024;
const HEAD_END = [13, 10, 13, 10];

/** Values by key, the oldest dropped once all together are too large. */
class Store {
  #entries = new Map();
  #bytes = 0;

  get(key) {
    return this.#entries.get(key);
  }

  set(key, value, bytes) {
    this.delete(key);
    this.#entries.set(key, { ...value, bytes });
    this.#bytes += bytes;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= MAX_BYTES) break;
      this.delete(oldest);
    }
  }

  delete(key) {
    const entry = this.#entries.get(key);
    if (entry === undefined) return false;
    this.#bytes -= entry.bytes;
    return this.#entries.delete(key);
  }
}

const responses = new Store();
const values = new Store();

/** The other end of `caches.default`: GET, PUT with a whole HTTP response as content, PURGE. */
export const cache = {
  async fetch(request) {
    switch (request.method) {
      case "GET": {
        const entry = responses.get(request.url);
        if (entry === undefined) return new Response(null, { status: 504, headers: { "cf-cache-status": "MISS" } });
        const headers = new Headers(entry.headers);
        headers.set("cf-cache-status", "HIT");
        return new Response(entry.body, { status: entry.status, headers, encodeBody: "manual" });
      }
      case "PUT": {
        const content = new Uint8Array(await request.arrayBuffer());
        responses.set(request.url, parse(content), content.length);
        return new Response(null, { status: 204 });
      }
      case "PURGE":
        return new Response(null, { status: responses.delete(request.url) ? 200 : 404 });
      default:
        return new Response(null, { status: 405 });
    }
  },
};

/** The other end of a KV namespace: GET, PUT and DELETE of a key. */
export const kv = {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    const key = decodeURIComponent(pathname.slice(1));
    switch (request.method) {
      case "GET": {
        const entry = values.get(key);
        return entry === undefined ? new Response(null, { status: 404 }) : new Response(entry.content);
      }
      case "PUT": {
        const content = await request.arrayBuffer();
        values.set(key, { content }, content.byteLength);
        return new Response(null, { status: 204 });
      }
      case "DELETE":
        values.delete(key);
        return new Response(null, { status: 204 });
      default:
        return new Response(null, { status: 405 });
    }
  },
};

/** Reads a whole HTTP/1.1 response. */
function parse(content) {
  const end = content.findIndex((_, at) => HEAD_END.every((byte, i) => content[at + i] === byte));
  const [start, ...fields] = new TextDecoder().decode(content.subarray(0, end)).split("\r\n");
  const headers = [];
  let isChunked = false;
  for (const field of fields) {
    const colon = field.indexOf(":");
    const [name, value] = [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()];
    if (name === "transfer-encoding") isChunked = true;
    else if (name !== "content-length") headers.push([name, value]);
  }
  const rest = content.subarray(end + HEAD_END.length);
  return { status: Number(start.split(" ")[1]), headers, body: isChunked ? unchunk(rest) : rest.slice() };
}

/** Joins the chunks of RFC 9112 section 7.1. */
function unchunk(content) {
  const parts = [];
  let at = 0;
  for (;;) {
    let line = at;
    while (content[line] !== 13) line++;
    const length = Number.parseInt(new TextDecoder().decode(content.subarray(at, line)), 16);
    if (!(length > 0)) break;
    parts.push(content.subarray(line + 2, line + 2 + length));
    at = line + 2 + length + 2;
  }
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
