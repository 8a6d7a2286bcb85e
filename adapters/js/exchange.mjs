// One exchange with the module: what it asks for is performed, until it has answered and all is done.

import { LATE, pass, pipe, through, Upload } from "./bodies.mjs";
import { Crash, effects, Lines, parseResponse, record } from "./instance.mjs";

const NO_BYTES = new Uint8Array();
const NO_REQUEST = { body: null };

/** What nobody gets to see: the response to whoever is gone. */
const CLIENT_CLOSED_REQUEST = 499;

/** Effects by the letter that stands for them, for logs. */
const EFFECTS = {
  F: "fetch",
  G: "cache lookup",
  P: "cache store",
  U: "cache purge",
  S: "body slice",
  K: "key-value read",
  W: "key-value write",
  Q: "enqueue",
  N: "count",
  B: "body read",
  Z: "sleep",
  X: "record",
};

/** One request or job that needs effects. */
export class Exchange {
  #runtime;
  #subject;
  #request;
  #host;
  #platform;
  #webSocket = null;
  #instance;
  #number = 0;
  #isRequestUsed = false;
  #bodies = new Map();
  /** The effects under way, by id. */
  #works = new Map();
  #nextBody = 1;
  #running = 0;
  #wantsResults = true;
  #isAnswered = false;
  #isKept = false;
  #isOver = false;
  #hasCrashed = false;
  #respond;
  #finish;
  #finished = new Promise((resolve) => { this.#finish = resolve; });

  constructor(runtime, subject, host) {
    this.#runtime = runtime;
    this.#subject = subject;
    this.#request = subject.request;
    this.#host = host;
    this.#platform = host.platform(subject.request);
  }

  /** Resolves with the response, or with what becomes of the job. */
  run() {
    const outcome = new Promise((resolve) => { this.#respond = resolve; });
    this.#advance(() => this.#begin());
    return outcome;
  }

  #begin(crash) {
    this.#instance = this.#runtime.instance();
    return this.#subject.send(this.#instance, this.#host.now(), crash);
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
        if (this.#running > 0) this.#persist();
        else this.#restart("the handler waits for nothing that could come");
        break;
      case "R":
        this.#answer(lines);
        break;
      case "S":
        this.#settle(lines);
        break;
      case "T":
        this.#return(lines);
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
    this.#subject.answered(parsed, started);
    this.#start(started);
    if (this.#running > 0) this.#persist();
    this.#respond(response);
  }

  #settle(lines) {
    this.#wantsResults = lines.text() === "1";
    const outcome = { settlement: lines.text(), after: lines.number() };
    this.#isAnswered = true;
    this.#start(effects(this.#instance, lines));
    if (this.#running > 0) this.#persist();
    this.#respond(outcome);
  }

  /** What a function returns; the host says what became of the rules that it would have broken. */
  #return(lines) {
    this.#wantsResults = lines.text() === "1";
    const outcome = JSON.parse(lines.text());
    const summary = lines.text();
    for (let count = lines.number(); count > 0; count--) this.#platform.violated(lines.text());
    this.#isAnswered = true;
    const started = effects(this.#instance, lines);
    this.#subject.returned(outcome, summary, started);
    this.#start(started);
    if (this.#running > 0) this.#persist();
    this.#respond(outcome);
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

  /**
   * Keeps the host alive until all is done: one that gives up on a request with its client would leave the module waiting for ever, with
   * what the request has of its backend. Who is told of that, and has no answer yet to finish, drops the request for good.
   */
  #persist() {
    if (this.#isKept) return;
    this.#isKept = true;
    this.#platform.after(this.#finished);
    this.#request?.signal?.addEventListener("abort", () => { this.#abandon(); });
  }

  #abandon() {
    if (this.#isAnswered) return;
    this.#isAnswered = true;
    this.#wantsResults = false;
    try {
      this.#instance.exports.selvedge_forget(this.#number);
    } catch (error) {
      this.#runtime.retire(this.#instance);
      this.#platform.failed(this.#instance.crash(error).message);
    }
    for (const work of this.#works.values()) work.cancel?.();
    this.#respond(new Response(null, { status: CLIENT_CLOSED_REQUEST }));
    if (this.#running === 0) this.#end();
  }

  #end() {
    this.#isOver = true;
    for (const { stream, onEnd } of this.#bodies.values()) {
      if (!stream) continue;
      onEnd?.("unread");
      stream.cancel().catch(() => {});
    }
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
      this.#respond(new Promise((resolve) => { resolve(this.#subject.atLast(this.#runtime, this.#platform, error)); }));
      this.#end();
    }
  }

  /** Begins again; the route's handler counts as failed with this message. */
  #restart(message) {
    this.#hasCrashed = true;
    this.#wantsResults = true;
    this.#advance(() => this.#begin(message));
  }

  #start(started) {
    const instance = this.#instance;
    const number = this.#number;
    for (const effect of started) {
      if (effect.kind === "C") {
        this.#drop(effect.target);
        continue;
      }
      const work = new Work();
      this.#works.set(effect.id, work);
      this.#running++;
      this.#perform(effect, work).then(([result, bytes = NO_BYTES]) => {
        if (work.isDropped) return;
        this.#running--;
        // A request that began again has given the id to another one.
        if (this.#works.get(effect.id) === work) this.#works.delete(effect.id);
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

  /** Drops an effect of whatever kind: what can be ended is, and nobody waits for it. */
  #drop(id) {
    const work = this.#works.get(id);
    if (work === undefined) return;
    this.#works.delete(id);
    work.isDropped = true;
    this.#running--;
    work.cancel?.();
  }

  /** Performs one effect; never rejects. Returns the lines of its result, and bytes beside them. */
  async #perform(effect, work) {
    const platform = this.#platform;
    try {
      switch (effect.kind) {
        case "F":
          return [`fetch\n${await this.#fetch(effect, work)}`];
        case "G":
          return [`cache\n${this.#cached(await platform.cacheGet(effect.key))}`];
        case "P":
          await this.#put(effect);
          return ["put"];
        case "U":
          await platform.cachePurge(effect.keys);
          return ["purge"];
        case "S":
          return [`slice\n${this.#slice(effect)}`];
        case "K": {
          const value = await platform.kvGet(effect.key);
          return value === null ? ["kv\n-"] : ["kv\n=", value];
        }
        case "W":
          await platform.kvPut(effect.key, effect.value);
          return ["kvput\n="];
        case "Q":
          await platform.enqueue(effect.queue, effect.message, effect.body);
          return ["enqueue\n="];
        case "N":
          return [`count\n${await platform.count(effect.key, effect.window)}`];
        case "B":
          return await this.#readBody(effect, work);
        case "Z":
          await this.#sleep(effect, work);
          return ["sleep"];
        default:
          platform.record(...effect.values);
          return ["record"];
      }
    } catch (error) {
      if (!work.isDropped) platform.failed(`${EFFECTS[effect.kind]}: ${error.message}`);
      return [failure(effect.kind)];
    }
  }

  #sleep({ time }, work) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, time);
      work.cancel = () => { clearTimeout(timer); resolve(); };
    });
  }

  async #fetch(effect, work) {
    const started = Date.now();
    const abort = new AbortController();
    work.cancel = () => { abort.abort(); };
    const upload = new Upload(abort);
    const body = this.#upload(effect, upload);
    if (body instanceof Lost) return body.word;
    const { method } = effect;
    const headers = record(effect.fields);
    const init = { method, headers, body, redirect: "manual", signal: abort.signal };
    if (body instanceof ReadableStream) init.duplex = "half";
    let timer;
    try {
      const response = await new Promise((resolve, reject) => {
        timer = setTimeout(() => {
          if (upload.isLate(effect.timeout)) upload.word = "client-timeout";
          reject(LATE);
          abort.abort();
        }, effect.timeout);
        this.#platform.fetch(effect.url, init).then(resolve, reject);
      });
      if (upload.word === null) return this.#fetched(response, effect.watch, started, upload);
      response.body?.cancel().catch(() => {});
      return upload.word;
    } catch (error) {
      return upload.word ?? (error === LATE ? "timeout" : (error.fetchError ?? "protocol"));
    } finally {
      clearTimeout(timer);
    }
  }

  #fetched(response, watch, started, upload) {
    const { status } = response;
    this.#webSocket = response.webSocket ?? null;
    let fields = "";
    let count = 0;
    response.headers.forEach((value, name) => {
      fields += "\n" + name + "\n" + value;
      count++;
    });
    const encoding = response.headers.get("content-encoding");
    const kept = response.body === null ? "-" : this.#keepWatched(response, watch, started, upload, encoding);
    return `${status}\n${kept}\n${count}${fields}`;
  }

  /** Keeps a body of which the module is told how it ends, where it wants to know. */
  #keepWatched({ body, headers, status }, watch, started, upload, encoding) {
    if (watch === null) return this.#keep(body, encoding);
    const length = encoding === null ? Number(headers.get("content-length") ?? NaN) : NaN;
    const { readable, writable } = through(length);
    const onEnd = this.#teller(watch, status, upload);
    // Only the end of a probe has to be told before its client asks again, and only a bounded body is to be timed.
    if (watch.probe === "-" && watch.total === null) pipe(body, writable, onEnd, this.#request?.signal);
    else pass(body.getReader(), writable.getWriter(), length, started, watch.total, onEnd);
    return this.#keep(readable, encoding, onEnd);
  }

  /** What tells the module once how a body ended. */
  #teller({ total, backend, url, probe }, status, upload) {
    const instance = this.#instance;
    let isTold = false;
    return (how) => {
      if (isTold) return;
      isTold = true;
      const end = how === "broken" && upload.word !== null ? "left" : how;
      const hasFailed = end === "broken" || end === "late";
      if (end === "late") this.#platform.failed(`a body took longer than ${total} ms and is broken off`);
      if (!hasFailed && probe === "-") return;
      try {
        instance.send(`O\n${this.#host.now()}\n${backend}\n${url}\n${probe}\n${status}\n${end}`, NO_BYTES);
      } catch (error) {
        this.#platform.failed(error.message);
      }
    };
  }

  /**
   * The body of a request to a backend; that of a client streams, and is bounded.
   *
   * DIFFERENCE: a client that breaks off or is late with a body whose length is announced is told from a backend that does so only where
   * the policy watches the backend: to have it pass through here takes about as long again as all else.
   */
  #upload(effect, upload) {
    const { bytes, handle } = effect.body;
    if (bytes) return bytes.length > effect.maxBytes ? new Lost("body-too-large") : bytes;
    if (handle === null) return null;
    if (handle !== 0) return this.#take(handle) ?? new Lost("client-body");
    const { body, headers } = this.#request ?? NO_REQUEST;
    if (this.#isRequestUsed || body === null) return new Lost("client-body");
    this.#isRequestUsed = true;
    const length = Number(headers.get("content-length") ?? NaN);
    return effect.watch === null && Number.isSafeInteger(length) ? body : upload.of(body, length, effect.maxBytes);
  }

  #cached(entry) {
    if (entry === null) return "-";
    if (entry.names) return ["V", entry.since, entry.names.length, ...entry.names].join("\n");
    return `R\n${entry.head}\n${entry.body === null ? "-" : this.#keep(entry.body, entry.encoding ?? null)}`;
  }

  async #put({ key, keep, entry }) {
    const { since, names, head, bytes, handle } = entry;
    if (names) return this.#platform.cachePut(key, keep, { since, names });
    const body = entry.stream ?? bytes ?? (handle === null ? null : this.#take(handle));
    if (body === undefined) return;
    const encoding = this.#bodies.get(handle)?.encoding ?? null;
    await this.#platform.cachePut(key, keep, { head, body, encoding });
  }

  /** A part of a stored body. What streams as other bytes than it is stored in has no part that could be told. */
  #slice({ handle, start, length }) {
    if (this.#bodies.get(handle)?.encoding) return "-";
    const stream = this.#take(handle);
    if (stream === undefined) return "-";
    let [skip, left] = [start, length];
    const part = stream.pipeThrough(new TransformStream({
      transform(chunk, controller) {
        const piece = chunk.subarray(skip, skip + left);
        skip -= Math.min(skip, chunk.byteLength);
        left -= piece.byteLength;
        if (piece.byteLength > 0) controller.enqueue(piece);
        if (left === 0) controller.terminate();
      },
    }));
    // Where a host has it, this is how the client is told the length.
    const told = globalThis.FixedLengthStream;
    return this.#keep(told === undefined ? part : part.pipeThrough(new told(length)), null);
  }

  async #readBody({ handle, limit }, work) {
    const isRequest = handle === 0;
    const stream = isRequest ? (this.#request ?? NO_REQUEST).body : this.#take(handle);
    if (!stream || (isRequest && this.#isRequestUsed)) return ["body\nbroken"];
    this.#isRequestUsed ||= isRequest;
    const chunks = [];
    let length = 0;
    const reader = stream.getReader();
    work.cancel = () => { reader.cancel().catch(() => {}); };
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.byteLength;
      if (length > limit) {
        work.cancel();
        return ["body\ntoo-large"];
      }
      chunks.push(value);
    }
    const whole = new Uint8Array(length);
    let at = 0;
    for (const chunk of chunks) {
      whole.set(chunk, at);
      at += chunk.byteLength;
    }
    return ["body\n=", whole];
  }

  #keep(stream, encoding, onEnd) {
    // What comes for an effect that was dropped may come after all is done.
    if (this.#isOver) stream.cancel().catch(() => {});
    const handle = this.#nextBody++;
    this.#bodies.set(handle, { stream, encoding, onEnd });
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

/** An effect under way. */
class Work {
  isDropped = false;
  /** Ends it, where that can be done; it may be called again. */
  cancel = null;
}

/** A body that cannot be sent, with the core's word for why. */
class Lost {
  constructor(word) {
    this.word = word;
  }
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
    case "U":
      return "purge";
    case "S":
      return "slice\n-";
    case "K":
      return "kv\n!";
    case "W":
      return "kvput\n!";
    case "Q":
      return "enqueue\n!";
    case "N":
      return "count\n!";
    case "B":
      return "body\nbroken";
    case "Z":
      return "sleep";
    default:
      return "record";
  }
}
