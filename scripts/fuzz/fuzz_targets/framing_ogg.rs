//! `cargo fuzz run framing_ogg`: see `framing::ogg` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::framing::ogg)(data));
