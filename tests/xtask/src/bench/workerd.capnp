using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    (name = "bare", worker = .bare),
    (name = "hono", worker = .hono),
    (name = "origin", worker = .origin),
    (name = "empty", worker = .empty),
  ],
  sockets = [
    {{sockets}}
  ],
);

const edge :Workerd.Worker = (
  compatibilityDate = "2026-10-01",
  modules = [
    (name = "index.mjs", esModule = embed "dist/index.mjs"),
    (name = "runtime.mjs", esModule = embed "dist/runtime.mjs"),
    (name = "driver.mjs", esModule = embed "dist/driver.mjs"),
    (name = "exchange.mjs", esModule = embed "dist/exchange.mjs"),
    (name = "instance.mjs", esModule = embed "dist/instance.mjs"),
    (name = "platform.mjs", esModule = embed "dist/platform.mjs"),
    (name = "policy.wasm", wasm = embed "dist/policy.wasm"),
    (name = "policy.bin", data = embed "dist/policy.bin"),
  ],
  globalOutbound = "origin",
);

const bare :Workerd.Worker = (
  compatibilityDate = "2026-10-01",
  modules = [(name = "bare.mjs", esModule = embed "bare.mjs")],
  globalOutbound = "origin",
);

const hono :Workerd.Worker = (
  compatibilityDate = "2026-10-01",
  modules = [(name = "hono.mjs", esModule = embed "hono.mjs")],
  globalOutbound = "origin",
);

const origin :Workerd.Worker = (
  compatibilityDate = "2026-10-01",
  modules = [(name = "origin.mjs", esModule = embed "origin.mjs")],
);

const empty :Workerd.Worker = (
  compatibilityDate = "2026-10-01",
  modules = [(name = "empty.mjs", esModule = embed "empty.mjs")],
);
