//! `cargo fuzz run ws_deflate`: see `ws::deflate` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::ws::deflate)(data));
