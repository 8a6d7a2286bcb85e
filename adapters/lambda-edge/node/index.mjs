// The function that CloudFront calls, for every trigger.

import { readFileSync } from "node:fs";

import { Edge } from "./edge.mjs";

const file = (name) => readFileSync(new URL(name, import.meta.url));

const settings = JSON.parse(file("settings.json"));
const places = settings.places === undefined ? null : file(settings.places);
const edge = new Edge(new WebAssembly.Module(file("policy.wasm")), file("policy.bin"), settings, places);

export const handler = async (event) => edge.handle(event);
