//! Requests of WHIP and WHEP: tokens, methods, types.

use super::*;

const ID: &str = "00010123456789abcdef";

fn config() -> Config {
    let text = "[auth]\ntokens = [\"all\"]\n[rtc]\npublish_tokens = [\"encoder\"]\n\
                [[stream]]\nname = \"stage\"\npublish_token = \"own\"\nwatch_token = \"seat\"\n";
    Config::parse("f", text).expect("in order")
}

fn request<'a>(method: &'a str, path: &'a str, token: &'a str) -> Request<'a> {
    Request {
        method,
        path,
        authorization: (!token.is_empty()).then_some(token),
        content_type: Some("application/sdp; charset=utf-8"),
        if_match: None,
        body: b"v=0\r\n",
    }
}

fn status(request: &Request<'_>) -> u16 {
    match read(&config(), request) {
        Wish::Answered(answer) => answer.status,
        Wish::Open { .. } | Wish::Manage { .. } => 0,
    }
}

#[test]
fn a_token_opens_what_it_is_for() {
    let cases = [
        ("/whip/any", "", 401),
        ("/whip/any", "Bearer wrong", 401),
        ("/whip/any", "Basic encoder", 401),
        ("/whip/any", "bearer encoder", 0),
        ("/whip/any", "Bearer all", 0),
        ("/whip/stage", "Bearer encoder", 401),
        ("/whip/stage", "Bearer own", 0),
        ("/whep/any", "", 0),
        ("/whep/any", "Bearer whatever", 0),
        ("/whep/stage", "", 401),
        ("/whep/stage", "Bearer own", 401),
        ("/whep/stage", "Bearer seat", 0),
        ("/whep/stage", "Bearer all", 0),
    ];
    for (path, token, expected) in cases {
        assert_eq!(status(&request("POST", path, token)), expected, "{path} {token}");
    }
    let Wish::Answered(answer) = read(&config(), &request("POST", "/whip/any", "")) else {
        panic!("nobody may publish without a token");
    };
    assert!(answer.header("WWW-Authenticate").is_some_and(|it| it.starts_with("Bearer")));
}

#[test]
fn a_mount_is_fed_by_who_could_be_its_source() {
    let text = "[auth]\ntokens = [\"all\"]\n[rtc]\npublish_tokens = [\"encoder\"]\n\
                [credentials]\nsource_password = \"source\"\n\
                [[mount]]\nname = \"/own.opus\"\npassword = \"of its own\"\n\
                [[stream]]\nname = \"studio\"\nto_mount = \"/live.opus\"\n\
                [[stream]]\nname = \"own\"\nto_mount = \"/own.opus\"\n\
                [[stream]]\nname = \"desk\"\nto_mount = \"/desk.opus\"\npublish_token = \"desk\"\n\
                [[stream]]\nname = \"air\"\nfrom_mount = \"/live.opus\"\n\
                [workers]\nsources = [\"door=rtsp://camera/1\"]\n";
    let config = Config::parse("f", text).expect("in order");
    let cases = [
        ("studio", "source", 0),
        ("studio", "all", 0),
        ("studio", "encoder", 401),
        ("own", "of its own", 0),
        ("own", "source", 401),
        ("desk", "desk", 0),
        ("desk", "source", 401),
        ("air", "all", 403),
        ("door", "all", 403),
        ("any", "encoder", 0),
        ("any", "source", 401),
    ];
    for (name, token, expected) in cases {
        let may = may(&config, Role::Publish, name, Some(token));
        assert_eq!(may.map_or_else(|answer| answer.status, |_| 0), expected, "{name} {token}");
    }
    assert!(may(&config, Role::View, "air", None).is_ok(), "everybody hears it");
    let nobody = Config::parse("f", "[[stream]]\nname = \"s\"\nto_mount = \"/s\"\n").expect("ok");
    assert!(may(&nobody, Role::Publish, "s", Some("")).is_err(), "without a password nobody may");
}

#[test]
fn methods_and_paths_are_those_of_the_rfc() {
    let one = format!("/whip/any/{ID}");
    let cases = [
        ("GET", "/whip/any", 405),
        ("PUT", "/whip/any", 405),
        ("OPTIONS", "/whip/any", 204),
        ("DELETE", "/whip/any", 405),
        ("POST", one.as_str(), 405),
        ("GET", one.as_str(), 405),
        ("DELETE", one.as_str(), 0),
        ("PATCH", one.as_str(), 415),
        ("POST", "/whip/", 404),
        ("POST", "/whip/..", 404),
        ("POST", "/whip/a/b", 404),
        ("POST", "/other/a", 404),
        ("DELETE", "/whip/any/00010123456789abcdef/x", 404),
    ];
    for (method, path, expected) in cases {
        assert_eq!(status(&request(method, path, "Bearer all")), expected, "{method} {path}");
    }
}

#[test]
fn a_body_of_another_type_is_refused_with_the_right_one() {
    let plain = Request { content_type: None, ..request("POST", "/whip/any", "Bearer all") };
    let Wish::Answered(answer) = read(&config(), &plain) else { panic!("no offer") };
    assert_eq!((answer.status, answer.header("accept-post")), (415, Some("application/sdp")));
    let empty = Request { body: b" \r\n", ..request("POST", "/whip/any", "Bearer all") };
    assert_eq!(status(&empty), 400);
    let garbage = Request { body: &[0xff, 0xfe], ..request("POST", "/whip/any", "Bearer all") };
    assert_eq!(status(&garbage), 400);
}

#[test]
fn a_tag_matches_itself_and_the_star_matches_any() {
    for (header, expected) in
        [("\"abc\"", true), ("*", true), ("\"x\", \"abc\"", true), ("abc", false), ("\"x\"", false)]
    {
        assert_eq!(matches_tag(header, "abc"), expected, "{header}");
    }
}
