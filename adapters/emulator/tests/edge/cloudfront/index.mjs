import { appendFileSync } from "node:fs";

const to = (request, port) => {
  Object.assign(request.origin.custom, { domainName: "localhost", port, protocol: "http" });
  return request;
};

const functions = {
  "viewer-request": (cf) => cf.request,
  "origin-request": (cf) => to(cf.request, ORIGIN_PORT),
  "origin-response": (cf) => cf.response,
  "viewer-response": (cf) => cf.response,
  /* functions */
};

export const handler = async (event) => {
  appendFileSync("events.jsonl", `${JSON.stringify(event)}\n`);
  const { cf } = event.Records[0];
  return functions[cf.config.eventType](cf);
};
