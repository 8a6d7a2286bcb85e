// The storefront's rules (examples/storefront/edge.toml) as one would write them for Hono: its own middleware where it has
// one, isbot for bots, and the rest by hand.

import { Hono } from "hono";
import { cache } from "hono/cache";
import { getCookie, setCookie } from "hono/cookie";
import { secureHeaders } from "hono/secure-headers";
import { isbot } from "isbot";

const BACKENDS = {
  us: { url: "http://origin.test", region: "us", failover: "global" },
  eu: { url: "http://origin.test", region: "eu", failover: "global" },
  global: { url: "http://origin.test", region: "global" },
  cloud: { url: "http://origin.test" },
};
const TIMEOUT_MILLISECONDS = 5000;

const SEARCH_ENGINES = /Googlebot|bingbot|DuckDuckBot|YandexBot|Baiduspider|Applebot/;
const HTTP_LIBRARIES = /^(curl|Wget|python-requests|Go-http-client|okhttp|axios)\b/;

const EU = new Set(
  "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE".split(" "),
);

/** Half of the visitors see the hero as it is, a quarter each a bold and a calm one. */
const VARIATIONS = [["control", 0.5], ["bold", 0.75], ["calm", 1]];

/** What only the platform may say about a client. */
const IMITATIONS = /^(cf-|x-forwarded-|x-real-ip$|true-client-ip$|forwarded$|selvedge-)/;
const HOP_BY_HOP = ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

const app = new Hono();

app.use(async (c, next) => {
  await next();
  const forwarded = c.get("forwarded") ? "fwd=bypass;" : "";
  c.header("cache-status", `Selvedge;${forwarded}detail=${c.get("reason")}`, { append: true });
});

app.use(secureHeaders({
  crossOriginOpenerPolicy: "same-origin",
  crossOriginResourcePolicy: false,
  originAgentCluster: false,
  overwrite: false,
  permissionsPolicy: { camera: [], geolocation: [], microphone: [], payment: [], usb: [] },
  referrerPolicy: "strict-origin-when-cross-origin",
  strictTransportSecurity: false,
  xDnsPrefetchControl: false,
  xDownloadOptions: false,
  xFrameOptions: "DENY",
  xPermittedCrossDomainPolicies: false,
  xXssProtection: false,
}));

/** An answer of the edge's own: nobody stores it. */
function text(c, status, body, reason) {
  c.set("reason", reason);
  return c.body(body, status, { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" });
}

app.use(async (c, next) => {
  if (c.req.raw.cf?.country === "CN") return text(c, 403, "Blocked in China", "geo.blocked");
  await next();
});

app.use(async (c, next) => {
  const agent = c.req.header("user-agent") ?? "";
  if (HTTP_LIBRARIES.test(agent)) c.set("bot", "http-library");
  else if (isbot(agent) && !SEARCH_ENGINES.test(agent)) return text(c, 403, "Bot detected", "bot.blocked");
  await next();
});

/** What goes to a backend: the client's headers without what it must not say, and what the edge adds. */
function outgoing(c, backend, added) {
  const { headers: received, cf } = c.req.raw;
  const headers = new Headers(received);
  for (const name of received.keys()) if (IMITATIONS.test(name)) headers.delete(name);
  for (const name of HOP_BY_HOP) headers.delete(name);
  if (cf) headers.set("x-forwarded-for", c.req.header("cf-connecting-ip") ?? "");
  headers.set("x-forwarded-proto", new URL(c.req.url).protocol.slice(0, -1));
  headers.set("x-forwarded-host", c.req.header("host") ?? "");
  headers.set("x-request-id", crypto.randomUUID().replaceAll("-", ""));
  headers.append("via", "1.1 selvedge");
  if (c.get("bot")) headers.set("x-bot", c.get("bot"));
  if (backend.region) headers.set("x-region", backend.region);
  for (const [name, value] of Object.entries(added)) headers.set(name, value);
  return headers;
}

/** The backend's response, or that of the next one when it fails. */
async function proxy(c, name, added = {}) {
  const backend = BACKENDS[name];
  const { method, body } = c.req.raw;
  const { pathname, search } = new URL(c.req.url);
  try {
    const response = await fetch(backend.url + pathname + search, {
      method,
      body,
      headers: outgoing(c, backend, added),
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS),
    });
    c.set("reason", "backend.responded");
    c.set("forwarded", true);
    return new Response(response.body, response);
  } catch (error) {
    if (backend.failover === undefined) throw error;
    return proxy(c, backend.failover, added);
  }
}

app.get("/go", (c) => {
  c.set("reason", "route.redirected");
  c.header("cache-control", "no-store");
  return c.redirect(c.req.raw.cf?.country === "US" ? "https://us.example.com/" : "https://global.example.com/");
});

app.get("/", cache({ cacheName: "pages", cacheControl: "max-age=60" }), async (c) => {
  const wanted = c.req.query("hero") ?? getCookie(c, "hero");
  const known = VARIATIONS.find(([name]) => name === wanted)?.[0];
  const ticket = Math.random();
  const hero = known ?? VARIATIONS.find(([, limit]) => ticket < limit)[0];
  c.res = await proxy(c, "global", { "x-hero": hero });
  if (known === undefined) setCookie(c, "hero", hero, { maxAge: 30 * 24 * 60 * 60, path: "/" });
  return c.res;
});

app.get("/api/content", (c) => {
  const country = c.req.raw.cf?.country;
  if (country === "US") return proxy(c, "us");
  return proxy(c, EU.has(country) ? "eu" : "global");
});

app.get("/api/user", (c) => proxy(c, "cloud"));

app.get("/static/:file{.+\\.(?:jpg|css)}", cache({ cacheName: "static", cacheControl: "max-age=600" }), (c) => proxy(c, "global"));

app.notFound((c) => text(c, 404, "Not found", "route.not-found"));

app.onError((error, c) => {
  console.error(error);
  return text(c, 503, "The storefront is taking a short break. Please try again in a minute.", "fallback.page");
});

export default app;
