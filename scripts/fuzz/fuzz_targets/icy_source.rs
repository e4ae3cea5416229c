//! `cargo fuzz run icy_source`: see `icy::source` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::icy::source)(data));
