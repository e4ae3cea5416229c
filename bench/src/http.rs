//! The little HTTP that a bench needs on its own side: one request, one answer, blocking.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// The value of an `Authorization` header.
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Asks for `path` and reads the whole answer. For paths that end, not for streams.
pub(crate) fn get(address: SocketAddr, path: &str, authorization: &str) -> Result<String> {
    let mut stream = connect(address)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {authorization}\r\n\
         Connection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a head")?;
    match status_of(head.as_bytes()) {
        Some(200) => Ok(whole(head, body)),
        _ => bail!("{path}: {}", head.lines().next().unwrap_or_default()),
    }
}

/// Sends a body to `path`: the status of the answer, and its body.
pub(crate) fn post(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<(u16, String)> {
    let mut stream = connect(address)?;
    let mut head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a head")?;
    let status = status_of(head.as_bytes()).context("an answer without a status")?;
    Ok((status, whole(head, body)))
}

/// A body without the chunks that it came in. The bench's own side trusts its servers: what is not
/// chunked rightly is cut off.
fn whole(head: &str, body: &str) -> String {
    if header(head, "Transfer-Encoding").is_none() {
        return body.to_owned();
    }
    let (mut text, mut rest) = (String::new(), body);
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let Some(chunk) = after.get(..size).filter(|chunk| !chunk.is_empty()) else { break };
        text.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    text
}

/// The status of the answer to a `GET`, without its body.
pub(crate) fn status(address: SocketAddr, path: &str) -> Result<u16> {
    let mut stream = connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let head = read_head(&mut stream)?;
    status_of(&head).context("an answer without a status")
}

/// A connection that fails instead of waiting for ever.
pub(crate) fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads up to the end of a head, byte by byte so that nothing behind it is taken.
pub(crate) fn read_head(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 || head.len() > 16_384 {
            bail!("the answer has no whole head: {}", String::from_utf8_lossy(&head));
        }
        head.push(byte[0]);
    }
    Ok(head)
}

/// The status code of a head.
pub(crate) fn status_of(head: &[u8]) -> Option<u16> {
    let line = head.split(|&byte| byte == b'\r').next()?;
    std::str::from_utf8(line).ok()?.split(' ').nth(1)?.parse().ok()
}

/// The value of a header, found by its name in any case.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.filter(|(its, _)| its.trim().eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        let head = "HTTP/1.0 200 OK\r\nicy-metaint:16000\r\nServer: x\r\n";
        assert_eq!(status_of(head.as_bytes()), Some(200));
        assert_eq!(header(head, "Icy-MetaInt"), Some("16000"));
        assert_eq!(header(head, "icy"), None);
        assert_eq!(status_of(b"nonsense"), None);
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";
        assert_eq!(whole(chunked, "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"), "abcde");
        assert_eq!(whole(head, "2\r\nab"), "2\r\nab");
        assert_eq!(basic("a", "b"), "Basic YTpi");
    }
}
