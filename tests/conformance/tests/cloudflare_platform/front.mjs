// Stands before the Worker: keeps what it logs and records, and hands that out at /told.

import { answer } from "./runtime.mjs";

let lines = [];
let points = [];

console.log = (line) => { lines.push(line); };

const SELVEDGE_RECORDS = { writeDataPoint(point) { points.push(point); } };

export default {
  async fetch(request, environment, context) {
    if (new URL(request.url).pathname !== "/told") return answer(request, { ...environment, SELVEDGE_RECORDS }, context);
    const told = Response.json({ lines: lines.map((line) => JSON.parse(line)), written: lines.join(), points });
    [lines, points] = [[], []];
    return told;
  },
};
