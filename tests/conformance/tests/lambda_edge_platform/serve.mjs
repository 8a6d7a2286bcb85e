// Stands in for Lambda: a line of the standard input is a number and an event, and one of the standard output the
// number and what became of it. The line `gc` collects garbage, so that the memory that is left can be measured.

import { Console } from "node:console";
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";

// What functions print is for people; the standard output is for results.
globalThis.console = new Console(process.stderr, process.stderr);

const { handler } = await import(pathToFileURL(resolve("index.mjs")));
const say = (number, what) => process.stdout.write(`${number} ${JSON.stringify(what)}\n`);

for await (const line of lines(process.stdin.setEncoding("utf8"))) {
  const [number, told] = line.split(/ (.*)/s);
  if (told === "gc") {
    globalThis.gc();
    say(number, {});
  } else {
    run(told).then((result) => say(number, { result }), (error) => say(number, { error: String(error) }));
  }
}
process.exit();

async function run(told) {
  return handler(JSON.parse(told));
}

/** Lines as JSON has them; Node's own reader takes U+2028 for an end as well. */
async function* lines(input) {
  let line = [];
  for await (const chunk of input) {
    const [first, ...others] = chunk.split("\n");
    line.push(first);
    for (const other of others) {
      yield line.join("");
      line = [other];
    }
  }
}
