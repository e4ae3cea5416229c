//! TLS 1.2 and 1.3 (RFC 5246, RFC 8446) that performs no I/O: rustls behind one small type.
