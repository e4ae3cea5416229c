//! Cross-origin requests as browsers ask for them (the Fetch standard's CORS protocol).
//!
//! A page that plays a stream and wants its titles sends `Icy-MetaData: 1`, which makes the browser
//! ask first: `OPTIONS` with `Access-Control-Request-Headers: icy-metadata`. A [`Preflight`] is
//! that question.

use crate::headers::{is_token_byte, list_items};
use crate::method::Method;
use crate::request::RequestHead;
use crate::write::ResponseWriter;

/// A browser's question whether a cross-origin request may be sent.
#[derive(Debug, Clone, Copy)]
pub struct Preflight<'b> {
    /// The asking page's origin.
    pub origin: &'b [u8],
    /// The method that it wants to use.
    pub method: Method<'b>,
    /// The headers that it wants to send, a comma-separated list; empty when none are special.
    pub headers: &'b [u8],
}

impl<'b> Preflight<'b> {
    /// The question in a request, if it is one: `OPTIONS` with `Origin` and
    /// `Access-Control-Request-Method`.
    pub fn from_head(head: &RequestHead<'b>) -> Option<Preflight<'b>> {
        if head.method != Method::Options {
            return None;
        }
        Some(Preflight {
            origin: head.headers.get("origin")?,
            method: Method::from_token(head.headers.get_str("access-control-request-method")?),
            headers: head.headers.get("access-control-request-headers").unwrap_or_default(),
        })
    }

    /// Writes the lines of the answer (to a 204) but `Access-Control-Allow-Origin`, which is the
    /// operator's: the `methods` allowed, the asked headers as far as they are names, and for how
    /// long the browser may remember it.
    pub fn answer(&self, response: &mut ResponseWriter<'_>, methods: &str, max_age_seconds: u64) {
        response.header("Access-Control-Allow-Methods", methods);
        if let Some(names) = self.allowed_headers() {
            response.header("Access-Control-Allow-Headers", names);
        }
        response.header_number("Access-Control-Max-Age", max_age_seconds);
    }

    /// The value of `Access-Control-Allow-Headers` that allows all that was asked for; `None` where
    /// nothing was, or something that is no name.
    pub fn allowed_headers(&self) -> Option<&'b str> {
        let are_names =
            list_items(self.headers).all(|item| item.iter().all(|byte| is_token_byte(*byte)));
        str::from_utf8(self.headers).ok().filter(|names| !names.is_empty() && are_names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, RequestDecoder, Status, Step, Version};

    #[test]
    fn titles_are_allowed() {
        let text = b"OPTIONS /live HTTP/1.1\r\nHost: h\r\nOrigin: https://o\r\n\
            Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: icy-metadata\r\n\r\n";
        let Ok(Step::Head { head, .. }) = RequestDecoder::new(Limits::default()).decode(text)
        else {
            panic!("no head")
        };
        let preflight = Preflight::from_head(&head).unwrap();
        assert_eq!((preflight.origin, preflight.method), (&b"https://o"[..], Method::Get));
        let mut out = Vec::new();
        let mut response = ResponseWriter::new(&mut out, Version::Http11, Status::NO_CONTENT);
        preflight.answer(&mut response, "GET, HEAD, OPTIONS", 600);
        response.finish();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n\
             Access-Control-Allow-Headers: icy-metadata\r\nAccess-Control-Max-Age: 600\r\n\r\n"
        );
    }

    #[test]
    fn plain_options_is_no_preflight() {
        let text = b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n";
        let Ok(Step::Head { head, .. }) = RequestDecoder::new(Limits::default()).decode(text)
        else {
            panic!("no head")
        };
        assert!(head.target.is_asterisk() && Preflight::from_head(&head).is_none());
    }
}
