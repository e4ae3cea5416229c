//! `cargo fuzz run ws_frames`: see `ws::frames` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::ws::frames)(data));
