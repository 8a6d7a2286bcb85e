// The storefront's rules (examples/storefront/edge.toml) as a Hono user would write them, with isbot for bots.

import { Hono } from "hono";
import { isbot } from "isbot";

const ORIGIN = "http://origin.test";
const SEARCH_ENGINES = /Googlebot|bingbot|DuckDuckBot|YandexBot|Baiduspider|Applebot/;

const SECURITY = {
  "cross-origin-opener-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
  "referrer-policy": "strict-origin-when-cross-origin",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

const app = new Hono();

function answer(c, status, body, reason) {
  return c.body(body, status, {
    "content-type": "text/plain; charset=utf-8",
    "cache-control": "no-store",
    "cache-status": `Selvedge;detail=${reason}`,
    ...SECURITY,
  });
}

app.use("*", async (c, next) => {
  const { cf } = c.req.raw;
  if (cf?.country === "CN") return answer(c, 403, "Blocked in China", "geo.blocked");
  const agent = c.req.header("user-agent") ?? "";
  if (isbot(agent) && !SEARCH_ENGINES.test(agent)) return answer(c, 403, "Bot detected", "bot.blocked");
  await next();
});

app.get("/go", (c) => {
  const { cf } = c.req.raw;
  const target = cf?.country === "US" ? "https://us.example.com/" : "https://global.example.com/";
  return c.body(null, 302, {
    location: target,
    "cache-control": "no-store",
    "cache-status": "Selvedge;detail=route.redirected",
    ...SECURITY,
  });
});

app.get("/api/user", async (c) => {
  const headers = new Headers(c.req.raw.headers);
  headers.set("x-forwarded-for", c.req.raw.cf ? (headers.get("cf-connecting-ip") ?? "") : "");
  headers.set("x-forwarded-proto", "http");
  headers.set("x-forwarded-host", c.req.header("host") ?? "");
  headers.set("x-request-id", crypto.randomUUID().replaceAll("-", ""));
  headers.append("via", "1.1 selvedge");
  headers.delete("connection");
  const response = await fetch(ORIGIN + "/api/user", { headers, redirect: "manual" });
  const answered = new Response(response.body, response);
  for (const [name, value] of Object.entries(SECURITY)) answered.headers.set(name, value);
  answered.headers.append("cache-status", "Selvedge;fwd=bypass;detail=backend.responded");
  return answered;
});

app.notFound((c) => answer(c, 404, "Not found", "route.not-found"));

export default app;
