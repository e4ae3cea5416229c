//! `cargo fuzz run rtc_offer`: see `rtc::offer` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::rtc::offer)(data));
