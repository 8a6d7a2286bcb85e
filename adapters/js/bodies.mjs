// Bodies on their way through the driver, which sees how they go.

/** Why what a backend took too long for is broken off. */
export const LATE = new Error("the backend took longer than the policy allows");

/** Most bytes of a client's body in memory. */
const PIECE_BYTES = 64 * 1024;

/** Workers' own streams, which copy what is written: https://developers.cloudflare.com/workers/runtime-apis/streams/transformstream/ */
const { FixedLengthStream, IdentityTransformStream } = globalThis;

/** What a body passes through; its length is not a number where it is not known, and is told where the host can. */
export function through(length) {
  if (IdentityTransformStream === undefined) return new TransformStream();
  return Number.isSafeInteger(length) ? new FixedLengthStream(length) : new IdentityTransformStream();
}

/** Lets the runtime pass a body on, and says how it ended; `signal` is aborted when its reader goes away, where the host tells that. */
export async function pipe(body, writable, onEnd, signal) {
  try {
    await body.pipeTo(writable, { preventCancel: true });
    onEnd("whole");
  } catch (error) {
    // Either side may have failed. Of a body that did, the reader is closed by an error at once; and so it is where the runtime has ended it
    // because its reader is gone.
    const reader = body.getReader();
    const broke = reader.closed.then(() => false, () => true);
    const soon = new Promise((resolve) => { setTimeout(resolve, 0, false); });
    const isBroken = await Promise.race([broke, soon]);
    onEnd(isBroken && !signal?.aborted ? "broken" : "left");
    reader.cancel(error).catch(() => {});
  }
}

/**
 * Passes a body on, until its time is over where it has one, and says how it ended; `length` is not a number where it is not known. Whoever
 * waited for the backend through half of the time, the wait for the head included, has a backend that is late; else its reader was slow.
 */
export async function pass(reader, writer, length, started, total, onEnd) {
  let left = length;
  let waited = Date.now() - started;
  let asked = null;
  let timer;
  const stop = (reason) => {
    clearTimeout(timer);
    writer.abort(reason).catch(() => {});
    reader.cancel(reason).catch(() => {});
  };
  if (total !== null) {
    timer = setTimeout(() => {
      if (asked !== null) waited += Date.now() - asked;
      onEnd(2 * waited >= total ? "late" : "left");
      stop(LATE);
    }, total - waited);
  }
  // Whoever goes away is not noticed by a read.
  writer.closed.catch((reason) => {
    onEnd("left");
    stop(reason);
  });
  try {
    for (;;) {
      asked = Date.now();
      const { done, value } = await reader.read().catch((error) => {
        onEnd("broken");
        throw error;
      });
      waited += Date.now() - asked;
      asked = null;
      if (done) break;
      left -= value.byteLength;
      // Its reader has all of it then, and does not wait for the end.
      if (left === 0) onEnd("whole");
      await writer.write(value);
    }
    clearTimeout(timer);
    onEnd("whole");
    await writer.close();
  } catch (error) {
    onEnd("left");
    stop(error);
  }
}

/** A client's body on its way to a backend. */
export class Upload {
  /** The core's word for why it ended early, if it did. */
  word = null;
  #abort;
  #isUnderWay = false;
  #waited = 0;
  #asked = null;

  /** `abort` ends the request that the body is of. */
  constructor(abort) {
    this.#abort = abort;
  }

  /** Passes a body on, no more of it than `most` bytes; returns what the backend gets. */
  of(body, length, most) {
    const { readable, writable } = through(length);
    this.#isUnderWay = true;
    this.#pass(body.getReader({ mode: "byob" }), writable.getWriter(), most, Math.min(length || PIECE_BYTES, PIECE_BYTES));
    return readable;
  }

  /** Whether a request whose time is over waited for its client through at least half of it, and would have to go on with that. */
  isLate(timeout) {
    const waiting = this.#asked === null ? 0 : Date.now() - this.#asked;
    return this.#isUnderWay && 2 * (this.#waited + waiting) >= timeout;
  }

  async #pass(reader, writer, left, size) {
    const stop = (reason) => {
      this.#isUnderWay = false;
      writer.abort(reason).catch(() => {});
      reader.cancel(reason).catch(() => {});
    };
    // Whoever goes away is not noticed by a read.
    writer.closed.catch(stop);
    let piece = new Uint8Array(size);
    try {
      for (;;) {
        this.#asked = Date.now();
        const { done, value } = await reader.read(piece).catch((error) => this.#break("client-body", error));
        this.#waited += Date.now() - this.#asked;
        this.#asked = null;
        if (done) break;
        left -= value.byteLength;
        if (left < 0) this.#break("body-too-large", new Error("the request body is longer than the policy allows"));
        await writer.write(value);
        piece = new Uint8Array(IdentityTransformStream === undefined ? size : value.buffer);
      }
      this.#isUnderWay = false;
      await writer.close();
    } catch (error) {
      stop(error);
    }
  }

  /** Some hosts end a request in good order when its body fails, and the backend would take the part for the whole. */
  #break(word, error) {
    if (this.#isUnderWay) {
      this.word = word;
      this.#abort.abort();
    }
    throw error;
  }
}
