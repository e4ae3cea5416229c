//! `cargo fuzz run framing_mpeg`: see `framing::mpeg` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::framing::mpeg)(data));
