//! `cargo fuzz run tls_server`: see `tls::server` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::tls::server)(data));
