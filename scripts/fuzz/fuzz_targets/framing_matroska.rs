//! `cargo fuzz run framing_matroska`: see `framing::matroska` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::framing::matroska)(data));
