//! `cargo fuzz run http_response`: see `http::response` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::http::response)(data));
