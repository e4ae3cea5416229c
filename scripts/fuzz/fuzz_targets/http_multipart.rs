//! `cargo fuzz run http_multipart`: see `http::multipart` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::http::multipart)(data));
