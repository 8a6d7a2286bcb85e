// A policy on Lambda@Edge: hands CloudFront's events to the module and performs what it asks for.
//
// Most events come to an end in one crossing. Those of origin-request may ask a backend or a handler, which Node.js does here.

import { Exchange } from "./exchange.mjs";
import { Crash, effects, Instance, Lines } from "./instance.mjs";
import { Platform } from "./platform.mjs";

const encoder = new TextEncoder();

const SEED_BYTES = 16;
const SEEDS = 256;
const ORIGIN_REQUEST = "origin-request";
const STATE_HEADER = "selvedge-state";

/** A policy, ready to answer events. */
export class Edge {
  #module;
  #policy;
  #environment;
  #places;
  #now;
  #current = null;
  #lastResort = "";
  #seeds = new Uint8Array(SEEDS * SEED_BYTES);
  #nextSeedAt = SEEDS * SEED_BYTES;

  /**
   * @param {WebAssembly.Module} module the module that `selvedge build` made
   * @param {Uint8Array} policy the compiled policy
   * @param {{ key: string, httpsOnly: boolean, environment?: Record<string, string> }} settings those of the build
   * @param {Uint8Array | null} places a database of clients' places
   * @param {() => number} now milliseconds since the Unix epoch
   */
  constructor(module, policy, settings, places = null, now = Date.now) {
    const { key, httpsOnly, environment = {} } = settings;
    this.#module = module;
    this.#policy = policy;
    this.#environment = { ":key": key, ":https-only": httpsOnly ? "1" : "0", ...environment };
    this.#places = places;
    this.#now = now;
    this.instance();
  }

  /** What the function returns for an event. */
  async handle(event) {
    const platform = new Platform(this.#now);
    let json;
    try {
      json = JSON.stringify(event);
    } catch (error) {
      // It is nested more deeply than the stack is.
      return this.answerAtLast(platform, error, event);
    }
    if (event?.Records?.[0]?.cf?.config?.eventType !== ORIGIN_REQUEST) return this.#alone(event, json, platform);
    const subject = new EventSubject(event, json, this.#nextSeed());
    const outcome = await new Exchange(this, subject, platform).run();
    await platform.finish();
    return outcome;
  }

  /** An event that needs no effect. */
  #alone(event, json, platform) {
    try {
      const instance = this.instance();
      const lines = new Lines(tell(instance, this.#now(), "", json, this.#nextSeed()), 3);
      const outcome = JSON.parse(lines.text());
      for (let count = lines.number(); count > 0; count--) platform.violated(lines.text());
      for (const { values } of effects(instance, lines)) platform.record(...values);
      return outcome;
    } catch (error) {
      if (error instanceof Crash) this.#current = null;
      return this.answerAtLast(platform, error, event);
    }
  }

  /** The instance for new events. */
  instance() {
    if (this.#current === null) {
      const instance = new Instance(this.#module, this.#policy, this.#environment, this.#places);
      this.#lastResort = instance.greeting[1];
      this.#current = instance;
    }
    return this.#current;
  }

  /** New events go to a fresh instance; those under way stay in the one that crashed. */
  retire(instance) {
    if (this.#current === instance) this.#current = null;
  }

  /** The policy's page for when nothing works; a response that is there already goes on as it is. */
  answerAtLast(platform, error, event) {
    platform.failed(error.message);
    const response = event?.Records?.[0]?.cf?.response;
    if (typeof response?.headers !== "object" || response.headers === null) return JSON.parse(this.#lastResort);
    const { [STATE_HEADER]: _, ...headers } = response.headers;
    return { ...response, headers };
  }

  /** Fresh randomness, drawn for many events at once. */
  #nextSeed() {
    if (this.#nextSeedAt === this.#seeds.length) {
      crypto.getRandomValues(this.#seeds);
      this.#nextSeedAt = 0;
    }
    const at = this.#nextSeedAt;
    this.#nextSeedAt += SEED_BYTES;
    return this.#seeds.slice(at, this.#nextSeedAt);
  }
}

/** An event that may need effects. */
class EventSubject {
  #event;
  #json;
  #seed;

  constructor(event, json, seed) {
    this.#event = event;
    this.#json = json;
    this.#seed = seed;
  }

  /** The body of the event's request is in the event. */
  get request() {
    return null;
  }

  send(instance, now, crash = "") {
    return tell(instance, now, crash, this.#json, this.#seed);
  }

  atLast(runtime, platform, error) {
    return runtime.answerAtLast(platform, error, this.#event);
  }
}

/** Sends an event and returns the lines of the answer. An event is long for the instance's own way of writing short texts. */
function tell(instance, now, crash, json, seed) {
  const text = `T\n${now}\n${crash}\n${json}`;
  instance.reserve(3 * text.length);
  const end = encoder.encodeInto(text, instance.input).written;
  return instance.read(instance.receive(end, seed, 0, SEED_BYTES));
}
