// Calls the handler of a file and measures it in its own process. A line on the standard input says what to call it with, and
// the line on the standard output that answers it what came of it:
//
//   { event, behind, number, count }     an event of viewer-request; with `behind`, what CloudFront adds for origin-request, the
//                                        event that follows is the one that is measured; the number of the first event, and how many
//   { median, p99, result }              microseconds of an event, and what was returned for the first
//
// Only the handler's own time counts: Lambda reads every event and writes every result, whoever makes it.

import { Console } from "node:console";
import { pathToFileURL } from "node:url";

// What the function prints is for people; the standard output is for measures.
globalThis.console = new Console(process.stderr, process.stderr);

const { handler } = await import(pathToFileURL(process.argv[2]));

/** Every event is another one, as those of visitors are; the handler may keep or change what it is given. */
function numbered(template, number) {
  const event = JSON.parse(template);
  const { config, request } = event.Records[0].cf;
  config.requestId = `${number.toString(36).padStart(56, "0")}==`;
  request.clientIp = `198.51.${(number >> 8) & 255}.${number & 255}`;
  const session = number.toString(16).padStart(16, "0");
  request.headers.cookie = [{ key: "Cookie", value: `session=${session}; theme=dark` }];
  return event;
}

/** The event of origin-request for what a viewer-request returned. */
function following(event, forwarded, { headers, origin }) {
  const { config } = event.Records[0].cf;
  const request = JSON.parse(JSON.stringify(forwarded));
  if (request.uri === undefined) throw new Error("the first event was answered, there is none that follows");
  Object.assign(request.headers, headers);
  request.origin = origin;
  return { Records: [{ cf: { config: { ...config, eventType: "origin-request" }, request } }] };
}

async function measure({ event: given, behind, number, count }) {
  const template = JSON.stringify(given);
  const times = new Float64Array(count);
  let first;
  for (let at = 0; at < count; at++) {
    let event = numbered(template, number + at);
    if (behind !== null) event = following(event, await handler(event), behind);
    const began = performance.now();
    const result = await handler(event);
    times[at] = performance.now() - began;
    const written = JSON.stringify(result);
    first ??= written;
  }
  times.sort();
  const microseconds = (share) => times[Math.floor(share * (count - 1))] * 1000;
  return { median: microseconds(0.5), p99: microseconds(0.99), result: JSON.parse(first) };
}

let input = "";
for await (const chunk of process.stdin) {
  input += chunk;
  for (let end = input.indexOf("\n"); end !== -1; end = input.indexOf("\n")) {
    const line = input.slice(0, end);
    input = input.slice(end + 1);
    process.stdout.write(`${JSON.stringify(await measure(JSON.parse(line)))}\n`);
  }
}
