//! `cargo fuzz run framing_wav`: see `framing::wav` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::framing::wav)(data));
