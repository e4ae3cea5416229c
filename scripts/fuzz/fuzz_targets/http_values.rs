//! `cargo fuzz run http_values`: see `http::values` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::http::values)(data));
