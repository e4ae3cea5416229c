//! `cargo fuzz run media_link`: see `media::link` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::media::link)(data));
