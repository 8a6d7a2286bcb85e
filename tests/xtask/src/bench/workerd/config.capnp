using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "origin", worker = (
      compatibilityDate = "2026-10-01",
      modules = [(name = "origin.mjs", esModule = embed "origin.mjs")],
    )),
    {{services}}
  ],
  sockets = [
    {{sockets}}
  ],
);
