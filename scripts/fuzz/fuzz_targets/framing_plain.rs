//! `cargo fuzz run framing_plain`: see `framing::plain` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::framing::plain)(data));
