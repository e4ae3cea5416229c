//! `cargo fuzz run media_payload`: see `media::payload` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::media::payload)(data));
