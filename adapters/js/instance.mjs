// One instance of the policy's module, and the messages that it is sent and that it answers with (selvedge_core::wire).

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

const MIN_INPUT_BYTES = 16 * 1024;

/** Requests in part whose answers are remembered, twice as many at most. */
const REMEMBERED = 512;

/** Statuses of responses that never have content. */
const WITHOUT_CONTENT = new Set([101, 204, 205, 304]);

/** Longest request in part that is remembered, in characters. */
const MAX_REMEMBERED_CHARACTERS = 2048;

/** The crash of a module: what took it down, in words. */
export class Crash extends Error {}

/** Reads the lines of a message and never beyond them. */
export class Lines {
  constructor(lines, at) {
    this.lines = lines;
    this.at = at;
  }

  text() {
    if (this.at >= this.lines.length) throw new Error("the module's message is cut short");
    return this.lines[this.at++];
  }

  number() {
    const number = Number(this.text());
    if (!Number.isSafeInteger(number) || number < 0) throw new Error("the module's message lacks a number");
    return number;
  }
}

/** One instance of the module, with one policy loaded. */
export class Instance {
  constructor(module, policy, environment, places = null) {
    const { exports } = new WebAssembly.Instance(module, {});
    this.exports = exports;
    this.stack = exports.__stack_pointer?.value;
    this.memory = exports.memory;
    this.address = 0;
    this.capacity = 0;
    this.kept = [];
    this.recent = new Map();
    this.earlier = new Map();
    this.lackOfPlaces = null;
    this.renew();
    if (places !== null) this.give(places);
    const variables = Object.entries(environment).filter(([, value]) => isVariable(value));
    const lines = encoder.encode(variables.map(([name, value]) => `${name}=${value}`).join("\n"));
    this.reserve(policy.byteLength + lines.length);
    this.input.set(new Uint8Array(policy));
    this.input.set(lines, policy.byteLength);
    this.greeting = this.read(exports.selvedge_load(policy.byteLength, lines.length));
  }

  /** Gives the module a database of clients' places, for the policy that is loaded next; one that it cannot read leaves them unknown. */
  give(places) {
    this.reserve(places.byteLength);
    this.input.set(places);
    const [, lack = null] = this.read(this.exports.selvedge_places(places.byteLength));
    this.lackOfPlaces = lack;
  }

  /** Makes the views of the memory anew, which growing takes away. */
  renew() {
    const { buffer } = this.memory;
    this.bytes = new Uint8Array(buffer);
    this.words = new Uint32Array(buffer);
    this.input = new Uint8Array(buffer, this.address, this.capacity);
  }

  /** Makes the input at least this long; what was written stays. */
  reserve(bytes) {
    if (bytes <= this.capacity) return;
    this.capacity = Math.max(bytes, 2 * this.capacity, MIN_INPUT_BYTES);
    this.address = this.exports.selvedge_input(this.capacity);
    this.renew();
  }

  /** Writes a text into the input from a place on, and returns where it ends. */
  write(text, at) {
    const { length } = text;
    if (at + 3 * length > this.capacity) this.reserve(at + 3 * length);
    const { input } = this;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) return at + encoder.encodeInto(text, input.subarray(at)).written;
      input[at + i] = code;
    }
    return at + length;
  }

  /** Sends the message that ends at a place of the input, with bytes of `source` behind it, and returns where the answer lies. */
  receive(end, source, from, to) {
    this.reserve(end + to - from);
    const { input } = this;
    for (let at = from; at < to; at++) input[end + at - from] = source[at];
    try {
      return this.exports.selvedge_receive(end, to - from);
    } catch (error) {
      throw this.crash(error);
    }
  }

  /** Sends a message and returns the lines of the answer; a crash of the module is thrown as one. */
  send(text, bytes) {
    return this.read(this.receive(this.write(text, 0), bytes, 0, bytes.length));
  }

  /**
   * The answer to a request in part, if the module gave one to the same before and said that it always would: the module is
   * a function of what it is sent, and such an answer does not depend on time and seed.
   */
  recall(part) {
    if (this.recent.size === 0) return undefined;
    const recent = this.recent.get(part);
    if (recent !== undefined || this.earlier.size === 0) return recent;
    const earlier = this.earlier.get(part);
    if (earlier !== undefined) this.remember(part, earlier);
    return earlier;
  }

  /** Remembers an answer; the oldest half is forgotten when there are too many. */
  remember(part, answer) {
    if (part.length > MAX_REMEMBERED_CHARACTERS) return;
    if (this.recent.size === REMEMBERED) {
      this.earlier = this.recent;
      this.recent = new Map();
    }
    this.recent.set(part, answer);
  }

  /** What the module says about keeping the answer at a place. */
  keep(place) {
    if (this.bytes.length === 0) this.renew();
    return this.words[(place >>> 2) + 4];
  }

  read(place) {
    if (this.bytes.length === 0) this.renew();
    const at = place >>> 2;
    const start = this.words[at];
    this.attached = this.words[at + 2];
    this.attachedEnd = this.attached + this.words[at + 3];
    this.text = decoder.decode(this.bytes.subarray(start, start + this.words[at + 1]));
    const lines = this.text.split("\n");
    if (lines[0] === "!") throw new Error(lines.slice(1).join("\n"));
    return lines;
  }

  /** The body that is text behind the last line. */
  tail(length) {
    return this.text.slice(this.text.length - length);
  }

  /** Takes the next bytes beside a message, as a copy: the memory is the module's. */
  take(length) {
    const end = this.attached + length;
    if (end > this.attachedEnd) throw new Error("the module's message is cut short");
    const bytes = this.bytes.slice(this.attached, end);
    this.attached = end;
    return bytes;
  }

  /** Says why the module crashed, and makes it fit for the requests that still wait in it. */
  crash(error) {
    this.capacity = 0;
    this.renew();
    if (this.stack !== undefined) this.exports.__stack_pointer.value = this.stack;
    const at = this.exports.selvedge_crash();
    const length = this.words[at >>> 2];
    const message = decoder.decode(this.bytes.subarray(at + 4, at + 4 + length));
    return new Crash((message || String(error)).replaceAll("\n", " "));
  }
}

/** A response as the module gave it. */
class Parsed {
  constructor(isPending, [reason, cache, names], status, { bytes, handle }, fields) {
    this.isPending = isPending;
    this.reason = reason;
    this.cache = cache;
    this.names = names;
    this.status = status;
    this.body = bytes;
    this.handle = handle;
    this.fields = fields;
    this.init = null;
  }

  /** Makes ready for many responses: headers that are an object already are copied without reading texts. */
  keep() {
    this.init = { status: this.status, headers: new Headers(this.fields) };
  }

  /** Makes the response; `stream` is the body where the module named one of the host's, and `webSocket` what a 101 goes on with. */
  response(stream, webSocket) {
    if (this.init !== null) return new Response(this.body, this.init);
    const { status } = this;
    const headers = record(this.fields);
    if (WITHOUT_CONTENT.has(status) && stream !== undefined) {
      // A host that kept an empty body hands out one; a response with such a status takes none.
      stream.cancel().catch(() => {});
      stream = null;
    }
    return new Response(stream === undefined ? this.body : stream, status === 101 ? { status, headers, webSocket } : { status, headers });
  }
}

/** Fields as what makes headers fastest: a record, if no name comes twice. */
export function record(fields) {
  const values = { __proto__: null };
  for (const [name, value] of fields) {
    if (name in values) return fields;
    values[name] = value;
  }
  return values;
}

/** Reads a response, up to its last header. */
export function parseResponse(instance, lines) {
  const isPending = lines.text() === "1";
  const summary = [lines.text(), lines.text(), lines.text()];
  const status = lines.number();
  const body = parseBody(instance, lines);
  return new Parsed(isPending, summary, status, body, parseFields(lines));
}

function parseBody(instance, lines) {
  const text = lines.text();
  if (text === "-") return { bytes: null, handle: null };
  if (text[0] === "'") return { bytes: instance.tail(Number(text.slice(1))), handle: null };
  if (text[0] === "=") return { bytes: instance.take(Number(text.slice(1))), handle: null };
  return { bytes: null, handle: Number(text) };
}

function parseFields(lines) {
  const fields = [];
  for (let count = lines.number(); count > 0; count--) fields.push([lines.text(), lines.text()]);
  return fields;
}

/** Reads the effects that end a message. */
export function effects(instance, lines) {
  const list = [];
  for (let count = lines.number(); count > 0; count--) list.push(parseEffect(instance, lines));
  return list;
}

/** What a body is watched for: how long its backend has for the whole of a response, or null, and whose it is. */
function parseWatch(line) {
  if (line === "") return null;
  const [total, backend, url, probe] = line.split(" ");
  return { total: total === "-" ? null : Number(total), backend, url, probe };
}

function parseEffect(instance, lines) {
  const kind = lines.text();
  const id = lines.number();
  switch (kind) {
    case "F": {
      lines.text();
      const timeout = lines.number();
      const watch = parseWatch(lines.text());
      const [maxBytes, method, url] = [lines.number(), lines.text(), lines.text()];
      const body = parseBody(instance, lines);
      return { kind, id, timeout, watch, maxBytes, method, url, body, fields: parseFields(lines) };
    }
    case "P": {
      const [key, keep] = [lines.text(), lines.number()];
      if (lines.text() === "V") {
        const since = lines.number();
        const names = Array.from({ length: lines.number() }, () => lines.text());
        return { kind, id, key, keep, entry: { since, names } };
      }
      const head = lines.text();
      return { kind, id, key, keep, entry: { head, ...parseBody(instance, lines) } };
    }
    case "G":
    case "K":
      return { kind, id, key: lines.text() };
    case "U":
      return { kind, id, keys: Array.from({ length: lines.number() }, () => lines.text()) };
    case "S":
      return { kind, id, handle: lines.number(), start: lines.number(), length: lines.number() };
    case "W":
      return { kind, id, key: lines.text(), value: parseBody(instance, lines).bytes };
    case "Q": {
      const [queue, message] = [lines.text(), lines.text()];
      return { kind, id, queue, message, body: parseBody(instance, lines).bytes };
    }
    case "N":
      return { kind, id, key: lines.text(), window: lines.number() };
    case "B":
      return { kind, id, handle: lines.number(), limit: lines.number() };
    case "Z":
      return { kind, id, time: lines.number() };
    case "C":
      return { kind, id, target: lines.number() };
    case "X":
      return { kind, id, values: [lines.text(), lines.text(), lines.text(), lines.text()] };
    default:
      throw new Error(`the module asks for the unknown effect ${kind}`);
  }
}

function isVariable(value) {
  return typeof value === "string" && !/[\r\n]/.test(value);
}
