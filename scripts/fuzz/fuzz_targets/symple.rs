//! `cargo fuzz run symple`: see `symple::server` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::symple::server)(data));
