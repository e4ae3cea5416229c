//! `cargo fuzz run framing_flac`: see `framing::flac` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::framing::flac)(data));
