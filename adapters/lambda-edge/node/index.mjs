// The function that CloudFront calls, for every trigger.

import { readFileSync } from "node:fs";

import { Edge } from "./edge.mjs";

const file = (name) => readFileSync(new URL(name, import.meta.url));

const settings = JSON.parse(file("settings.json"));
const places = settings.places === undefined ? null : placesIn(settings.places);
const edge = new Edge(new WebAssembly.Module(file("policy.wasm")), file("policy.bin"), settings, places);

export const handler = async (event) => edge.handle(event);

/** A database that cannot be read is told of like one that is damaged: it is no reason to answer nobody. */
function placesIn(name) {
  try {
    return file(name);
  } catch {
    return new Uint8Array();
  }
}
