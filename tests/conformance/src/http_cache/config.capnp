using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    (name = "stores", worker = .stores),
    (name = "origin", external = (address = "{{origin}}", http = ())),
  ],
  sockets = [
    (name = "edge", address = "127.0.0.1:0", http = (cfBlobHeader = "{{cf-header}}"), service = "edge"),
  ],
);

const edge :Workerd.Worker = (
  compatibilityDate = "2026-10-01",
  compatibilityFlags = ["enable_request_signal"],
  modules = [
    (name = "index.mjs", esModule = embed "dist/index.mjs"),
    (name = "runtime.mjs", esModule = embed "dist/runtime.mjs"),
    (name = "access.mjs", esModule = embed "dist/access.mjs"),
    (name = "access_line.mjs", esModule = embed "dist/access_line.mjs"),
    (name = "bodies.mjs", esModule = embed "dist/bodies.mjs"),
    (name = "driver.mjs", esModule = embed "dist/driver.mjs"),
    (name = "exchange.mjs", esModule = embed "dist/exchange.mjs"),
    (name = "instance.mjs", esModule = embed "dist/instance.mjs"),
    (name = "platform.mjs", esModule = embed "dist/platform.mjs"),
    (name = "policy.wasm", wasm = embed "dist/policy.wasm"),
    (name = "policy.bin", data = embed "dist/policy.bin"),
  ],
  globalOutbound = "origin",
  cacheApiOutbound = (name = "stores", entrypoint = "cache"),
);

const stores :Workerd.Worker = (
  compatibilityDate = "2026-10-01",
  modules = [(name = "stores.mjs", esModule = embed "stores.mjs")],
);
