// The peer gives the answers that the storefront's policy describes. `cargo xtask bench lambda-edge` compares them with Selvedge's own.

import assert from "node:assert/strict";
import { test } from "node:test";

import { handlerFor } from "./storefront.mjs";

const BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/** An event of a trigger, and what the function returns for it. */
function send(eventType, uri, headers = {}, { querystring = "", blocked = [] } = {}) {
  const given = { host: "shop.test", "user-agent": BROWSER, ...headers };
  const fields = Object.entries(given).map(([key, value]) => [key, [{ key, value }]]);
  const request = { clientIp: "203.0.113.1", method: "GET", uri, querystring, headers: Object.fromEntries(fields) };
  return handlerFor(blocked)({ Records: [{ cf: { config: { distributionDomainName: "shop.test", eventType }, request } }] });
}

const value = ({ headers }, name) => headers[name]?.[0].value;

test("where a country is blocked the door answers nobody", async () => {
  const agent = { "user-agent": "Scrapy/2.11 (+https://scrapy.org)" };
  const scraper = await send("viewer-request", "/nothing", agent, { blocked: ["CN"] });
  assert.equal(scraper.uri, "/nothing");
  const behind = { ...agent, "cloudfront-viewer-country": "DE" };
  assert.equal((await send("origin-request", "/nothing", behind, { blocked: ["CN"] })).body, "Bot detected");
});

test("at the door a scraper is refused and what is nowhere is not found", async () => {
  for (const [uri, headers, status, body, reason] of [
    ["/api/user", { "user-agent": "Scrapy/2.11 (+https://scrapy.org)" }, "403", "Bot detected", "bot.blocked"],
    ["/nothing", {}, "404", "Not found", "route.not-found"],
    ["/static/app.js", {}, "404", "Not found", "route.not-found"],
  ]) {
    const answer = await send("viewer-request", uri, headers);
    assert.deepEqual([answer.status, answer.body], [status, body], uri);
    assert.equal(value(answer, "cache-status"), `Selvedge;detail=${reason}`);
    assert.equal(value(answer, "x-frame-options"), "DENY");
  }
});

test("the rest goes to the cache without what a client must not say", async () => {
  for (const uri of ["/go", "/api/content", "/api/user", "/static/a/site.css"]) {
    const request = await send("viewer-request", uri, { "x-forwarded-for": "10.0.0.1", "selvedge-x": "1", "x-mine": "1" });
    assert.equal(request.uri, uri);
    assert.deepEqual(Object.keys(request.headers), ["host", "user-agent", "x-mine"]);
  }
  assert.equal(value(await send("viewer-request", "/api/user", { "user-agent": "curl/8.5.0" }), "x-bot"), "http-library");
});

test("a visitor keeps the variation, and a query parameter forces one", async () => {
  assert.equal(value(await send("viewer-request", "/", { cookie: "hero=calm" }), "x-hero"), "calm");
  assert.equal(value(await send("viewer-request", "/", { cookie: "hero=calm" }, { querystring: "hero=bold" }), "x-hero"), "bold");
  assert.match(value(await send("viewer-request", "/", { "x-hero": "mine" }), "x-hero"), /^(control|bold|calm)$/);
});

test("behind the cache the country decides", async () => {
  const from = (uri, country) => send("origin-request", uri, { "cloudfront-viewer-country": country }, { blocked: ["CN"] });
  assert.equal((await from("/api/user", "CN")).body, "Blocked in China");
  for (const [country, host] of [["US", "us"], ["DE", "global"]]) {
    const answer = await from("/go", country);
    assert.deepEqual([answer.status, value(answer, "location")], ["302", `https://${host}.example.com/`]);
  }
  for (const [country, region] of [["US", "us"], ["FR", "eu"], ["BR", "global"]]) {
    const request = await from("/api/content", country);
    assert.equal(value(request, "x-region"), region);
    assert.equal(request.origin.custom.domainName, "origin.test");
  }
});
