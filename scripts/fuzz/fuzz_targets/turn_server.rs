//! `cargo fuzz run turn_server`: see `turn::server` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::turn::server)(data));
