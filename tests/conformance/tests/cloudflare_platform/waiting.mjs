// Stands before the Worker, with a key-value store that never answers: tells at /waiting how much is waited for after requests, and lets
// what is under way go on when a client has gone.

import { answer } from "./runtime.mjs";

let waiting = 0;

const SELVEDGE_KV = { get: () => new Promise(() => {}) };

export default {
  async fetch(request, environment, context) {
    if (new URL(request.url).pathname === "/waiting") return new Response(String(waiting));
    context.waitUntil(new Promise(() => {}));
    const waitUntil = (promise) => {
      waiting++;
      context.waitUntil(promise.finally(() => { waiting--; }));
    };
    return answer(request, { ...environment, SELVEDGE_KV }, { waitUntil });
  },
};
