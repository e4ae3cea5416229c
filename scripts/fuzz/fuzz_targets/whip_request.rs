//! `cargo fuzz run whip_request`: see `whip::request` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::whip::request)(data));
