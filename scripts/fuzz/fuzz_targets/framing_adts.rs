//! `cargo fuzz run framing_adts`: see `framing::adts` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::framing::adts)(data));
