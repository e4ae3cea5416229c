//! The pages for browsers, compiled into the server: what Vite built of this folder, with its
//! compressed variants. Nothing here reads a file or waits, so a shard answers for itself.
//!
//! | path | what |
//! |---|---|
//! | `/` | the pages, for who asks for `text/html` by name, as browsers do and tools do not |
//! | `/app`, `/app/…` | the pages; which one is theirs to say |
//! | `/assets/NAME` | scripts and styles, with a hash in the name: kept for ever |
//!
//! Everything else, and what there is no file for, is `None`: it is another's to answer. So a
//! server that was built without the pages has at `/` what it has always had, the radio's plain
//! status page, and says at `/app` how they are built.
//!
//! *Invariant:* every answer has a strong entity tag of exactly the bytes that are sent.

use protocol_http::{
    ByteRange, ContentCoding, Method, RequestHead, Selection, Status, Validators, choose_coding,
    write_unsatisfied_range,
};

/// One file.
#[derive(Debug)]
pub struct Asset {
    path: &'static str,
    content_type: &'static str,
    is_immutable: bool,
    variants: &'static [Variant],
}

/// One file in one coding.
#[derive(Debug)]
pub struct Variant {
    coding: ContentCoding,
    etag: &'static str,
    bytes: &'static [u8],
}

/// What a request is answered with. `Server`, `Date`, the length and what becomes of the connection
/// are the server's to add, and to `HEAD` it sends only the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: Status,
    /// Header lines.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: &'static [u8],
}

/// In the order of their paths.
static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

const INDEX: &str = "/index.html";

/// Only what this server sends runs, and nobody else frames it. Pictures and sound may also come
/// from the page itself: a camera's, or a canvas's.
const POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; \
                      object-src 'none'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'self'";

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
    <title>Skywave</title><h1>The pages are not in this build</h1>\
    <p>The server was built without them. <code>./scripts/run</code> builds them; by hand it is \
    <code>npm ci &amp;&amp; npm run build</code> in <code>engine/web</code>, then cargo again.</p>\
    <p><a href=\"/status.xsl\">The radio's status page</a> is here all the same.</p></html>\n";

static PLACEHOLDER: Asset = Asset {
    path: INDEX,
    content_type: "text/html; charset=utf-8",
    is_immutable: false,
    variants: &[Variant {
        coding: ContentCoding::Identity,
        etag: "\"not-built\"",
        bytes: NOT_BUILT.as_bytes(),
    }],
};

/// Whether the pages are in this build.
pub fn is_built() -> bool {
    find(ASSETS, INDEX).is_some()
}

/// Answers a request whose decoded path is this; `None` where it is not for the pages.
pub fn answer(head: &RequestHead<'_>, path: &str) -> Option<Answer> {
    if !matches!(head.method, Method::Get | Method::Head) {
        return None;
    }
    asset_for(ASSETS, path, || wants_page(head)).map(|asset| asset.answer(head))
}

fn find(assets: &'static [Asset], path: &str) -> Option<&'static Asset> {
    let at = assets.binary_search_by(|asset| asset.path.cmp(path)).ok()?;
    Some(&assets[at])
}

fn asset_for(
    assets: &'static [Asset],
    path: &str,
    wants_page: impl FnOnce() -> bool,
) -> Option<&'static Asset> {
    match path {
        "/" => find(assets, INDEX).filter(|_| wants_page()),
        "/app" => Some(find(assets, INDEX).unwrap_or(&PLACEHOLDER)),
        _ if path.starts_with("/app/") => Some(find(assets, INDEX).unwrap_or(&PLACEHOLDER)),
        _ if path.starts_with("/assets/") => find(assets, path),
        _ => None,
    }
}

/// Browsers name `text/html` when they go to a page. Tools that read `/` say `*/*` or nothing.
fn wants_page(head: &RequestHead<'_>) -> bool {
    head.headers.get_all("accept").any(|value| {
        let mut items = value.split(|byte| matches!(byte, b',' | b';'));
        items.any(|item| item.trim_ascii().eq_ignore_ascii_case(b"text/html"))
    })
}

impl Asset {
    /// Answers with this file, or with as much of it as is wanted.
    fn answer(&self, head: &RequestHead<'_>) -> Answer {
        let codings = Codings::of(self.variants);
        // Whoever rules out every coding gets the plain file: it is better than nothing (§12.5.3).
        let coding =
            choose_coding(&head.headers, codings.as_slice()).unwrap_or(ContentCoding::Identity);
        let plain = self.variants.last().expect("the plain variant is always there");
        let variant =
            self.variants.iter().find(|variant| variant.coding == coding).unwrap_or(plain);
        let length_bytes = variant.bytes.len() as u64;
        let validators = Validators { etag: Some(variant.etag), modified_unix_seconds: None };
        match Selection::of(head.method, &head.headers, validators, length_bytes) {
            Selection::NotModified => self.without_body(variant, Status::NOT_MODIFIED),
            Selection::ConditionFailed => self.without_body(variant, Status::PRECONDITION_FAILED),
            Selection::Unsatisfiable => {
                let mut value = Vec::new();
                write_unsatisfied_range(length_bytes, &mut value);
                let value = String::from_utf8_lossy(&value).into_owned();
                self.without_body(variant, Status::RANGE_NOT_SATISFIABLE)
                    .with("Content-Range", value)
            }
            Selection::Part(ByteRange { first, last }) => self
                .with_body(variant, Status::PARTIAL_CONTENT)
                .with("Content-Range", format!("bytes {first}-{last}/{length_bytes}"))
                .cut(first as usize, last as usize),
            // Several parts of a script are nobody's need: the whole is as good an answer.
            Selection::Whole | Selection::Parts(_) => self.with_body(variant, Status::OK),
        }
    }

    /// What every answer about this file says, whatever it comes to.
    fn without_body(&self, variant: &Variant, status: Status) -> Answer {
        let may_be_kept = match self.is_immutable {
            true => "public, max-age=31536000, immutable",
            false => "no-cache",
        };
        // `/` is another page for tools.
        let varies = match self.path {
            INDEX => "Accept, Accept-Encoding",
            _ => "Accept-Encoding",
        };
        Answer { status, headers: Vec::with_capacity(8), body: &[] }
            .with("ETag", variant.etag)
            .with("Vary", varies)
            .with("Cache-Control", may_be_kept)
            .with("X-Content-Type-Options", "nosniff")
    }

    fn with_body(&self, variant: &Variant, status: Status) -> Answer {
        let mut answer = self
            .without_body(variant, status)
            .with("Content-Type", self.content_type)
            .with("Accept-Ranges", "bytes");
        if let Some(token) = variant.coding.token() {
            answer = answer.with("Content-Encoding", token);
        }
        if self.path == INDEX {
            answer = answer.with("Content-Security-Policy", POLICY);
            answer = answer.with("Referrer-Policy", "same-origin");
        }
        Answer { body: variant.bytes, ..answer }
    }
}

impl Answer {
    fn with(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }

    /// The same with only these bytes of the body; `last` is one of them.
    fn cut(self, first: usize, last: usize) -> Answer {
        Answer { body: &self.body[first..=last], ..self }
    }
}

/// The codings of a file, without asking for memory.
struct Codings {
    list: [ContentCoding; 3],
    count: usize,
}

impl Codings {
    fn of(variants: &[Variant]) -> Codings {
        let mut codings = Codings { list: ContentCoding::ALL, count: 0 };
        for (place, variant) in codings.list.iter_mut().zip(variants) {
            *place = variant.coding;
            codings.count += 1;
        }
        codings
    }

    fn as_slice(&self) -> &[ContentCoding] {
        &self.list[..self.count]
    }
}

#[cfg(test)]
mod tests;
