// Runs the functions of every case in one process: each case has a port of its own, behind which its policy answers events.
// Posted to the first port: a case, `{ policy, httpsOnly }`, which is answered by its port, or a time, `{ port, now }`.

import { Console } from "node:console";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";

// What functions print is for people; the standard output is for the port.
globalThis.console = new Console(process.stderr, process.stderr);

const { Edge } = await import(pathToFileURL(resolve("edge.mjs")));
const module = new WebAssembly.Module(readFileSync("policy.wasm"));
const { key } = JSON.parse(readFileSync("settings.json"));
const environment = JSON.parse(process.argv[1]);
const times = new Map();

const control = serve(async (told) => {
  if (told.now !== undefined) {
    times.set(told.port, told.now);
    return {};
  }
  let port;
  const settings = { key, httpsOnly: told.httpsOnly, environment };
  const edge = new Edge(module, Buffer.from(told.policy, "base64"), settings, null, () => times.get(port));
  port = await listening(serve(async (event) => ({ result: await edge.handle(event) })));
  return { port };
});
process.stdout.write(`${JSON.stringify({ event: "listen", port: await listening(control) })}\n`);
process.stdin.on("end", () => process.exit()).resume();

function serve(answer) {
  return createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    let answered;
    try {
      answered = await answer(JSON.parse(Buffer.concat(chunks).toString()));
    } catch (error) {
      answered = { error: { name: error.name, message: error.message } };
    }
    response.end(JSON.stringify(answered));
  });
}

function listening(server) {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));
}
