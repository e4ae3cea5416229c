//! `cargo fuzz run rtc_payloads`: see `rtc::payloads` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::rtc::payloads)(data));
