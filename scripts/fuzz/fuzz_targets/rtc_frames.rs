//! `cargo fuzz run rtc_frames`: see `rtc::frames` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::rtc::frames)(data));
