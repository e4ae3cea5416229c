//! Forms in a request's body: which kind it is, and the pairs of the simple kind.

use crate::headers::Headers;
use crate::media_type::MediaType;
use crate::multipart::{MultipartDecoder, MultipartLimits};
use crate::query::Query;
use crate::status::{Refused, Status};

/// How a form is encoded, by its `Content-Type`.
#[derive(Debug)]
pub enum FormKind {
    /// `application/x-www-form-urlencoded`: collect the body, then [`form_pairs`].
    UrlEncoded,
    /// `multipart/form-data`: show the body to the decoder as it comes.
    Multipart(Box<MultipartDecoder>),
}

impl FormKind {
    /// What the header lines of a request say.
    ///
    /// # Errors
    ///
    /// 415 when the body is no form, 400 when `Content-Type` is repeated or has no usable boundary.
    pub fn of(headers: &Headers<'_>, limits: MultipartLimits) -> Result<FormKind, Refused> {
        let mut lines = headers.get_all("content-type");
        let value = lines.next().unwrap_or_default();
        if lines.next().is_some() {
            return Err(Refused::bad("Content-Type is repeated"));
        }
        const NO_FORM: Refused = Refused::new(Status::UNSUPPORTED_MEDIA_TYPE, "this is no form");
        let media_type = MediaType::parse(value).ok_or(NO_FORM)?;
        if media_type.is("application/x-www-form-urlencoded") {
            return Ok(FormKind::UrlEncoded);
        }
        if !media_type.is("multipart/form-data") {
            return Err(NO_FORM);
        }
        let boundary = media_type.parameter("boundary").unwrap_or_default();
        let decoder = MultipartDecoder::new(&boundary, limits)?;
        Ok(FormKind::Multipart(Box::new(decoder)))
    }
}

/// The pairs of a whole `application/x-www-form-urlencoded` body, of which there may be so many.
///
/// # Errors
///
/// 413 when there are more: each is a turn of somebody's loop.
pub fn form_pairs(body: &[u8], pairs_count_max: usize) -> Result<Query<'_>, Refused> {
    let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    if pairs.take(pairs_count_max.saturating_add(1)).count() > pairs_count_max {
        return Err(Refused::new(Status::CONTENT_TOO_LARGE, "the form has too many pairs"));
    }
    Ok(Query::new(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, RequestDecoder, Step};

    fn kind(lines: &str) -> Result<FormKind, Refused> {
        let text = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n{lines}\r\n");
        let mut decoder = RequestDecoder::new(Limits::default());
        match decoder.decode(text.as_bytes()) {
            Ok(Step::Head { head, .. }) => FormKind::of(&head.headers, MultipartLimits::default()),
            other => panic!("no head but {other:?}"),
        }
    }

    #[test]
    fn kinds() {
        let simple = "Content-Type: Application/x-www-form-urlencoded; charset=UTF-8\r\n";
        assert!(matches!(kind(simple), Ok(FormKind::UrlEncoded)));
        for line in [
            "Content-Type: multipart/form-data; boundary=abc\r\n",
            "Content-Type: multipart/form-data; charset=x; Boundary=\"a b\"\r\n",
        ] {
            assert!(matches!(kind(line), Ok(FormKind::Multipart(_))), "{line}");
        }
        for (line, status) in [
            ("", 415),
            ("Content-Type: text/plain\r\n", 415),
            ("Content-Type: multipart/mixed; boundary=abc\r\n", 415),
            ("Content-Type: multipart/form-data; boundary\r\n", 415),
            ("Content-Type: multipart/form-data\r\n", 400),
            ("Content-Type: multipart/form-data; boundary=\"\"\r\n", 400),
            ("Content-Type: text/plain\r\nContent-Type: text/plain\r\n", 400),
        ] {
            assert_eq!(kind(line).unwrap_err().status.0, status, "{line}");
        }
    }

    #[test]
    fn pairs_are_counted() {
        let pairs = form_pairs(b"a=1&&b=%20+", 2).unwrap();
        assert_eq!(pairs.get("b").as_deref(), Some(&b"  "[..]));
        assert_eq!(form_pairs(b"a&b&c", 2).unwrap_err().status.0, 413);
        assert!(form_pairs(b"", 0).is_ok() && form_pairs(b"a", usize::MAX).is_ok());
    }
}
