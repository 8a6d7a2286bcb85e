// The policy and what it runs on, for every event that the Worker gets.

import { env } from "cloudflare:workers";

import { Runtime } from "./driver.mjs";
import { facts, Platform } from "./platform.mjs";
import module from "./policy.wasm";
import policy from "./policy.bin";

/** The policy. */
export const runtime = new Runtime(module, policy, env);

/** One invocation of the Worker. */
export class Host {
  constructor(environment, context) {
    this.environment = environment;
    this.context = context;
  }

  now() {
    return Date.now();
  }

  facts(request, url, set) {
    return facts(request, url, set);
  }

  platform() {
    return new Platform(this.environment, this.context);
  }
}

/** Answers a request. */
export function answer(request, environment, context) {
  return runtime.handle(request, new Host(environment, context));
}
