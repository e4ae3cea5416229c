//! Connections' bytes that are near enough to HTTP to get far and wrong in every way a stranger can
//! think of. From a seed: the same everywhere.

use crate::message::Kind;

/// Whole requests, and bodies in chunks.
const REQUESTS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /a?b=c HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "HEAD /x HTTP/1.1\r\nHost: h:80\r\nAccept: */*\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    "DELETE /d HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    "PUT /m HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a;x=y\r\n0123456789\r\n",
    "A\r\n0123456789\r\n0\r\nT: u\r\n\r\n",
    "0\r\n\r\n",
    "00\r\nA: b\r\nC: d\r\n\r\n",
];

const RESPONSES: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.0 200 OK\r\n\r\nuntil the end",
    "HTTP/1.1 200\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.1 200 \r\nConnection: keep-alive\r\n\r\n",
    "3;x\r\nabc\r\n",
    "0\r\nT: u\r\n\r\n",
];

/// Pieces of heads.
const PIECES: &[&str] = &[
    "GET ",
    "POST ",
    "/m",
    "*",
    "http://h/x",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    "HTTP/1.1 200 OK\r\n",
    "Host: h\r\n",
    "Host:\r\n",
    "X:y\r\n",
    "X: \t y \t\r\n",
    "Y: a,b\r\n",
    "Content-Length: 3\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 03\r\n",
    "Content-Length: 3 \r\n",
    "Content-Length: +3\r\n",
    "Content-Length: 3, 3\r\n",
    "Content-Length: 3_0\r\n",
    "Content-Length:\r\n",
    "Content-Length: 18446744073709551615\r\n",
    "Content-Length: 18446744073709551616\r\n",
    "Content-Length : 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: Chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: chunked, gzip\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: chunked \r\n",
    "Transfer-Encoding:\tchunked\r\n",
    "Transfer-Encoding: \x0bchunked\r\n",
    "Transfer-Encoding: \"chunked\"\r\n",
    "Transfer-Encoding: chunked;q=1\r\n",
    "Transfer-Encoding:\r\n chunked\r\n",
    "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding: chunked,\r\n",
    "Transfer_Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Expect: 100-continue\r\n",
    " folded\r\n",
    "\r\n",
    "\n",
    "\r",
    ":",
    " ",
    "\t",
    "\0",
    "\x7f",
    "\u{e9}",
    "\"",
    ";",
    "0x",
    "5\r\n",
    "5 \r\n",
    "5\n",
    "ffffffffffffffff\r\n",
    "10000000000000000\r\n",
    "-1\r\n",
    "+1\r\n",
    "hello",
    "abc\r\n",
];

/// Inputs that chance meets too seldom.
pub fn rare(kind: Kind) -> &'static [&'static [u8]] {
    match kind {
        Kind::Requests => &[
            b"GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n\
              GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b:c\r\nhello",
            b"POST /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\t\r\n\r\n1\r\nx\r\n",
            b"\rGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            b"GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
              1\r\nx\r\nffffffffffffffff\r\nhello",
        ],
        Kind::Responses => &[
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b:c\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\
              Transfer-Encoding: \"chunked\"\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\
              Content-Length: 3_0\r\n\r\n",
            b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\t\r\n\r\n1\r\nx\r\n",
            b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000001\r\nx\r\n",
            b"HTTP/1.1 100 x\r\nConnection: close\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
            b"HTTP/1.3 204 x\r\n\r\n",
            b"HTTP/1.1 000 x\r\nContent-Length: 0\r\n\r\n",
        ],
    }
}

/// Xorshift.
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Draw {
        Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// The input with this number.
pub fn input(kind: Kind, number: u64) -> Vec<u8> {
    let mut draw = Draw::new(number + 1);
    let wholes = if kind == Kind::Requests { REQUESTS } else { RESPONSES };
    let mut bytes = Vec::new();
    for _ in 0..=draw.below(3) {
        bytes.extend_from_slice(wholes[draw.below(wholes.len())].as_bytes());
    }
    for _ in 0..draw.below(4) {
        let piece = PIECES[draw.below(PIECES.len())].as_bytes();
        // At the front of a line more often than anywhere: that is where lines are added.
        let lines = bytes.windows(2).enumerate().filter(|(_, pair)| *pair == b"\r\n");
        let starts: Vec<_> = lines.map(|(at, _)| at + 2).collect();
        let at = match draw.below(3) {
            0 => draw.below(bytes.len() + 1),
            _ => starts.get(draw.below(starts.len().max(1))).copied().unwrap_or(0),
        };
        match draw.below(3) {
            // In the place of what stands there,
            0 => {
                let end = (at + piece.len()).min(bytes.len());
                drop(bytes.splice(at..end, piece.iter().copied()));
            }
            // or before it.
            _ => drop(bytes.splice(at..at, piece.iter().copied())),
        }
    }
    for _ in 0..draw.below(3) / 2 {
        let at = draw.below(bytes.len().max(1));
        match (draw.below(3), at < bytes.len()) {
            (0, true) => bytes[at] ^= 1 << draw.below(8),
            (1, true) => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
    }
    bytes
}
