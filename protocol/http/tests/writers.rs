//! What the writers put on the wire, byte for byte.

use protocol_http::{
    LAST_CHUNK, Method, RequestWriter, ResponseWriter, Status, Version, percent_decode,
    percent_encode, write_chunk_head, write_decimal,
};

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn icecast_answer() {
    let head = text(|out| {
        ResponseWriter::with_reason(out, Version::Http10, Status::NOT_FOUND, "File Not Found")
            .header("Server", "Skywave")
            .header("Connection", "Close")
            .header_date("Date", 784_111_777)
            .header_tight("icy-name", "N")
            .header_number("icy-metaint", 16_000)
            .finish();
    });
    assert_eq!(
        head,
        "HTTP/1.0 404 File Not Found\r\nServer: Skywave\r\nConnection: Close\r\n\
         Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nicy-name:N\r\nicy-metaint: 16000\r\n\r\n"
    );
}

#[test]
fn framing_lines() {
    let head = text(|out| {
        ResponseWriter::new(out, Version::Http11, Status::OK)
            .raw_lines(b"Server: S\r\n")
            .content_length(u64::MAX)
            .chunked()
            .close()
            .keep_alive()
            .finish();
    });
    assert_eq!(
        head,
        "HTTP/1.1 200 OK\r\nServer: S\r\nContent-Length: 18446744073709551615\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n"
    );
}

#[test]
fn values_cannot_split() {
    let head = text(|out| {
        ResponseWriter::with_reason(out, Version::Icy, Status::OK, "O\r\nK: x")
            .header("icy-name", "a\r\nSet-Cookie: b\0c\td\x7f")
            .finish();
    });
    assert_eq!(head, "ICY 200 O  K: x\r\nicy-name: a  Set-Cookie: b c\td \r\n\r\n");
}

#[test]
fn request() {
    let head = text(|out| {
        RequestWriter::new(out, Method::Get, "/a b\r\n?x=é", Version::Http11)
            .header("Host", "h")
            .content_length(0)
            .finish();
    });
    assert_eq!(head, "GET /a%20b%0D%0A?x=%C3%A9 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn chunk_heads_and_numbers() {
    for size in [1, 9, 10, 15, 16, 255, 256, 0x1234, 65_535, 65_536, usize::MAX] {
        assert_eq!(text(|out| write_chunk_head(size, out)), format!("{size:x}\r\n"));
    }
    for number in [0, 9, 10, 1_000_000, u64::MAX] {
        assert_eq!(text(|out| write_decimal(number, out)), number.to_string());
    }
    assert_eq!(LAST_CHUNK, b"0\r\n\r\n");
}

#[test]
fn percent_encoding_comes_back() {
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(percent_decode(percent_encode(&all).as_bytes()), all);
    assert_eq!(percent_decode(b"100%, %4 %zz %41"), &b"100%, %4 %zz A"[..]);
}
