//! Whether HTTP answers are what they should be.
//!
//! The first head of a server is parsed with `httparse` and looked at closely. A head that then
//! comes with the very same bytes needs no second look; one that differs (its `Date` has moved on)
//! is parsed again. Every byte of every body is compared.

/// Longest head that is accepted.
const HEAD_BYTES_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;

/// What must come, and the last head that was right.
pub(crate) struct Answers {
    body: Vec<u8>,
    has_date: bool,
    is_last: bool,
    known_head: Vec<u8>,
}

/// How far one connection is in its answers.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// A head that is not complete.
    head: Vec<u8>,
    /// Bytes of the body so far, once the head is complete.
    body_at: Option<usize>,
}

impl Answers {
    /// Answers with this body; `is_last` if the connection ends behind each.
    pub(crate) fn new(body: Vec<u8>, has_date: bool, is_last: bool) -> Self {
        Answers { body, has_date, is_last, known_head: Vec::new() }
    }

    /// Takes received bytes; says how many answers they complete.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn take(
        &mut self,
        progress: &mut Progress,
        mut bytes: &[u8],
    ) -> Result<usize, String> {
        let mut complete = 0;
        loop {
            if let Some(at) = progress.body_at {
                let length = bytes.len().min(self.body.len() - at);
                if bytes[..length] != self.body[at..at + length] {
                    return Err(format!("the body differs behind byte {at}"));
                }
                bytes = &bytes[length..];
                if at + length < self.body.len() {
                    progress.body_at = Some(at + length);
                    return Ok(complete);
                }
                progress.body_at = None;
                complete += 1;
            }
            if bytes.is_empty() {
                return Ok(complete);
            }
            let known = &self.known_head;
            if progress.head.is_empty() && !known.is_empty() && bytes.starts_with(known) {
                bytes = &bytes[known.len()..];
                progress.body_at = Some(0);
                continue;
            }
            match self.take_head(progress, bytes)? {
                Some(used) => bytes = &bytes[used..],
                None => return Ok(complete),
            }
        }
    }

    /// Collects a head; says how many of the bytes belong to it when it is complete.
    fn take_head(
        &mut self,
        progress: &mut Progress,
        bytes: &[u8],
    ) -> Result<Option<usize>, String> {
        let before = progress.head.len();
        progress.head.extend_from_slice(&bytes[..bytes.len().min(HEAD_BYTES_MAX)]);
        let Some(end) = progress.head.windows(4).position(|four| four == b"\r\n\r\n") else {
            let too_long = progress.head.len() >= HEAD_BYTES_MAX;
            return if too_long { Err("a head has no end".into()) } else { Ok(None) };
        };
        progress.head.truncate(end + 4);
        self.look_at(&progress.head)?;
        std::mem::swap(&mut self.known_head, &mut progress.head);
        progress.head.clear();
        progress.body_at = Some(0);
        Ok(Some(end + 4 - before))
    }

    fn look_at(&self, head: &[u8]) -> Result<(), String> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        response.parse(head).map_err(|error| format!("a head that is none: {error}"))?;
        if (response.version, response.code) != (Some(1), Some(200)) {
            let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
            return Err(String::from_utf8_lossy(line).into_owned());
        }
        let values = |name: &'static str| {
            let same = move |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(name);
            response.headers.iter().filter(same).map(|header| header.value)
        };
        let lengths: Vec<&[u8]> = values("content-length").collect();
        if lengths != [self.body.len().to_string().as_bytes()] {
            return Err(format!("{} lengths, none or not {}", lengths.len(), self.body.len()));
        }
        if values("transfer-encoding").next().is_some() {
            return Err("a length and a transfer coding".into());
        }
        if self.has_date {
            let dates: Vec<&[u8]> = values("date").collect();
            // IMF-fixdate (RFC 9110 §5.6.7) has 29 bytes.
            if !matches!(dates[..], [date] if date.len() == 29 && date.ends_with(b" GMT")) {
                return Err("no date, or a strange one".into());
            }
        }
        let closes = values("connection").any(|value| value.eq_ignore_ascii_case(b"close"));
        if closes && !self.is_last {
            return Err("the server wants to close".into());
        }
        Ok(())
    }
}

impl Progress {
    /// Whether no answer is half there.
    pub(crate) fn is_between(&self) -> bool {
        self.head.is_empty() && self.body_at.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";

    fn stream(times: usize) -> Vec<u8> {
        [HEAD, b"abc"].concat().repeat(times)
    }

    #[test]
    fn answers_are_counted_however_they_are_cut() {
        let bytes = stream(5);
        for piece in 1..=bytes.len() {
            let mut answers = Answers::new(b"abc".to_vec(), false, false);
            let mut progress = Progress::default();
            let count: usize =
                bytes.chunks(piece).map(|part| answers.take(&mut progress, part).unwrap()).sum();
            assert_eq!((count, progress.is_between()), (5, true), "pieces of {piece}");
        }
    }

    #[test]
    fn wrong_answers_are_found() {
        let take = |bytes: &[u8], has_date: bool| {
            let mut answers = Answers::new(b"abc".to_vec(), has_date, false);
            answers.take(&mut Progress::default(), bytes)
        };
        assert_eq!(take(&stream(2), false), Ok(2));
        let wrong_body = [&stream(1)[..], HEAD, b"abd"].concat();
        assert!(take(&wrong_body, false).is_err());
        assert!(take(b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc", false).is_err());
        assert!(take(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd", false).is_err());
        assert!(take(b"HTTP/1.1 200 OK\r\n\r\nabc", false).is_err());
        assert!(take(b"nonsense\r\n\r\n", false).is_err());
        assert!(take(&stream(1), true).is_err(), "a date is missing");
        let closing = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
        assert!(take(closing, false).is_err());
        // Bytes that belong to no answer begin a head that is wrong.
        assert!(take(&[&stream(1)[..], b"x\r\n\r\n"].concat(), false).is_err());
        assert!(take(&vec![b'x'; HEAD_BYTES_MAX + 1], false).is_err());
    }
}
