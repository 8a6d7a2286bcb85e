using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    (name = "stores", worker = .stores),
    (name = "objects", disk = (path = "objects", writable = true)),
    (name = "backends", external = (address = "{{backends}}", http = (style = proxy))),
  ],
  sockets = [
    (
      name = "edge",
      address = "127.0.0.1:0",
      http = (cfBlobHeader = "{{cf-header}}", forwardedProtoHeader = "{{scheme-header}}"),
      service = "edge",
    ),
  ],
);

const edge :Workerd.Worker = (
  compatibilityDate = "2026-10-01",
  compatibilityFlags = ["enable_request_signal"],
  modules = [
    (name = "worker.mjs", esModule = embed "worker.mjs"),
    (name = "access.mjs", esModule = embed "dist/access.mjs"),
    (name = "access_line.mjs", esModule = embed "dist/access_line.mjs"),
    (name = "bodies.mjs", esModule = embed "dist/bodies.mjs"),
    (name = "driver.mjs", esModule = embed "dist/driver.mjs"),
    (name = "exchange.mjs", esModule = embed "dist/exchange.mjs"),
    (name = "instance.mjs", esModule = embed "dist/instance.mjs"),
    (name = "platform.mjs", esModule = embed "dist/platform.mjs"),
    (name = "policy.wasm", wasm = embed "dist/policy.wasm"),
    (name = "counter.mjs", esModule = embed "dist/counter.mjs"),
    (name = "state_0.js", esModule = embed "dist/state_0.js"),
    (name = "state.js", esModule = embed "dist/state.js"),
    (name = "state_bg.wasm", wasm = embed "dist/state_bg.wasm"),
  ],
  durableObjectNamespaces = [(className = "Counter", uniqueKey = "counter", enableSql = true)],
  durableObjectStorage = (localDisk = "objects"),
  bindings = [
    (name = "SELVEDGE_KV", kvNamespace = (name = "stores", entrypoint = "kv")),
    (name = "SELVEDGE_COUNTERS", durableObjectNamespace = "Counter"),
    {{bindings}}
  ],
  globalOutbound = "backends",
  cacheApiOutbound = (name = "stores", entrypoint = "cache"),
);

const stores :Workerd.Worker = (
  compatibilityDate = "2026-10-01",
  modules = [(name = "stores.mjs", esModule = embed "stores.mjs")],
);
