// Stands in for Lambda: calls the handler of ./index.mjs with the events that are posted to it. The first line on the
// standard output says where it listens; it ends with its standard input, so that it never outlives who started it.
import { Console } from "node:console";
import { createServer } from "node:http";
import { randomUUID } from "node:crypto";
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";

/** Most bytes of an event and of a result: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html */
const MAX_PAYLOAD_BYTES = 6 * 1024 * 1024;
/** Milliseconds that CloudFront waits for a function. */
const TIMEOUT = 30_000;

// What the function prints is for people; the standard output is for the port.
globalThis.console = new Console(process.stderr, process.stderr);

const { handler } = await import(pathToFileURL(resolve("index.mjs")));

const server = createServer(async (request, response) => {
  const answer = await answerTo(request);
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(answer) });
  response.end(answer);
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => {
  process.stdout.write(`${JSON.stringify({ event: "listen", port: server.address().port })}\n`);
});
process.stdin.on("end", () => process.exit()).resume();

async function answerTo(request) {
  try {
    const event = JSON.parse(await read(request));
    const answer = JSON.stringify({ result: (await handler(event, context())) ?? null });
    if (Buffer.byteLength(answer) > MAX_PAYLOAD_BYTES) {
      throw new RangeError(`the result has more than ${MAX_PAYLOAD_BYTES} bytes`);
    }
    return answer;
  } catch (error) {
    return JSON.stringify({ error: { name: String(error?.name ?? "Error"), message: String(error?.message ?? error) } });
  }
}

async function read(request) {
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > MAX_PAYLOAD_BYTES) {
      throw new RangeError(`the event has more than ${MAX_PAYLOAD_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** https://docs.aws.amazon.com/lambda/latest/dg/nodejs-context.html */
function context() {
  const end = Date.now() + TIMEOUT;
  return {
    awsRequestId: randomUUID(),
    functionName: "us-east-1.selvedge",
    functionVersion: "1",
    memoryLimitInMB: "128",
    getRemainingTimeInMillis: () => Math.max(0, end - Date.now()),
  };
}
