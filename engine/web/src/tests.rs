//! Answers over a table of two files, and over whatever this build has.

use super::*;
use protocol_http::{Limits, RequestDecoder, Step};

static TABLE: &[Asset] = &[
    Asset {
        path: "/assets/app-1.js",
        content_type: "text/javascript; charset=utf-8",
        is_immutable: true,
        variants: &[
            Variant { coding: ContentCoding::Brotli, etag: "\"b\"", bytes: b"br" },
            Variant { coding: ContentCoding::Gzip, etag: "\"g\"", bytes: b"gzip" },
            Variant { coding: ContentCoding::Identity, etag: "\"i\"", bytes: b"identity" },
        ],
    },
    Asset {
        path: "/index.html",
        content_type: "text/html; charset=utf-8",
        is_immutable: false,
        variants: &[Variant {
            coding: ContentCoding::Identity,
            etag: "\"p\"",
            bytes: b"<!doctype html>",
        }],
    },
];

fn ask_of(table: &'static [Asset], method: &str, path: &str, lines: &str) -> Option<Answer> {
    let text = format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
    let mut decoder = RequestDecoder::new(Limits::default());
    let Ok(Step::Head { head, .. }) = decoder.decode(text.as_bytes()) else {
        panic!("no head: {text}")
    };
    Some(asset_for(table, path, || wants_page(&head))?.answer(&head))
}

fn ask(method: &str, path: &str, lines: &str) -> Option<Answer> {
    ask_of(TABLE, method, path, lines)
}

fn line<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let found = answer.headers.iter().find(|(key, _)| *key == name);
    found.map(|(_, value)| value.as_str())
}

#[test]
fn the_smallest_variant_that_is_accepted_is_sent() {
    let cases = [
        ("", None, "identity", "\"i\""),
        ("Accept-Encoding: gzip, deflate, br, zstd\r\n", Some("br"), "br", "\"b\""),
        ("Accept-Encoding: gzip\r\n", Some("gzip"), "gzip", "\"g\""),
        ("Accept-Encoding: br;q=0.1, gzip\r\n", Some("gzip"), "gzip", "\"g\""),
        ("Accept-Encoding: identity;q=0, *;q=0\r\n", None, "identity", "\"i\""),
    ];
    for (lines, coding, expected, etag) in cases {
        let answer = ask("GET", "/assets/app-1.js", lines).expect("it is there");
        assert_eq!((answer.status, answer.body), (Status::OK, expected.as_bytes()), "{lines}");
        assert_eq!(line(&answer, "Content-Encoding"), coding);
        assert_eq!(line(&answer, "ETag"), Some(etag));
        assert_eq!(line(&answer, "Vary"), Some("Accept-Encoding"));
        assert!(line(&answer, "Cache-Control").expect("a line").contains("immutable"));
    }
}

#[test]
fn what_is_known_is_not_sent_again() {
    let lines = "If-None-Match: \"b\"\r\nAccept-Encoding: br\r\n";
    let answer = ask("GET", "/assets/app-1.js", lines).expect("it is there");
    assert_eq!((answer.status, answer.body), (Status::NOT_MODIFIED, &b""[..]));
    assert_eq!(line(&answer, "ETag"), Some("\"b\""));
    // Of another variant it is not the same.
    let lines = "If-None-Match: \"b\"\r\nAccept-Encoding: gzip\r\n";
    assert_eq!(ask("GET", "/assets/app-1.js", lines).expect("it is there").status, Status::OK);
}

#[test]
fn ranges_are_of_the_variant() {
    let answer = ask("GET", "/assets/app-1.js", "Range: bytes=2-\r\n").expect("it is there");
    assert_eq!((answer.status, answer.body), (Status::PARTIAL_CONTENT, &b"entity"[..]));
    assert_eq!(line(&answer, "Content-Range"), Some("bytes 2-7/8"));
    let answer = ask("GET", "/assets/app-1.js", "Range: bytes=9-\r\n").expect("it is there");
    assert_eq!((answer.status, answer.body), (Status::RANGE_NOT_SATISFIABLE, &b""[..]));
    assert_eq!(line(&answer, "Content-Range"), Some("bytes */8"));
}

#[test]
fn browsers_get_the_pages_at_the_root_and_tools_do_not() {
    let browser = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    let answer = ask("GET", "/", browser).expect("a browser's");
    assert_eq!((answer.status, answer.body), (Status::OK, &b"<!doctype html>"[..]));
    assert_eq!(line(&answer, "Cache-Control"), Some("no-cache"));
    assert_eq!(line(&answer, "Vary"), Some("Accept, Accept-Encoding"));
    assert!(line(&answer, "Content-Security-Policy").is_some());
    for tools in ["", "Accept: */*\r\n", "Accept: application/json\r\n"] {
        assert_eq!(ask("GET", "/", tools), None, "{tools}");
    }
}

#[test]
fn deep_links_are_the_pages_and_what_is_missing_is_anothers() {
    for path in ["/app", "/app/watch/garden", "/app/a.js"] {
        assert_eq!(ask("GET", path, "").expect("the pages").body, b"<!doctype html>", "{path}");
    }
    for path in ["/assets/none.js", "/assets/../index.html", "/index.html", "/application", "/x"] {
        assert_eq!(ask("GET", path, ""), None, "{path}");
    }
}

#[test]
fn a_build_without_pages_says_so() {
    let answer = ask_of(&[], "GET", "/app/watch", "").expect("a page");
    assert_eq!(answer.status, Status::OK);
    assert!(String::from_utf8_lossy(answer.body).contains("npm run build"));
    assert_eq!(ask_of(&[], "GET", "/", "Accept: text/html\r\n"), None);
}

#[test]
fn this_builds_table_is_in_order() {
    assert!(ASSETS.is_sorted_by(|a, b| a.path < b.path), "it is searched by halves");
    for asset in ASSETS {
        let last = asset.variants.last().expect("a variant");
        assert_eq!(last.coding, ContentCoding::Identity, "{}", asset.path);
        assert!(asset.variants.iter().all(|it| it.etag.len() == 26), "{}", asset.path);
    }
    assert_eq!(is_built(), ASSETS.iter().any(|asset| asset.path == INDEX));
}
