//! `cargo fuzz run stun_message`: see `turn::message` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::turn::message)(data));
