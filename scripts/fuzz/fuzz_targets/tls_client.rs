//! `cargo fuzz run tls_client`: see `tls::client` in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (skywave_fuzz::tls::client)(data));
