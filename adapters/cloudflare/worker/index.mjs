// The Worker: one policy, answered by the module, with effects performed by Cloudflare's own parts.

import { env } from "cloudflare:workers";

import { Runtime } from "./driver.mjs";
import { Platform } from "./platform.mjs";
import module from "./policy.wasm";
import policy from "./policy.bin";

const runtime = new Runtime(module, policy, env);

export default {
  fetch(request, environment, context) {
    return runtime.handle(request, new Platform(request, environment, context));
  },
};
