// The peer gives the answers that the storefront's policy describes. `cargo xtask bench workerd` compares them with Selvedge's own.

import assert from "node:assert/strict";
import { test } from "node:test";

import app from "./worker.mjs";

const BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/** Sends a request from a country, and returns the answer and what reached the backends. */
async function send(t, path, { country = "DE", agent = BROWSER, headers = {}, isDown = () => false } = {}) {
  const sent = [];
  t.mock.method(globalThis, "fetch", async (url, init) => {
    sent.push({ url, headers: init.headers });
    if (isDown(init.headers)) throw new TypeError("connection refused");
    return new Response("from the backend", { headers: { "x-frame-options": "SAMEORIGIN" } });
  });
  const request = new Request(`http://shop.test${path}`, { headers: { "user-agent": agent, ...headers } });
  Object.defineProperty(request, "cf", { value: { country } });
  return { response: await app.fetch(request), sent };
}

test("a blocked country and a scraper are refused, and no backend hears of it", async (t) => {
  const rows = [
    [{ country: "CN" }, "Blocked in China", "geo.blocked"],
    [{ agent: "Scrapy/2.11 (+https://scrapy.org)" }, "Bot detected", "bot.blocked"],
  ];
  for (const [options, body, reason] of rows) {
    const { response, sent } = await send(t, "/api/user", options);
    assert.equal(response.status, 403);
    assert.equal(await response.text(), body);
    assert.equal(response.headers.get("cache-status"), `Selvedge;detail=${reason}`);
    assert.equal(response.headers.get("x-frame-options"), "DENY");
    assert.deepEqual(sent, []);
  }
});

test("search engines come in, and HTTP libraries are tagged", async (t) => {
  const google = await send(t, "/api/user", { agent: "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)" });
  assert.equal(google.response.status, 200);
  const curl = await send(t, "/api/user", { agent: "curl/8.5.0" });
  assert.equal(curl.sent[0].headers.get("x-bot"), "http-library");
});

test("/go leads by country", async (t) => {
  for (const [country, host] of [["US", "us"], ["DE", "global"]]) {
    const { response } = await send(t, "/go", { country });
    assert.equal(response.status, 302);
    assert.equal(response.headers.get("location"), `https://${host}.example.com/`);
  }
});

test("content comes from the region's backend, and from the next one when that fails", async (t) => {
  for (const [country, region] of [["US", "us"], ["FR", "eu"], ["BR", "global"]]) {
    const { sent } = await send(t, "/api/content", { country });
    assert.deepEqual(sent.map(({ headers }) => headers.get("x-region")), [region]);
  }
  const isDown = (headers) => headers.get("x-region") === "us";
  const { response, sent } = await send(t, "/api/content", { country: "US", isDown });
  assert.equal(response.status, 200);
  assert.deepEqual(sent.map(({ headers }) => headers.get("x-region")), ["us", "global"]);
});

test("a visitor keeps the variation, and a query parameter forces one", async (t) => {
  const kept = await send(t, "/", { headers: { cookie: "hero=calm" } });
  assert.equal(kept.sent[0].headers.get("x-hero"), "calm");
  assert.equal(kept.response.headers.get("set-cookie"), null);
  const forced = await send(t, "/?hero=bold", { headers: { cookie: "hero=calm" } });
  assert.equal(forced.sent[0].headers.get("x-hero"), "bold");
  const fresh = await send(t, "/");
  const hero = fresh.sent[0].headers.get("x-hero");
  assert.match(fresh.response.headers.get("set-cookie"), new RegExp(`^hero=${hero};`));
});

test("a backend hears the edge and not what a client pretends", async (t) => {
  const { response, sent: [{ headers }] } = await send(t, "/api/user", { headers: { "x-forwarded-for": "10.0.0.1", "selvedge-x": "1" } });
  assert.notEqual(headers.get("x-forwarded-for"), "10.0.0.1");
  assert.equal(headers.get("selvedge-x"), null);
  assert.equal(headers.get("via"), "1.1 selvedge");
  assert.match(headers.get("x-request-id"), /^[0-9a-f]{32}$/);
  assert.equal(response.headers.get("x-frame-options"), "SAMEORIGIN", "the backend's own value stays");
  assert.equal(response.headers.get("cache-status"), "Selvedge;fwd=bypass;detail=backend.responded");
});

test("static files have their extensions, and anything else is not found", async (t) => {
  for (const [path, status] of [["/static/site.css", 200], ["/static/a/b.jpg", 200], ["/static/app.js", 404], ["/nothing", 404]]) {
    const { response } = await send(t, path);
    assert.equal(response.status, status, path);
  }
});

test("the fallback page answers when every backend is down", async (t) => {
  t.mock.method(console, "error", () => {});
  const { response } = await send(t, "/api/user", { isDown: () => true });
  assert.equal(response.status, 503);
  assert.match(await response.text(), /short break/);
});
