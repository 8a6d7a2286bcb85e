import { handlerFor } from "./storefront.mjs";

export const handler = handlerFor(["CN"]);
