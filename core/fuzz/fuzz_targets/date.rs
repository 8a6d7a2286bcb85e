//! See [`selvedge_core_fuzz::date`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| selvedge_core_fuzz::date::check(data));
