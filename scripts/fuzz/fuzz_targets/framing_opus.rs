//! `cargo fuzz run framing_opus`: see `framing::opus` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::framing::opus)(data));
