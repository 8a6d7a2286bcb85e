//! Spin's own interfaces, from their definitions in `spin.wit`.

wasmtime::component::bindgen!({
    path: "src/runtime/spin/host/spin.wit",
    world: "selvedge:spin-host/imports",
    imports: { default: trappable },
    with: { "spin:key-value/key-value.store": super::key_value::OpenStore },
});
