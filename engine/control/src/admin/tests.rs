//! Requests as encoders, browsers and operators send them, and what they come to.

use base64::Engine as _;

use super::*;

fn request(method: &str, target: &str) -> ForwardedRequest {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    ForwardedRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        query,
        headers: Vec::new(),
        body: Vec::new(),
        peer: "192.0.2.1:4000".parse().unwrap(),
        is_secure: false,
    }
}

fn get(target: &str) -> Result<Command, AdminError> {
    parse(&request("GET", target))
}

fn live() -> String {
    "/live.mp3".to_owned()
}

#[test]
fn each_page_and_command_is_known() {
    let table = [
        ("/", Command::StatusPage),
        ("/status.xsl", Command::StatusPage),
        ("/server_version.xsl", Command::VersionPage),
        ("/status-json.xsl", Command::StatusJson { mount: None }),
        ("/status-json.xsl?mount=/live.mp3", Command::StatusJson { mount: Some(live()) }),
        ("/metrics", Command::Metrics),
        ("/health", Command::Health),
        ("/ready", Command::Ready),
        ("/admin", Command::Stats { mount: None }),
        ("/admin/", Command::Stats { mount: None }),
        ("/admin/stats", Command::Stats { mount: None }),
        ("/admin/stats.xml", Command::Stats { mount: None }),
        ("/admin/stats.xsl?mount=%2Flive.mp3", Command::Stats { mount: Some(live()) }),
        ("/admin/listmounts", Command::ListMounts),
        ("/admin/listmounts.xsl", Command::ListMounts),
        ("/admin/streamlist", Command::StreamList),
        ("/admin/streamlist.txt", Command::StreamList),
        ("/admin/listclients?mount=/live.mp3", Command::ListClients { mount: live() }),
        ("/admin/listclients.xsl?mount=/live.mp3", Command::ListClients { mount: live() }),
        ("/admin/killclient?mount=/live.mp3&id=44", Command::KillClient { mount: live(), id: 44 }),
        ("/admin/killclient?mount=/live.mp3&id=x", Command::KillClient { mount: live(), id: 0 }),
        ("/admin/killsource?mount=/live.mp3", Command::KillSource { mount: live() }),
        ("/admin/moveclients?mount=/live.mp3", Command::MoveClientsForm { mount: live() }),
        (
            "/admin/moveclients?mount=/live.mp3&destination=/b",
            Command::MoveClients { from: live(), to: "/b".to_owned() },
        ),
        (
            "/admin/fallbacks?mount=/live.mp3&fallback=/b",
            Command::Fallbacks { mount: live(), fallback: Some("/b".to_owned()) },
        ),
        (
            "/admin/fallbacks?mount=/live.mp3&fallback=",
            Command::Fallbacks { mount: live(), fallback: None },
        ),
        ("/admin/updatemetadata?mount=/live.mp3", Command::UpdateTitleForm { mount: live() }),
        ("/live.mp3.m3u", Command::Playlist { mount: live(), kind: Playlist::M3u }),
        ("/live.mp3.pls", Command::Playlist { mount: live(), kind: Playlist::Pls }),
        ("/live.mp3.xspf", Command::Playlist { mount: live(), kind: Playlist::Xspf }),
        ("/live.mp3.vclt", Command::Playlist { mount: live(), kind: Playlist::Vclt }),
        ("/nosuch.mp3", Command::NotFound),
        ("/favicon.ico", Command::NotFound),
        ("", Command::NotFound),
        ("*", Command::NotFound),
    ];
    for (target, command) in table {
        assert_eq!(get(target), Ok(command), "{target}");
    }
}

#[test]
fn what_is_wrong_is_told_in_icecasts_words() {
    let table = [
        ("/admin/bogus", 400, "Unrecognised command"),
        ("/admin/!POKE", 400, "Unrecognised command"),
        ("/admin/stats.txt", 400, "Unrecognised command"),
        ("/admin/killclient?mount=/live.mp3", 400, "Missing parameter"),
        ("/admin/fallbacks?mount=/live.mp3", 400, "Missing parameter"),
        ("/admin/buildm3u?mount=/live.mp3&username=bob", 400, "Missing parameter"),
        ("/admin/metadata?mount=/live.mp3&song=Foo", 400, "Missing parameter"),
        ("/admin/metadata?mount=/live.mp3&mode=bogus&song=Foo", 200, "No such action"),
        ("/admin/listclients", 400, "Unknown admin request"),
        ("/admin/listclients?mount=", 400, "Unknown admin request"),
        ("/admin/listclients?mount=/a%0d%0ab", 400, "Unknown admin request"),
        ("/admin/listclients?mount=%ff", 400, "Unknown admin request"),
        ("/admin.cgi?mode=updinfo&song=x", 400, "missing pass parameter"),
        ("/admin.cgi?pass=p&song=x", 400, "Missing parameter"),
        ("/admin.cgi", 400, "missing pass parameter"),
    ];
    let answers = Answers { server: "S", unix_seconds: 0, extra_headers: &[] };
    for (target, status, words) in table {
        let error = get(target).expect_err(target);
        let answer = String::from_utf8(error.answer(&answers)).unwrap();
        assert_eq!(error.status(), status, "{target}");
        assert!(answer.starts_with(&format!("HTTP/1.0 {status} ")), "{target}: {answer}");
        assert!(answer.contains(words), "{target}: {answer}");
    }
}

#[test]
fn titles_come_in_both_dialects() {
    let Ok(Command::UpdateTitle(update)) =
        get("/admin/metadata?mode=updinfo&mount=%2flive.mp3&charset=UTF-8&song=A%20-%20B%26")
    else {
        panic!("no update")
    };
    assert_eq!((update.mount.as_str(), update.title.unwrap().text()), ("/live.mp3", "A - B&"));

    let Ok(Command::UpdateTitleV1(update)) = get("/admin.cgi?pass=hackme&mode=updinfo&song=Hello")
    else {
        panic!("no update")
    };
    assert_eq!(update.mount, None);
    assert_eq!((update.password.as_str(), update.title.text()), ("hackme", "Hello"));
}

#[test]
fn a_form_adds_to_the_query() {
    let mut post = request("POST", "/admin/killclient?mount=/live.mp3");
    post.body = b"id=7&mount=/other".to_vec();
    let expected = Ok(Command::KillClient { mount: live(), id: 7 });
    assert_eq!(parse(&post), expected);
    post.headers.push(("content-type".to_owned(), format!("{FORM}; charset=utf-8")));
    assert_eq!(parse(&post), expected);
    post.headers[0].1 = "application/json".to_owned();
    assert_eq!(parse(&post), Err(AdminError::MissingParameter));
}

#[test]
fn only_get_and_post_change_anything() {
    let kill = "/admin/killsource?mount=/live.mp3";
    assert_eq!(parse(&request("HEAD", kill)), Err(AdminError::Method));
    assert_eq!(parse(&request("DELETE", kill)), Err(AdminError::Method));
    assert_eq!(parse(&request("STATS", "/")), Err(AdminError::Method));
    assert!(parse(&request("POST", kill)).is_ok());
    assert_eq!(parse(&request("HEAD", "/health")), Ok(Command::Health));
    assert!(is_head(&request("HEAD", "/health")));
}

#[test]
fn another_site_changes_nothing() {
    let mut request = request("GET", "/admin/killsource?mount=/live.mp3");
    request.headers.push(("sec-fetch-site".to_owned(), "cross-site".to_owned()));
    assert_eq!(parse(&request), Err(AdminError::CrossSite));
    assert_eq!(AdminError::CrossSite.status(), 403);
    request.path = "/status-json.xsl".to_owned();
    assert!(parse(&request).is_ok());
    request.path = "/admin/killsource".to_owned();
    request.headers[0].1 = "same-origin".to_owned();
    assert!(parse(&request).is_ok());
}

#[test]
fn each_command_has_its_authority() {
    let of_live = Authority::AdminOrSourceOf("/live.mp3");
    let table = [
        ("/", Authority::Public),
        ("/status-json.xsl", Authority::Public),
        ("/metrics", Authority::Public),
        ("/health", Authority::Public),
        ("/live.mp3.m3u", Authority::Public),
        ("/nosuch", Authority::Public),
        ("/admin/buildm3u?mount=/live.mp3&username=u&password=p", Authority::Public),
        ("/admin/stats", Authority::Admin),
        ("/admin/stats?mount=/live.mp3", Authority::Admin),
        ("/admin/listmounts", Authority::Admin),
        ("/admin/streamlist.txt", Authority::Relay),
        ("/admin/listclients?mount=/live.mp3", of_live),
        ("/admin/killclient?mount=/live.mp3&id=1", of_live),
        ("/admin/killsource?mount=/live.mp3", of_live),
        ("/admin/moveclients?mount=/live.mp3", of_live),
        ("/admin/moveclients?mount=/live.mp3&destination=/x", of_live),
        ("/admin/fallbacks?mount=/live.mp3&fallback=/x", of_live),
        ("/admin/metadata?mount=/live.mp3&mode=updinfo&song=x", of_live),
        ("/admin/updatemetadata?mount=/live.mp3", of_live),
        ("/admin.cgi?pass=p&mode=updinfo&song=x", Authority::PasswordInside),
    ];
    for (target, expected) in table {
        assert_eq!(authority(&get(target).unwrap()), expected, "{target}");
    }
}

#[test]
fn pages_are_for_people() {
    for (target, expected) in [
        ("/admin/", true),
        ("/admin/stats.xsl", true),
        ("/admin/listclients.xsl", true),
        ("/admin/stats", false),
        ("/admin/stats.xml", false),
    ] {
        assert_eq!(wants_page(&request("GET", target)), expected, "{target}");
    }
}

#[test]
fn basic_credentials_are_found() {
    let mut request = request("GET", "/admin/stats");
    assert!(credentials_of(&request).is_none());
    let encoded = base64::engine::general_purpose::STANDARD.encode("admin:hack:me");
    request.headers.push(("authorization".to_owned(), format!("basic {encoded}")));
    let credentials = credentials_of(&request).unwrap();
    assert_eq!((&*credentials.user, &*credentials.password), ("admin", "hack:me"));
    for broken in ["Basic ???", "Bearer x", "Basic", "", "Basic Og"] {
        request.headers[0].1 = broken.to_owned();
        let found = credentials_of(&request).map(|c| c.user + &c.password);
        assert!(found.is_none_or(|found| found.is_empty()), "{broken}");
    }
}

#[test]
fn no_text_makes_it_panic() {
    let pieces =
        ["/admin/", "metadata", "?mount=", "%", "%00", "&&=&", ".xsl", ".m3u", "é", "/..", "?", ""];
    for a in pieces {
        for b in pieces {
            for c in pieces {
                let _ = get(&format!("{a}{b}{c}"));
                let mut post = request("POST", &format!("{a}{b}"));
                post.body = c.as_bytes().to_vec();
                let _ = parse(&post);
            }
        }
    }
}
