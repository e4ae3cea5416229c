//! Requests of WHIP and WHEP.

use engine_config::Config;
use engine_rtc::whip::{self, Request, Wish};
use media_rtc::Role;

/// A request: method, path and header lines, a line each, then the body. What it asks for is looked
/// at; a wish is only for who may, and says what the request said.
pub fn request(data: &[u8]) {
    let text = "[auth]\ntokens = [\"t\"]\n[[stream]]\nname = \"own\"\nwatch_token = \"w\"\n";
    let config = Config::parse("f", text).expect("in order");
    let mut rest = data;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        std::str::from_utf8(line).unwrap_or_default()
    };
    let (method, path, authorization) = (line(), line(), line());
    let (content_type, if_match) = (line(), line());
    let some = |text| Some(text).filter(|text: &&str| !text.is_empty());
    let request = Request {
        method,
        path,
        authorization: some(authorization),
        content_type: some(content_type),
        if_match: some(if_match),
        body: rest,
    };
    match whip::read(&config, &request) {
        Wish::Answered(answer) => assert!((200..600).contains(&answer.status)),
        Wish::Open { role, name, offer, is_known } => {
            assert!(role == Role::View || is_known, "nobody publishes without a token");
            assert!(*name != *"own" || is_known, "nor watches what has one");
            assert_eq!(offer.as_bytes(), rest);
        }
        Wish::Manage { name, .. } => assert!(path.contains(&*name)),
    }
}
