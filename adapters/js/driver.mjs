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
//   cacheGet(key) -> Promise<null | { names: string[] } | { head: string, body: ReadableStream | null }>
//   cachePut(key, keepMilliseconds, { names } | { head, body, encoding }) -> Promise<void>
//   kvGet(key) -> Promise<Uint8Array | null>, kvPut(key, bytes) -> Promise<void>
//   count(key, windowMilliseconds) -> Promise<number>
//   record(kind, ...values), failed(message): for whatever collects records and errors
//   after(promise): keeps the host alive until the promise settles
//
// A call that the platform does not have may throw: the core counts that as a store that does not answer.

import { Crash, effects, Instance, Lines, parseResponse, record } from "./instance.mjs";

const SEED_BYTES = 16;
const SEEDS = 256;
const NO_BYTES = new Uint8Array();
const ALL_FACTS = -1;

/** What is remembered of requests in part that are not enough for an answer. */
const NOT_ENOUGH = null;

const LATE = new Error("the backend took longer than the policy allows");

/** Effects by the letter that stands for them, for logs. */
const EFFECTS = {
  F: "fetch",
  G: "cache lookup",
  P: "cache store",
  K: "key-value read",
  W: "key-value write",
  N: "count",
  B: "body read",
  X: "record",
};

/** A policy, ready to answer requests. */
export class Runtime {
  #module;
  #policy;
  #environment;
  #current = null;
  #names = new Map();
  #facts = 0;
  #lastResort = null;
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
    this.#instance();
  }

  /** Answers a request; a promise only where something has to be awaited. */
  handle(request, host) {
    let head;
    let seed;
    try {
      const instance = this.#instance();
      head = new Head(request, host, this.#names);
      const part = head.part(this.#facts);
      const known = instance.recall(part);
      if (known) return known.response();
      seed = this.#nextSeed();
      if (known !== NOT_ENOUGH) {
        const end = instance.write(`B\n${host.now()}\n${part}`, 0);
        const response = this.#alone(instance, end, seed, part, request, host);
        if (response !== null) return response;
        instance.remember(part, NOT_ENOUGH);
      }
    } catch (error) {
      return this.#answerAtLast(host.platform(request), error);
    }
    return new Exchange(this, request, host, this.#seeds.slice(seed, seed + SEED_BYTES)).run(head);
  }

  /** Sends the part of a request that the policy can read at first; null when that is not enough for an answer. */
  #alone(instance, end, seed, part, request, host) {
    const place = instance.receive(end, this.#seeds, seed, seed + SEED_BYTES);
    const keep = instance.keep(place);
    if (keep !== 0 && keep % 2 === 0) {
      const kept = instance.kept[keep - 1];
      instance.remember(part, kept);
      return kept.response();
    }
    const lines = instance.read(place);
    return lines[0] === "R" ? answer(instance, lines, request, host, keep, part) : null;
  }

  /** The instance for new requests. */
  #instance() {
    if (this.#current === null) {
      const instance = new Instance(this.#module, this.#policy, this.#environment);
      const lines = new Lines(instance.greeting, 1);
      this.#facts = lines.number();
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

  /** The headers that the policy can read at first, by name. */
  get names() {
    return this.#names;
  }

  /** New requests go to a fresh instance; those under way stay in the one that crashed. */
  retire(instance) {
    if (this.#current === instance) this.#current = null;
  }

  #answerAtLast(platform, error) {
    if (error instanceof Crash) this.#current = null;
    return this.answerAtLast(platform, error);
  }

  /** The policy's page for when nothing works, with what went wrong for the logs. */
  answerAtLast(platform, error) {
    platform.failed(error.message);
    return this.#lastResort.response();
  }
}

/** One request that needs effects. */
class Exchange {
  #runtime;
  #request;
  #host;
  #platform;
  #seed;
  #webSocket = null;
  #head;
  #instance;
  #number = 0;
  #isRequestUsed = false;
  #bodies = new Map();
  #nextBody = 1;
  #running = 0;
  #wantsResults = true;
  #isAnswered = false;
  #hasCrashed = false;
  #respond;
  #finish;
  #finished = new Promise((resolve) => { this.#finish = resolve; });

  constructor(runtime, request, host, seed) {
    this.#runtime = runtime;
    this.#request = request;
    this.#host = host;
    this.#platform = host.platform(request);
    this.#seed = seed;
  }

  /** Answers the request with this head. */
  run(head) {
    this.#head = head;
    const response = new Promise((resolve) => { this.#respond = resolve; });
    this.#advance(() => this.#begin("whole"));
    return response;
  }

  /** Sends the request with all there is to know about it. */
  #begin(whole) {
    const instance = this.#runtime.instance();
    // The places of names may be others in another instance.
    if (this.#instance !== undefined) this.#head = new Head(this.#request, this.#host, this.#runtime.names);
    this.#instance = instance;
    const hasBody = this.#request.body === null ? 0 : 1;
    const text = `B\n${this.#host.now()}\n${this.#head.whole(ALL_FACTS)}\n\n${whole}\n${hasBody}`;
    return instance.send(text, this.#seed);
  }

  /** Sends a message and does what the answer says. */
  #advance(send) {
    try {
      this.#step(send());
    } catch (error) {
      this.#fail(error);
    }
  }

  #step(message) {
    const lines = new Lines(message, 1);
    this.#number = lines.number();
    switch (message[0]) {
      case "E":
        this.#start(effects(this.#instance, lines));
        if (this.#running === 0) this.#restart("the handler waits for nothing that could come");
        break;
      case "R":
        this.#answer(lines);
        break;
      case "D":
        this.#wantsResults = false;
        break;
      default:
        throw new Error(`the module's message is of the unknown kind ${message[0]}`);
    }
    if (this.#isAnswered && this.#running === 0) this.#end();
  }

  #answer(lines) {
    const parsed = parseResponse(this.#instance, lines);
    const started = effects(this.#instance, lines);
    this.#wantsResults = parsed.isPending;
    this.#share(parsed.handle, started);
    const stream = parsed.handle === null ? undefined : this.#take(parsed.handle);
    const response = parsed.response(stream, this.#webSocket);
    this.#isAnswered = true;
    this.#start(started);
    if (this.#running > 0) this.#platform.after(this.#finished);
    this.#respond(response);
  }

  /** Splits a body that goes to the client and to the store at once. */
  #share(handle, started) {
    const put = started.find((effect) => effect.kind === "P" && effect.entry.handle === handle);
    const body = this.#bodies.get(handle);
    if (handle === null || put === undefined || !body?.stream) return;
    const [client, store] = body.stream.tee();
    body.stream = client;
    put.entry.stream = store;
  }

  #end() {
    for (const { stream } of this.#bodies.values()) stream?.cancel().catch(() => {});
    this.#bodies.clear();
    this.#finish();
  }

  /** A crash or a broken message: the policy's fallback answers, and after the response there is nothing to answer. */
  #fail(error) {
    if (error instanceof Crash) this.#runtime.retire(this.#instance);
    this.#instance?.exports.selvedge_forget(this.#number);
    this.#wantsResults = false;
    if (this.#isAnswered) {
      this.#platform.failed(error.message);
      this.#end();
    } else if (error instanceof Crash && !this.#hasCrashed) {
      this.#restart(error.message);
    } else {
      this.#isAnswered = true;
      this.#respond(this.#runtime.answerAtLast(this.#platform, error));
      this.#end();
    }
  }

  /** Begins again; the route's handler counts as failed with this message. */
  #restart(message) {
    this.#hasCrashed = true;
    this.#wantsResults = true;
    this.#advance(() => this.#begin(`crashed\n${message}`));
  }

  #start(started) {
    const instance = this.#instance;
    const number = this.#number;
    for (const effect of started) {
      this.#running++;
      this.#perform(effect).then(([result, bytes = NO_BYTES]) => {
        this.#running--;
        // What a crashed module asked for is of no use to the one that took over.
        if (this.#wantsResults && this.#instance === instance && this.#number === number) {
          const text = `C\n${this.#host.now()}\n${number}\n${effect.id}\n${result}`;
          this.#advance(() => instance.send(text, bytes));
        } else if (this.#isAnswered && this.#running === 0) {
          this.#end();
        }
      });
    }
  }

  /** Performs one effect; never rejects. Returns the lines of its result, and bytes beside them. */
  async #perform(effect) {
    const platform = this.#platform;
    try {
      switch (effect.kind) {
        case "F":
          return [`fetch\n${await this.#fetch(effect)}`];
        case "G":
          return [`cache\n${this.#cached(await platform.cacheGet(effect.key))}`];
        case "P":
          await this.#put(effect);
          return ["put"];
        case "K": {
          const value = await platform.kvGet(effect.key);
          return value === null ? ["kv\n-"] : ["kv\n=", value];
        }
        case "W":
          await platform.kvPut(effect.key, effect.value);
          return ["kvput\n="];
        case "N":
          return [`count\n${await platform.count(effect.key, effect.window)}`];
        case "B":
          return await this.#readBody(effect);
        default:
          platform.record(...effect.values);
          return ["record"];
      }
    } catch (error) {
      platform.failed(`${EFFECTS[effect.kind]}: ${error.message}`);
      return [failure(effect.kind)];
    }
  }

  async #fetch(effect) {
    const abort = new AbortController();
    const upload = { isTooLarge: false, abort };
    const body = this.#upload(effect, upload);
    if (body instanceof Lost) return body.word;
    const { method } = effect;
    const headers = record(effect.fields);
    const init = { method, headers, body, redirect: "manual", signal: abort.signal };
    if (body instanceof ReadableStream) init.duplex = "half";
    let timer;
    try {
      const response = await new Promise((resolve, reject) => {
        timer = setTimeout(() => { reject(LATE); abort.abort(); }, effect.timeout);
        this.#platform.fetch(effect.url, init).then(resolve, reject);
      });
      if (!upload.isTooLarge) return this.#fetched(response);
      response.body?.cancel().catch(() => {});
      return "body-too-large";
    } catch (error) {
      if (upload.isTooLarge) return "body-too-large";
      return error === LATE ? "timeout" : (error.fetchError ?? "protocol");
    } finally {
      clearTimeout(timer);
    }
  }

  #fetched(response) {
    const { body, status } = response;
    this.#webSocket = response.webSocket ?? null;
    let fields = "";
    let count = 0;
    response.headers.forEach((value, name) => {
      fields += "\n" + name + "\n" + value;
      count++;
    });
    const kept = body === null ? "-" : this.#keep(body, response.headers.get("content-encoding"));
    return `${status}\n${kept}\n${count}${fields}`;
  }

  /** The body of a request to a backend, bounded where its length is not announced. */
  #upload(effect, upload) {
    const { bytes, handle } = effect.body;
    if (bytes) return bytes.length > effect.maxBytes ? new Lost("body-too-large") : bytes;
    if (handle === null) return null;
    if (handle !== 0) return this.#take(handle) ?? new Lost("client-body");
    const { body, headers } = this.#request;
    if (this.#isRequestUsed || body === null) return new Lost("client-body");
    this.#isRequestUsed = true;
    if (headers.has("content-length")) return body;
    let left = effect.maxBytes;
    return body.pipeThrough(new TransformStream({
      transform(chunk, controller) {
        left -= chunk.byteLength;
        if (left >= 0) return controller.enqueue(chunk);
        upload.isTooLarge = true;
        // Some hosts end the request in good order when its body fails, and the backend would take the part for the whole.
        upload.abort.abort();
        controller.error(new Error("the request body is longer than the policy allows"));
      },
    }));
  }

  #cached(entry) {
    if (entry === null) return "-";
    if (entry.names) return ["V", entry.names.length, ...entry.names].join("\n");
    return `R\n${entry.head}\n${entry.body === null ? "-" : this.#keep(entry.body, null)}`;
  }

  async #put({ key, keep, entry }) {
    const { names, head, bytes, handle } = entry;
    if (names) return this.#platform.cachePut(key, keep, { names });
    const body = entry.stream ?? bytes ?? (handle === null ? null : this.#take(handle));
    if (body === undefined) return;
    const encoding = this.#bodies.get(handle)?.encoding ?? null;
    await this.#platform.cachePut(key, keep, { head, body, encoding });
  }

  async #readBody({ handle, limit }) {
    const isRequest = handle === 0;
    const stream = isRequest ? this.#request.body : this.#take(handle);
    if (!stream || (isRequest && this.#isRequestUsed)) return ["body\nbroken"];
    this.#isRequestUsed ||= isRequest;
    const chunks = [];
    let length = 0;
    for await (const chunk of stream) {
      length += chunk.byteLength;
      if (length > limit) return ["body\ntoo-large"];
      chunks.push(chunk);
    }
    const whole = new Uint8Array(length);
    let at = 0;
    for (const chunk of chunks) {
      whole.set(chunk, at);
      at += chunk.byteLength;
    }
    return ["body\n=", whole];
  }

  #keep(stream, encoding) {
    const handle = this.#nextBody++;
    this.#bodies.set(handle, { stream, encoding });
    return handle;
  }

  /** Takes a body for good; a body is used once. */
  #take(handle) {
    const body = this.#bodies.get(handle);
    const stream = body?.stream;
    if (body) body.stream = null;
    return stream ?? undefined;
  }
}

/** A body that cannot be sent, with the core's word for why. */
class Lost {
  constructor(word) {
    this.word = word;
  }
}

/** A request's head as lines: what the policy can read at first, and the other header fields. */
class Head {
  constructor(request, host, names) {
    this.request = request;
    this.host = host;
    let fields = "";
    let omitted = "";
    let lines = 0;
    request.headers.forEach((value, name) => {
      const place = names.get(name);
      if (place === undefined) {
        omitted += "\n" + name + "\n" + value;
        lines += 2;
      } else {
        fields += place + value;
      }
    });
    this.fields = fields;
    this.omitted = omitted;
    this.omittedBytes = omitted.length - lines;
  }

  #start(facts) {
    const { url } = this.request;
    return this.request.method + "\n" + url + "\n" + this.host.facts(this.request, url, facts);
  }

  /** The lines of a request in part, after its time. */
  part(facts) {
    return this.#start(facts) + this.fields + "\n\npart\n" + this.omittedBytes + "\n0";
  }

  /** The lines of a whole request, after its time and up to its last field. */
  whole(facts) {
    return this.#start(facts) + this.fields + this.omitted;
  }
}

/** An answer that needed no effect; a common one is kept as the module says. */
function answer(instance, message, request, host, keep, part) {
  const lines = new Lines(message, 2);
  const parsed = parseResponse(instance, lines);
  const records = effects(instance, lines);
  if (records.length > 0) {
    const platform = host.platform(request);
    for (const { values } of records) platform.record(...values);
  }
  if (keep !== 0) {
    parsed.keep();
    instance.kept[keep] = parsed;
    instance.remember(part, parsed);
  }
  return parsed.response();
}

/** The result of an effect that the platform could not perform. */
function failure(kind) {
  switch (kind) {
    case "F":
      return "fetch\nprotocol";
    case "G":
      return "cache\n-";
    case "P":
      return "put";
    case "K":
      return "kv\n!";
    case "W":
      return "kvput\n!";
    case "N":
      return "count\n!";
    case "B":
      return "body\nbroken";
    default:
      return "record";
  }
}
