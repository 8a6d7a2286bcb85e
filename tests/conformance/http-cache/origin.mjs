// Starts the suite's test server on a free port. Its first line tells where; what it says after that goes to the standard
// error, and nowhere unless a test asks for its log. It ends with its standard input.

import { devNull } from "node:os";

process.env.npm_config_protocol = "http";
process.env.npm_config_port = "0";
process.env.npm_config_pidfile = devNull;

const print = console.log;
console.log = (line) => {
  print(line);
  console.log = process.argv[2] === "log" ? console.error : () => {};
};

process.stdin.resume().on("end", () => process.exit());
await import("http-cache-tests/server/server.mjs");
