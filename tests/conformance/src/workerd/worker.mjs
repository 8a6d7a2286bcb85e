// Runs cases on the driver and the platform that are deployed. What a case sets comes in `request.cf.selvedge`, which no client can write.

import { Runtime } from "./driver.mjs";
import { facts, Platform } from "./platform.mjs";
import module from "./policy.wasm";

/** Engines kept at a time; a case sends its steps one after the other. */
const MAX_RUNTIMES = 8;

const runtimes = new Map();

/** The deployed platform with a case's own time and its own part of every store. */
class CasePlatform extends Platform {
  constructor(env, context, test) {
    super(env, context);
    this.test = test;
    this.pending = [];
  }

  now() {
    return this.test.now;
  }

  fetch(url, init) {
    init.headers = new Headers(init.headers);
    init.headers.set("selvedge-case", this.test.case);
    return super.fetch(url, init);
  }

  cacheGet(key) {
    return super.cacheGet(`${this.test.case} ${key}`);
  }

  cachePut(key, keep, entry) {
    return super.cachePut(`${this.test.case} ${key}`, keep, entry);
  }

  kvGet(key) {
    return super.kvGet(`${this.test.case} ${key}`);
  }

  kvPut(key, value) {
    return super.kvPut(`${this.test.case} ${key}`, value);
  }

  count(key, window) {
    return super.count(`${this.test.case} ${key}`, window);
  }

  after(promise) {
    this.pending.push(promise);
  }
}

class CaseHost {
  constructor(env, context, test) {
    this.only = new CasePlatform(env, context, test);
  }

  now() {
    return this.only.now();
  }

  facts(request, url, set) {
    return facts(request, url, set);
  }

  platform() {
    return this.only;
  }
}

function runtime(env, name) {
  let known = runtimes.get(name);
  if (known === undefined) {
    if (runtimes.size === MAX_RUNTIMES) runtimes.delete(runtimes.keys().next().value);
    known = new Runtime(module, env[name], env);
    runtimes.set(name, known);
  }
  return known;
}

export { Counter } from "./counter.mjs";

export default {
  async fetch(request, env, context) {
    const { selvedge: test } = request.cf;
    const host = new CaseHost(env, context, test);
    const response = await runtime(env, test.policy).handle(request, host);
    await Promise.all(host.only.pending);
    return response;
  },
};
