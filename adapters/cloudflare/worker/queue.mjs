// The Durable Object of a queue: messages are kept by the module that is stateful, and delivered by the policy.

import { Host, runtime } from "./runtime.mjs";
import module from "./state_bg.wasm";
import { initSync, Queue as Messages } from "./state.js";

initSync({ module });

/** Deliveries at once: a Worker has six connections (https://developers.cloudflare.com/workers/platform/limits/). */
const MAX_RUNNING = 6;

/** Rounds of deliveries in one alarm, which may run for 15 minutes; what is left rings it again. */
const MAX_ROUNDS = 20;

/** The messages of one queue. */
export class Queue {
  #state;
  #environment;
  #messages;

  constructor(state, environment) {
    this.#state = state;
    this.#environment = environment;
    this.#messages = new Messages(state, environment);
  }

  fetch(request) {
    return this.#messages.fetch(request);
  }

  /** Delivers what is due. */
  async alarm() {
    const host = new Host(this.#environment, this.#state);
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const jobs = [];
      while (jobs.length < MAX_RUNNING) {
        const job = await this.#take();
        if (job === null) break;
        jobs.push(job);
      }
      if (jobs.length === 0) return;
      await Promise.all(jobs.map((job) => this.#deliver(job, host)));
    }
  }

  async #take() {
    const response = await this.#ask("take");
    const message = response.headers.get("selvedge-message");
    if (message === null) return null;
    const [name, id, attempt] = message.split(" ");
    const body = new Uint8Array(await response.arrayBuffer());
    return { source: "queue", name, id, attempt: Number(attempt), body };
  }

  async #deliver(job, host) {
    try {
      const { settlement, after } = await runtime.job(job, host);
      await this.#ask(settlement === "retry" ? `retry ${job.id} ${after}` : `done ${job.id}`);
    } catch {
      // The driver has logged it; the message comes back when its time away is over.
    }
  }

  async #ask(operation) {
    const headers = { "selvedge-operation": operation };
    const response = await this.#messages.fetch(new Request("https://queue.selvedge.invalid/", { method: "POST", headers }));
    if (!response.ok) throw new Error(`the queue answered ${response.status}`);
    return response;
  }
}
