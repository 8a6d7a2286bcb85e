// The suite's own client. Without arguments it prints what the suite holds; with the edge's URL it runs every test on it
// and prints results; with tests' ids after that, those alone and what they depend on, each with a log on the standard error.

import fetch from "node-fetch";
import { readFileSync } from "node:fs";
import { getResults, runTests } from "http-cache-tests/client/runner.mjs";
import products from "http-cache-tests/results/index.mjs";
import groups from "http-cache-tests/tests/index.mjs";
import surrogate from "http-cache-tests/tests/surrogate-control.mjs";

/** Longest wait for an answer and for its body, in milliseconds; some tests have a server that never finishes one. */
const TIMEOUT = 10_000;

/** Its server never finishes a body, and workerd is too busy with that once the server closes to answer anything else. */
const LAST = "headers-store-Transfer-Encoding";

const suite = [...groups, surrogate];
const [edge, ...ids] = process.argv.slice(2);

function json(path) {
  return JSON.parse(readFileSync(new URL(import.meta.resolve(`http-cache-tests/${path}`))));
}

/** What the suite holds, without the requests of its tests. */
function catalogue() {
  const { name, version, license, homepage, repository, author } = json("package.json");
  const published = products.map((product) => ({ ...product, results: json(`results/${product.file}`) }));
  return { package: { name, version, license, homepage, repository: repository.url, author }, groups: suite, published };
}

/** Tests by id, and all that they depend on. */
function closure(ids) {
  const tests = new Map(suite.flatMap((group) => group.tests).map((test) => [test.id, test]));
  const wanted = new Set(ids);
  for (const id of wanted) {
    if (!tests.has(id)) throw new Error(`the suite has no test ${id}`);
    for (const needed of tests.get(id).depends_on ?? []) wanted.add(needed);
  }
  return [...wanted].map((id) => tests.get(id));
}

/** Runs tests side by side, for all that most of them do is wait, and then the one that gets in the way of others. */
async function run() {
  console.log = console.error;
  const all = ids.length > 0 ? closure(ids) : suite.flatMap((group) => group.tests);
  const tests = all.filter((test) => !test.browser_only);
  tests.sort((a, b) => (a.id === LAST) - (b.id === LAST));
  for (const test of tests) test.dump = ids.includes(test.id);
  const side = tests.at(-1)?.id === LAST ? tests.length - 1 : tests.length;
  await runTests([{ tests }], (url, init) => fetch(url, { ...init, timeout: TIMEOUT }), false, edge, Math.max(side, 1));
  return getResults();
}

const found = edge === undefined ? catalogue() : await run();
// Bodies that tests never read keep their connections, and those the process.
process.stdout.write(JSON.stringify(found), () => process.exit());
