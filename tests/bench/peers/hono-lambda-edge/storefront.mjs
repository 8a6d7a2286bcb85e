// The storefront's rules (examples/storefront/edge.toml) as one would write them for Hono's adapter for Lambda@Edge: what can be
// decided at the door before the cache, and the rest behind it, where the country is known. A country that is blocked comes before
// every other rule, so that with one the door answers nobody. The triggers of responses are not measured, and left out.

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

const STATIC = "/static/:file{.+\\.(?:jpg|css)}";

/** What only the platform, and the door, may say about a client. */
const IMITATIONS = /^(cf-|cloudfront-|x-forwarded-|x-real-ip$|true-client-ip$|forwarded$|selvedge-|x-hero$|x-bot$)/;

const secure = secureHeaders({
  crossOriginOpenerPolicy: "same-origin",
  crossOriginResourcePolicy: false,
  originAgentCluster: false,
  overwrite: false,
  permissionsPolicy: { camera: [], geolocation: [], microphone: [], payment: [], usb: [] },
  referrerPolicy: "strict-origin-when-cross-origin",
  strictTransportSecurity: "max-age=31536000",
  xDnsPrefetchControl: false,
  xDownloadOptions: false,
  xFrameOptions: "DENY",
  xPermittedCrossDomainPolicies: false,
  xXssProtection: false,
});

/** An application of a trigger. An error is sent as it is; the trigger of viewer-response adds to the rest what every answer has. */
function application() {
  const app = new Hono();
  app.use(async (c, next) => {
    await next();
    if (c.res.status < 400) return;
    await secure(c, async () => {});
    c.header("cache-status", `Selvedge;detail=${c.get("reason")}`, { append: true });
  });
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

/** Answers bots; what the door found out about them, the trigger behind the cache need not find out again. */
async function refuseBots(c, next) {
  const agent = c.req.header("user-agent") ?? "";
  if (HTTP_LIBRARIES.test(agent)) c.set("bot", "http-library");
  else if (isbot(agent) && !SEARCH_ENGINES.test(agent)) return text(c, 403, "Bot detected", "bot.blocked");
  await next();
}

/** To the cache, without what a client must not say. */
function toCache(c, added = {}) {
  const { headers } = c.env.request;
  const kept = {};
  for (const name in headers) if (!IMITATIONS.test(name)) kept[name] = headers[name];
  if (c.get("bot")) added["x-bot"] = c.get("bot");
  return forward(c, kept, added);
}

function home(c) {
  const wanted = c.req.query("hero") ?? getCookie(c, "hero");
  const known = VARIATIONS.find(([name]) => name === wanted)?.[0];
  const ticket = Math.random();
  return toCache(c, { "x-hero": known ?? VARIATIONS.find(([, limit]) => ticket < limit)[0] });
}

/** The function, with countries that are blocked. */
export function handlerFor(blocked) {
  const triggers = { "viewer-request": handle(atTheDoor(blocked)), "origin-request": handle(behindTheCache(blocked)) };
  return (event) => triggers[event.Records[0].cf.config.eventType](event);
}

function atTheDoor(blocked) {
  const app = application();
  if (blocked.length > 0) return app.get("/", home).all("*", (c) => toCache(c));
  app.use(refuseBots);
  app.get("/", home);
  app.all("/go", (c) => toCache(c));
  app.get("/api/content", (c) => toCache(c));
  app.get("/api/user", (c) => toCache(c));
  app.get(STATIC, (c) => toCache(c));
  return app;
}

function behindTheCache(blocked) {
  const app = application();
  if (blocked.length > 0) {
    app.use(async (c, next) => {
      if (blocked.includes(country(c))) return text(c, 403, "Blocked in China", "geo.blocked");
      await next();
    });
    app.use(refuseBots);
  }
  app.all("/go", (c) => {
    c.header("cache-control", "private, no-store");
    return c.redirect(country(c) === "US" ? "https://us.example.com/" : "https://global.example.com/");
  });
  app.get("/", (c) => toBackend(c, "global"));
  app.get("/api/content", (c) => {
    if (country(c) === "US") return toBackend(c, "us");
    return toBackend(c, EU.has(country(c)) ? "eu" : "global");
  });
  app.get("/api/user", (c) => toBackend(c, "cloud"));
  app.get(STATIC, (c) => toBackend(c, "global"));
  return app;
}

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
  if (c.get("bot")) added["x-bot"] = c.get("bot");
  return forward(c, headers, added, ORIGIN);
}
