//! `cargo fuzz run icy_values`: see `icy::values` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::icy::values)(data));
