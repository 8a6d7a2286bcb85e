// The Worker: one policy, answered by the module, with effects performed by Cloudflare's own parts.

import { queue, scheduled } from "./jobs.mjs";
import { answer } from "./runtime.mjs";

export default { fetch: answer, queue, scheduled };
