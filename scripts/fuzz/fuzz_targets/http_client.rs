//! `cargo fuzz run http_client`: see `http::client` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::http::client)(data));
