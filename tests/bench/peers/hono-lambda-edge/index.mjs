// The storefront's rules (examples/storefront/edge.toml) as one would write them for Hono's adapter for Lambda@Edge: what
// can be decided at the door before the cache, the rest with the country known behind it. The triggers of responses are not
// measured, and left out.

import { Hono } from "hono";
import { getCookie } from "hono/cookie";
import { handle } from "hono/lambda-edge";
import { secureHeaders } from "hono/secure-headers";
import { isbot } from "isbot";

const BACKENDS = {
  us: { region: "us" },
  eu: { region: "eu" },
  global: { region: "global" },
  cloud: {},
};
const ORIGIN = {
  domainName: "origin.test",
  port: 443,
  protocol: "https",
  path: "",
  sslProtocols: ["TLSv1.2"],
  readTimeout: 5,
  keepaliveTimeout: 5,
  customHeaders: {},
};

const SEARCH_ENGINES = /Googlebot|bingbot|DuckDuckBot|YandexBot|Baiduspider|Applebot/;
const HTTP_LIBRARIES = /^(curl|Wget|python-requests|Go-http-client|okhttp|axios)\b/;

const EU = new Set(
  "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE".split(" "),
);

/** Half of the visitors see the hero as it is, a quarter each a bold and a calm one. */
const VARIATIONS = [["control", 0.5], ["bold", 0.75], ["calm", 1]];

/** What only the platform, and the door, may say about a client. */
const IMITATIONS = /^(cf-|cloudfront-|x-forwarded-|x-real-ip$|true-client-ip$|forwarded$|selvedge-|x-hero$|x-bot$)/;

/** An application of a trigger, whose answers have what every answer has. */
function application() {
  const app = new Hono();
  app.use(async (c, next) => {
    await next();
    c.header("cache-status", `Selvedge;detail=${c.get("reason")}`, { append: true });
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
  app.notFound((c) => text(c, 404, "Not found", "route.not-found"));
  app.onError((error, c) => {
    console.error(error);
    return text(c, 503, "The storefront is taking a short break. Please try again in a minute.", "fallback.page");
  });
  return app;
}

/** An answer of the edge's own: nobody stores it. */
function text(c, status, body, reason) {
  c.set("reason", reason);
  return c.body(body, status, { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" });
}

/** Hands CloudFront the request with other headers; what the application answers then does not count. */
function forward(c, headers, added, origin) {
  const changed = { ...c.env.request, headers };
  for (const name in added) headers[name] = [{ key: name, value: added[name] }];
  if (origin !== undefined) changed.origin = { custom: origin };
  c.env.callback(null, changed);
  return c.body(null);
}

const door = application();

door.use(async (c, next) => {
  const agent = c.req.header("user-agent") ?? "";
  if (HTTP_LIBRARIES.test(agent)) c.set("bot", "http-library");
  else if (isbot(agent) && !SEARCH_ENGINES.test(agent)) return text(c, 403, "Bot detected", "bot.blocked");
  await next();
});

/** To the cache, without what a client must not say. */
function toCache(c, added = {}) {
  const { headers } = c.env.request;
  const kept = {};
  for (const name in headers) if (!IMITATIONS.test(name)) kept[name] = headers[name];
  if (c.get("bot")) added["x-bot"] = c.get("bot");
  return forward(c, kept, added);
}

door.get("/", (c) => {
  const wanted = c.req.query("hero") ?? getCookie(c, "hero");
  const known = VARIATIONS.find(([name]) => name === wanted)?.[0];
  const ticket = Math.random();
  return toCache(c, { "x-hero": known ?? VARIATIONS.find(([, limit]) => ticket < limit)[0] });
});
door.all("/go", (c) => toCache(c));
door.get("/api/content", (c) => toCache(c));
door.get("/api/user", (c) => toCache(c));
door.get("/static/:file{.+\\.(?:jpg|css)}", (c) => toCache(c));

const behind = application();

behind.use(async (c, next) => {
  if (country(c) === "CN") return text(c, 403, "Blocked in China", "geo.blocked");
  await next();
});

const country = (c) => c.req.header("cloudfront-viewer-country");

/** To a backend, with what the edge adds. */
function toBackend(c, name) {
  const { clientIp, headers: received } = c.env.request;
  const headers = {};
  for (const field in received) if (!field.startsWith("cloudfront-")) headers[field] = received[field];
  const { region } = BACKENDS[name];
  const added = {
    "x-forwarded-for": clientIp,
    "x-forwarded-proto": "https",
    "x-forwarded-host": c.req.header("host") ?? "",
    "x-request-id": crypto.randomUUID().replaceAll("-", ""),
  };
  if (region) added["x-region"] = region;
  return forward(c, headers, added, ORIGIN);
}

behind.all("/go", (c) => {
  c.set("reason", "route.redirected");
  c.header("cache-control", "no-store");
  return c.redirect(country(c) === "US" ? "https://us.example.com/" : "https://global.example.com/");
});
behind.get("/", (c) => toBackend(c, "global"));
behind.get("/api/content", (c) => {
  if (country(c) === "US") return toBackend(c, "us");
  return toBackend(c, EU.has(country(c)) ? "eu" : "global");
});
behind.get("/api/user", (c) => toBackend(c, "cloud"));
behind.get("/static/*", (c) => toBackend(c, "global"));

const TRIGGERS = { "viewer-request": handle(door), "origin-request": handle(behind) };

export const handler = (event) => TRIGGERS[event.Records[0].cf.config.eventType](event);
