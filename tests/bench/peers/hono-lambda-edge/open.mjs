// Open to every country: what the door answers then.

import { handlerFor } from "./storefront.mjs";

export const handler = handlerFor([]);
