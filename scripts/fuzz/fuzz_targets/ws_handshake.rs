//! `cargo fuzz run ws_handshake`: see `ws::handshake` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::ws::handshake)(data));
