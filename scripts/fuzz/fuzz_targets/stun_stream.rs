//! `cargo fuzz run stun_stream`: see `turn::stream` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::turn::stream)(data));
