# Made by `selvedge dev --runtime cloudflare`; changes are written over.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    (name = "stores", worker = .stores),
    (name = "objects", disk = (path = "objects", writable = true)),
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true))),
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
  compatibilityDate = "{{date}}",
  compatibilityFlags = {{flags}},
  modules = [
    {{modules}}
  ],
  bindings = [
    {{bindings}}
  ],
  {{objects}}
  cacheApiOutbound = (name = "stores", entrypoint = "cache"),
);

const stores :Workerd.Worker = (
  compatibilityDate = "{{date}}",
  modules = [(name = "stores.mjs", esModule = embed "stores.mjs")],
);
