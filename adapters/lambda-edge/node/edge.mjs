// A policy on Lambda@Edge: hands CloudFront's events to the module and performs what it asks for.
//
// Most events come to an end in one crossing. Those of origin-request may ask a backend or a handler, which Node.js does here.

import { AccessLog } from "./access.mjs";
import { Exchange } from "./exchange.mjs";
import { Crash, effects, Instance, Lines } from "./instance.mjs";
import { Platform } from "./platform.mjs";

const encoder = new TextEncoder();

const SEED_BYTES = 16;
const SEEDS = 256;
const ORIGIN_REQUEST = "origin-request";
const VIEWER_REQUEST = "viewer-request";
const STATE_HEADER = "selvedge-state";
const KEY_HEADER = "selvedge-key";

/** Most names of which is kept what they are to the module; clients choose them. */
const MAX_NAMES = 1024;

/** A policy, ready to answer events. */
export class Edge {
  #module;
  #policy;
  #environment;
  #places;
  #now;
  #current = null;
  #names = [];
  #fields = new Map();
  #readsAddress = true;
  #lastResort = "";
  #log = null;
  #seeds = new Uint8Array(SEEDS * SEED_BYTES);
  #nextSeedAt = SEEDS * SEED_BYTES;

  /**
   * @param {WebAssembly.Module} module the module that `selvedge build` made
   * @param {Uint8Array} policy the compiled policy
   * @param {{ key: string, httpsOnly: boolean, environment?: Record<string, string>, accessLog?: number }} settings those of the build
   * @param {Uint8Array | null} places a database of clients' places
   * @param {() => number} now milliseconds since the Unix epoch
   */
  constructor(module, policy, settings, places = null, now = Date.now) {
    const { key, httpsOnly, environment = {}, accessLog } = settings;
    this.#module = module;
    this.#policy = policy;
    this.#environment = { ":key": key, ":https-only": httpsOnly ? "1" : "0", ...environment };
    if (accessLog !== undefined) {
      this.#log = new AccessLog(accessLog, now);
      this.#environment[":access-log"] = "1";
    }
    this.#places = places;
    this.#now = now;
    this.instance();
  }

  /** What the function returns for an event. */
  async handle(event) {
    const cf = event?.Records?.[0]?.cf;
    if (cf?.config?.eventType === VIEWER_REQUEST && event.Records.length === 1) {
      const outcome = this.#enter(cf);
      if (outcome !== null) return outcome;
    }
    const platform = new Platform(this.#now);
    let json;
    try {
      json = JSON.stringify(event);
    } catch (error) {
      // It is nested more deeply than the stack is.
      return this.answerAtLast(platform, error, event);
    }
    if (cf?.config?.eventType !== ORIGIN_REQUEST) return this.#alone(event, json, platform);
    const end = this.#observed(cf, platform);
    const subject = new EventSubject(event, json, this.#seed(), end);
    const outcome = await new Exchange(this, subject, platform).run();
    await platform.finish();
    return outcome;
  }

  /**
   * A viewer's request, of which the module is told what it reads; the rest stays as it is. Null where that is not enough: the
   * module has the whole event then.
   */
  #enter(cf) {
    const { request } = cf;
    try {
      const instance = this.instance();
      const asked = this.#part(instance, request);
      if (asked === null) return null;
      const { part, imitates } = asked;
      const end = this.#observed(cf);
      const known = instance.recall(part);
      if (known !== undefined) return ended(known, end);
      const length = instance.write(`V\n${this.#now()}\n${part}`, 0);
      const seed = this.#nextSeed();
      const place = instance.receive(length, this.#seeds, seed, seed + SEED_BYTES);
      const keep = instance.keep(place);
      if (keep !== 0 && keep % 2 === 0) return ended(keepFor(instance, part, instance.kept[keep - 1]), end);
      const lines = instance.read(place);
      if (lines[0] === "F") return this.#forward(instance, request, imitates, lines[1], lines[2]);
      const platform = new Platform(this.#now);
      const conclusion = concluded(instance, new Lines(lines, 3), platform);
      if (keep === 0) return ended(conclusion, end);
      instance.kept[keep] = conclusion;
      return ended(keepFor(instance, part, conclusion), end);
    } catch (error) {
      if (error instanceof Crash) this.#current = null;
      return this.answerAtLast(new Platform(this.#now), error, undefined);
    }
  }

  /**
   * The lines of a request in part, from its address on, and whether a header imitates the platform; null for one that is none, or has
   * a body. No value of a field has a line break; one that had would read as further fields, which the client may send as well.
   */
  #part(instance, request) {
    const { clientIp, method, uri, querystring, headers, body } = request ?? {};
    if (body !== undefined || !isLine(clientIp) || !isLine(method) || !isLine(uri) || !isLine(querystring)) return null;
    let fields = "";
    let omitted = 0;
    let imitates = false;
    for (const name in headers) {
      const list = headers[name];
      if (!Array.isArray(list)) return null;
      const field = this.#fields.get(name) ?? this.#field(instance, name);
      const { place } = field;
      imitates ||= field.imitates;
      for (let at = 0; at < list.length; at++) {
        const value = list[at]?.value;
        if (typeof value !== "string") return null;
        if (place === undefined) omitted += name.length + value.length;
        else fields += place + value;
      }
    }
    const target = querystring === "" ? uri : uri + "?" + querystring;
    const address = this.#readsAddress ? clientIp : "";
    return { part: address + "\n" + method + "\n" + target + "\n" + omitted + fields, imitates };
  }

  /** What a name is to the module: the beginning of its lines, if it is read, and whether only a platform could mean it. */
  #field(instance, name) {
    const at = this.#names.indexOf(name);
    const imitates = instance.exports.selvedge_imitates(instance.write(name.toLowerCase(), 0)) === 1;
    const field = { place: at === -1 ? undefined : `\n:${at}\n`, imitates };
    if (this.#fields.size === MAX_NAMES) this.#fields.clear();
    this.#fields.set(name, field);
    return field;
  }

  /** The request goes on without the headers that only a platform could mean, and with what was learnt. */
  #forward(instance, request, imitates, key, state) {
    const { headers } = request;
    if (imitates) {
      for (const name in headers) {
        if (this.#field(instance, name).imitates) delete headers[name];
      }
    }
    headers[KEY_HEADER] = [{ key: KEY_HEADER, value: key }];
    headers[STATE_HEADER] = [{ key: STATE_HEADER, value: state }];
    return request;
  }

  /** An event that needs no effect. */
  #alone(event, json, platform) {
    try {
      const end = this.#observed(event?.Records?.[0]?.cf, platform);
      const instance = this.instance();
      const lines = new Lines(tell(instance, this.#now(), "", json, this.#seed()), 3);
      return ended(concluded(instance, lines, platform), end);
    } catch (error) {
      if (error instanceof Crash) this.#current = null;
      return this.answerAtLast(platform, error, event);
    }
  }

  /** What is called at the end of an event; null without an access log. */
  #observed(cf, platform) {
    if (this.#log === null) return null;
    const started = this.#log.begin();
    return (outcome, summary, records) => this.#log.end(started, cf, outcome, summary, records, platform ?? new Platform(this.#now));
  }

  /** The instance for new events. */
  instance() {
    if (this.#current === null) {
      const instance = new Instance(this.#module, this.#policy, this.#environment, this.#places);
      const { lackOfPlaces } = instance;
      if (lackOfPlaces !== null) new Platform(this.#now).failed(`where clients are is unknown: ${lackOfPlaces}`);
      const lines = new Lines(instance.greeting, 1);
      this.#readsAddress = lines.text() === "1";
      const allowed = lines.number();
      this.#log?.allow(allowed);
      const count = lines.number();
      this.#names = Array.from({ length: count }, () => lines.text());
      this.#lastResort = lines.text();
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

  #seed() {
    const at = this.#nextSeed();
    return this.#seeds.slice(at, at + SEED_BYTES);
  }

  /** Where fresh randomness lies, drawn for many events at once. */
  #nextSeed() {
    if (this.#nextSeedAt === this.#seeds.length) {
      crypto.getRandomValues(this.#seeds);
      this.#nextSeedAt = 0;
    }
    const at = this.#nextSeedAt;
    this.#nextSeedAt += SEED_BYTES;
    return at;
  }
}

/** What the function returns and what came of the request, with what there is to log about it. */
function concluded(instance, lines, platform) {
  const [outcome, summary] = [JSON.parse(lines.text()), lines.text()];
  for (let count = lines.number(); count > 0; count--) platform.violated(lines.text());
  const records = effects(instance, lines).map(({ values }) => values);
  for (const values of records) platform.record(...values);
  return { outcome, summary, records };
}

/** Remembers what everybody gets who asks the same. */
function keepFor(instance, part, conclusion) {
  instance.remember(part, conclusion);
  return conclusion;
}

/** Ends an event with what the function returns. */
function ended({ outcome, summary, records }, end) {
  end?.(outcome, summary, records);
  return outcome;
}

function isLine(value) {
  return typeof value === "string" && !value.includes("\n");
}

/** An event that may need effects. */
class EventSubject {
  #event;
  #json;
  #seed;
  #end;

  constructor(event, json, seed, end) {
    this.#event = event;
    this.#json = json;
    this.#seed = seed;
    this.#end = end;
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

  returned(outcome, summary, started) {
    this.#end?.(outcome, summary, started.filter(({ kind }) => kind === "X").map(({ values }) => values));
  }
}

/** Sends an event and returns the lines of the answer. An event is long for the instance's own way of writing short texts. */
function tell(instance, now, crash, json, seed) {
  const text = `T\n${now}\n${crash}\n${json}`;
  instance.reserve(3 * text.length);
  const end = encoder.encodeInto(text, instance.input).written;
  return instance.read(instance.receive(end, seed, 0, SEED_BYTES));
}
