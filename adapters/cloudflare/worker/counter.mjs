// The Durable Object that counts for limits, from the module that is stateful.

import module from "./state_bg.wasm";
import { Counter, initSync } from "./state.js";

initSync({ module });

export { Counter };
