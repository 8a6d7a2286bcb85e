//! See [`selvedge_core_fuzz::entry`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| selvedge_core_fuzz::entry::check(data));
