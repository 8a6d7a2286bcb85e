// Runs one test module of wasm32-unknown-unknown: node wasm_test_runner.mjs MODULE
// Ends with 0 when every test passed, and with 1 and the failing test's name otherwise.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

const SEED_IMPORT = '__getrandom_v03_custom';
const HARNESS = new Set(['std', 'core', 'alloc', 'test', 'panic_abort', 'proptest', '__rustc']);

const path = process.argv[2];
const module = await WebAssembly.compile(readFileSync(path));
const foreign = WebAssembly.Module.imports(module).filter(({ name }) => name !== SEED_IMPORT);
if (foreign.length > 0) fail(`it imports ${foreign.map((i) => `${i.module}.${i.name}`).join(', ')}`);

let memory;
const { exports } = await WebAssembly.instantiate(module, { env: { [SEED_IMPORT]: fill } });
memory = exports.memory;

Error.stackTraceLimit = Infinity;
const start = performance.now();
try {
  const code = exports.main(0, 0);
  if (code !== 0) fail(`the test harness returned ${code}`);
} catch (trap) {
  fail(`${trap.message}, in ${testOf(trap.stack)}\nrun the tests natively to see the assertion's message`);
}
console.log(`${basename(path)}: passed in ${((performance.now() - start) / 1000).toFixed(2)} s`);

// Property tests take their seed from here: a fixed xorshift sequence makes runs repeatable.
function fill(pointer, length) {
  const bytes = new Uint8Array(memory.buffer, pointer >>> 0, length >>> 0);
  let state = 0x9e3779b9;
  for (let i = 0; i < bytes.length; i += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state & 0xff;
  }
  return 0;
}

// Names the functions of the tested crate on the stack, innermost first.
function testOf(stack) {
  const symbols = [...stack.matchAll(/\.wasm\.(\S+) \(/g)].map((match) => identifiers(match[1]));
  const own = symbols.filter((names) => names.length > 2 && !HARNESS.has(names[0]));
  return [...new Set(own.map((names) => names.join('::')))].join('\n  called by ') || 'a function without a name';
}

// Reads the length-prefixed identifiers of a mangled symbol, in Rust's v0 form or the older one.
function identifiers(symbol) {
  const rest = symbol.replace(/C?s[0-9A-Za-z]*_(?=\d)/g, '').replace(/^_R[A-Za-z]*|^_ZN/, '');
  const names = [];
  for (let at = 0; at < rest.length; ) {
    const length = /^\d+/.exec(rest.slice(at))?.[0];
    if (length === undefined) at += 1;
    else {
      at += length.length;
      if (symbol.startsWith('_R') && rest[at] === '_') at += 1;
      names.push(rest.slice(at, at + Number(length)));
      at += Number(length);
    }
  }
  return names.filter((name) => /^[A-Za-z_]\w*$/.test(name) && !/^h[0-9a-f]{16}$/.test(name));
}

function fail(message) {
  console.error(`${basename(path)}: FAILED: ${message}`);
  process.exit(1);
}
