//! `cargo fuzz run http_request`: see `http::request` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::http::request)(data));
