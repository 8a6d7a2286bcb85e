// The Worker: one policy, answered by the module, with effects performed by Cloudflare's own parts.

import { env } from "cloudflare:workers";

import { Runtime } from "./driver.mjs";
import { facts, Platform } from "./platform.mjs";
import module from "./policy.wasm";
import policy from "./policy.bin";

const runtime = new Runtime(module, policy, env);

/** One invocation of the Worker. */
class Host {
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

export default {
  fetch(request, environment, context) {
    return runtime.handle(request, new Host(environment, context));
  },
};
