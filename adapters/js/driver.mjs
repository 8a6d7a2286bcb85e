// Runs the policy's module in a JavaScript host: hands requests to it and performs what it asks for.
//
// The module decides and this file obeys. A host adapter gives a host with each request:
//
//   now()         number: milliseconds since the Unix epoch
//   facts(request, url, set)   string: fourteen lines about the client, in the order of selvedge_core::facts::Fact; those whose bit
//                 is not in the set may be empty
//   platform(request)     what the rest below is called on; made only for a request that needs an effect
//
//   fetch(url, init) -> Promise<Response>; may reject with an Error whose `fetchError` is one of the core's words
//   cacheGet(key) -> Promise<null | { since: number, names: string[] } | { head: string, body: ReadableStream | null, encoding: string | null }>
//   cachePut(key, keepMilliseconds, { since, names } | { head, body, encoding }) -> Promise<void>
//   enqueue(queue, id, bytes) -> Promise<void>
//   kvGet(key) -> Promise<Uint8Array | null>, kvPut(key, bytes) -> Promise<void>
//   count(key, windowMilliseconds) -> Promise<number>
//   record(kind, ...values), failed(message): for whatever collects records and errors
//   access(line, isChosen): what is told of a request, with its response's head; called only with SELVEDGE_ACCESS_LOG in the
//                 environment, and for those outside its share with `false`
//   after(promise): keeps the host alive until the promise settles
//
// A call that the platform does not have may throw: the core counts that as a store that does not answer.

import { AccessLog } from "./access.mjs";
import { Exchange } from "./exchange.mjs";
import { Crash, effects, Instance, Lines, parseResponse } from "./instance.mjs";

const SEED_BYTES = 16;
const SEEDS = 256;
const ALL_FACTS = -1;

/** What is remembered of requests in part that are not enough for an answer. */
const NOT_ENOUGH = null;

/** A policy, ready to answer requests. */
export class Runtime {
  #module;
  #policy;
  #environment;
  #current = null;
  #names = new Map();
  #facts = 0;
  #head = new Head();
  #lastResort = null;
  #log;
  #seeds = new Uint8Array(SEEDS * SEED_BYTES);
  #nextSeedAt = SEEDS * SEED_BYTES;

  /**
   * @param {WebAssembly.Module} module the module that `selvedge build` made
   * @param {ArrayBuffer} policy the compiled policy
   * @param {Record<string, unknown>} environment what backends' secret headers are read from
   */
  constructor(module, policy, environment = {}) {
    this.#module = module;
    this.#policy = policy;
    this.#environment = environment;
    this.#log = AccessLog.of(environment);
    this.#instance();
  }

  /** Answers a request; a promise only where something has to be awaited. */
  handle(request, host) {
    const head = this.#head;
    let seed;
    let observed = null;
    try {
      const instance = this.#instance();
      head.read(request.headers, this.#names);
      const part = start(request, host, this.#facts) + head.end();
      const known = instance.recall(part);
      if (known && this.#log === null) return new Response(known.body, known.init);
      seed = this.#nextSeed();
      if (this.#log !== null) {
        observed = this.#log.begin(request, host, this.#seeds.subarray(seed, seed + SEED_BYTES));
        if (known) {
          observed.answered(known, []);
          return new Response(known.body, known.init);
        }
      }
      if (known !== NOT_ENOUGH) {
        const end = instance.write(`B\n${host.now()}\n${part}`, 0);
        const response = this.#alone(instance, end, seed, part, request, host, observed);
        if (response !== null) return response;
        instance.remember(part, NOT_ENOUGH);
      }
    } catch (error) {
      return this.#answerAtLast(host.platform(request), error, observed);
    }
    const subject = new RequestSubject(request, host, head.all(), this.#seeds.slice(seed, seed + SEED_BYTES), observed);
    return new Exchange(this, subject, observed?.watched() ?? host).run();
  }

  /**
   * Does a job: a message of a queue, or the time of a schedule.
   *
   * Resolves with what becomes of it, `settlement`: `done`, `dropped`, or `retry` in `after` seconds. Rejects when the module
   * could not say: then it comes again as if this attempt had not been.
   *
   * @param {{ source: "queue" | "schedule", name: string, id: string, attempt: number, body: Uint8Array }} job
   */
  job(job, host) {
    const seed = this.#nextSeed();
    const subject = new JobSubject(job, this.#seeds.slice(seed, seed + SEED_BYTES));
    return new Exchange(this, subject, host).run();
  }

  /** Sends the part of a request that the policy can read at first; null when that is not enough for an answer. */
  #alone(instance, end, seed, part, request, host, observed) {
    const place = instance.receive(end, this.#seeds, seed, seed + SEED_BYTES);
    const keep = instance.keep(place);
    if (keep !== 0 && keep % 2 === 0) {
      const kept = instance.kept[keep - 1];
      instance.remember(part, kept);
      observed?.answered(kept, []);
      return kept.response();
    }
    const lines = instance.read(place);
    return lines[0] === "R" ? answer(instance, lines, request, host, keep, part, observed) : null;
  }

  /** The instance for new requests. */
  #instance() {
    if (this.#current === null) {
      const instance = new Instance(this.#module, this.#policy, this.#environment);
      const lines = new Lines(instance.greeting, 1);
      this.#facts = lines.number();
      const allowed = lines.number();
      this.#log?.allow(allowed);
      const count = lines.number();
      this.#names = new Map(Array.from({ length: count }, (_, place) => [lines.text(), `\n:${place}\n`]));
      this.#lastResort = parseResponse(instance, new Lines(lines.lines, lines.at + 2));
      this.#current = instance;
    }
    return this.#current;
  }

  /** Where the next seed lies; randomness is drawn for many requests at once. */
  #nextSeed() {
    if (this.#nextSeedAt === this.#seeds.length) {
      crypto.getRandomValues(this.#seeds);
      this.#nextSeedAt = 0;
    }
    const at = this.#nextSeedAt;
    this.#nextSeedAt += SEED_BYTES;
    return at;
  }

  instance() {
    return this.#instance();
  }

  /** New requests go to a fresh instance; those under way stay in the one that crashed. */
  retire(instance) {
    if (this.#current === instance) this.#current = null;
  }

  #answerAtLast(platform, error, observed) {
    if (error instanceof Crash) this.#current = null;
    return this.answerAtLast(platform, error, observed);
  }

  /** The policy's page for when nothing works, with what went wrong for the logs. */
  answerAtLast(platform, error, observed) {
    platform.failed(error.message);
    observed?.answered(this.#lastResort, []);
    return this.#lastResort.response();
  }
}

/** A request that needs effects. */
class RequestSubject {
  #request;
  #host;
  #fields;
  #seed;
  #observed;

  constructor(request, host, fields, seed, observed) {
    this.#request = request;
    this.#host = host;
    this.#fields = fields;
    this.#seed = seed;
    this.#observed = observed;
  }

  get request() {
    return this.#request;
  }

  /** Sends the request with all there is to know about it; `crash` is what took down the instance that had it before. */
  send(instance, now, crash) {
    const whole = crash === undefined ? "whole" : `crashed\n${crash}`;
    const hasBody = this.#request.body === null ? 0 : 1;
    const head = start(this.#request, this.#host, ALL_FACTS) + this.#fields;
    return instance.send(`B\n${now}\n${head}\n\n${whole}\n${hasBody}`, this.#seed);
  }

  /** What answers when the module cannot. */
  atLast(runtime, platform, error) {
    return runtime.answerAtLast(platform, error, this.#observed);
  }

  /** Takes note of the response and of the effects that begin with it. */
  answered(response, started) {
    this.#observed?.answered(response, records(started));
  }
}

/** A job. */
class JobSubject {
  #job;
  #bytes;

  constructor(job, seed) {
    this.#job = job;
    this.#bytes = new Uint8Array(seed.length + job.body.length);
    this.#bytes.set(seed);
    this.#bytes.set(job.body, seed.length);
  }

  /** A job has no client whose request could be read. */
  get request() {
    return null;
  }

  send(instance, now, crash = "") {
    const { source, name, id, attempt } = this.#job;
    return instance.send(`J\n${now}\n${source}\n${name}\n${id}\n${attempt}\n${crash}`, this.#bytes);
  }

  atLast(runtime, platform, error) {
    platform.failed(error.message);
    throw error;
  }
}

/** The header fields of a request as lines: those that the policy can read at first, and the others. One is used again and again. */
class Head {
  names = null;
  fields = "";
  omitted = "";
  lines = 0;
  field = (value, name) => {
    const place = this.names.get(name);
    if (place === undefined) {
      this.omitted += "\n" + name + "\n" + value;
      this.lines += 2;
    } else {
      this.fields += place + value;
    }
  };

  read(headers, names) {
    this.names = names;
    this.fields = "";
    this.omitted = "";
    this.lines = 0;
    headers.forEach(this.field);
  }

  /** The lines that end a request in part: its fields, and what the others weigh. */
  end() {
    return this.fields + "\n\npart\n" + (this.omitted.length - this.lines) + "\n0";
  }

  /** Every field. */
  all() {
    return this.fields + this.omitted;
  }
}

/** The lines of a request from its method to its facts. */
function start(request, host, facts) {
  const { url } = request;
  return request.method + "\n" + url + "\n" + host.facts(request, url, facts);
}

/** An answer that needed no effect; a common one is kept as the module says. */
function answer(instance, message, request, host, keep, part, observed) {
  const lines = new Lines(message, 2);
  const parsed = parseResponse(instance, lines);
  const told = records(effects(instance, lines));
  if (told.length > 0) {
    const platform = host.platform(request);
    for (const values of told) platform.record(...values);
  }
  observed?.answered(parsed, told);
  if (keep !== 0) {
    parsed.keep();
    instance.kept[keep] = parsed;
    instance.remember(part, parsed);
  }
  return parsed.response();
}

/** What of the effects is for whatever collects records. */
function records(effects) {
  return effects.filter(({ kind }) => kind === "X").map(({ values }) => values);
}
