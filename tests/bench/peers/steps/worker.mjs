// The bare Worker's way to the origin with what an edge adds to it, none of it a decision; the binding STEPS names which:
//
//   headers   the request's headers are written by the edge, not passed on
//   limit     the backend has a time limit for the head of its response
//   uncached  Cloudflare's own cache between Worker and backend is off
//   read      every field of the request's head and what Cloudflare knows about the client are read

import { env } from "cloudflare:workers";

const steps = new Set(env.STEPS.split(" "));
const [writes, limits, isUncached, reads] = ["headers", "limit", "uncached", "read"].map((name) => steps.has(name));

const TIMEOUT_MILLISECONDS = 5000;

const SECURITY = {
  "cross-origin-opener-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
  "referrer-policy": "strict-origin-when-cross-origin",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

/** As many as the storefront sends to a backend. */
const HEADERS = {
  accept: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
  "accept-encoding": "gzip, deflate, br, zstd",
  "accept-language": "en-US,en;q=0.5",
  cookie: "session=abcdef0123456789; theme=dark",
  "sec-fetch-dest": "document",
  "sec-fetch-mode": "navigate",
  "sec-fetch-site": "none",
  "upgrade-insecure-requests": "1",
  "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
  via: "1.1 selvedge",
  "x-forwarded-host": "bench",
  "x-forwarded-proto": "http",
  "x-request-id": "0123456789abcdef0123456789abcdef",
};

let read = 0;

function readHead(request) {
  read += request.method.length + request.url.length + request.cf.country.length + Date.now();
  request.headers.forEach((value, name) => { read += name.length + value.length; });
}

/** The backend's response, or an error when its head takes too long. */
async function limited(url, init) {
  const abort = new AbortController();
  init.signal = abort.signal;
  let timer;
  try {
    return await new Promise((resolve, reject) => {
      timer = setTimeout(() => { reject(new Error("too late")); abort.abort(); }, TIMEOUT_MILLISECONDS);
      fetch(url, init).then(resolve, reject);
    });
  } finally {
    clearTimeout(timer);
  }
}

export default {
  async fetch(request) {
    if (reads) readHead(request);
    const init = { headers: writes ? HEADERS : request.headers, redirect: "manual" };
    if (isUncached) init.cf = { cacheTtlByStatus: { "100-599": -1 } };
    const url = "http://origin.test/api/user";
    const response = await (limits ? limited(url, init) : fetch(url, init));
    const answered = new Response(response.body, response);
    for (const name in SECURITY) answered.headers.set(name, SECURITY[name]);
    answered.headers.append("cache-status", "Selvedge;fwd=bypass;detail=backend.responded");
    return answered;
  },
};
