//! `cargo fuzz run icy_strip`: see `icy::strip` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::icy::strip)(data));
