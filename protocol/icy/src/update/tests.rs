//! Title updates in every dialect that encoders use.

use super::*;

fn title(query: &str) -> Option<Title> {
    TitleUpdate::from_query(&format!("mode=updinfo&mount=/m&{query}")).unwrap().title
}

#[test]
fn requests_of_encoders() {
    let ezstream = "mode=updinfo&mount=%2fez%2emp3&charset=UTF%2d8&artist=Lab&title=Tone";
    let update = TitleUpdate::from_query(ezstream).unwrap();
    assert_eq!(update.mount, "/ez.mp3");
    assert_eq!(update.title, Some(Title::new("Lab - Tone")));
    let gstreamer = "mode=updinfo&charset=UTF-8&mount=%2fgst%2emp3&song=Unknown%20%2d%20Unknown";
    let update = TitleUpdate::from_query(gstreamer).unwrap();
    assert_eq!(update.title, Some(Title::new("Unknown - Unknown")));
}

#[test]
fn text_in_any_character_set() {
    let text = |query: &str| title(query).unwrap().text().to_owned();
    assert_eq!(text("song=Caf%C3%A9"), "Café", "undeclared UTF-8");
    assert_eq!(text("song=Caf%E9"), "Café", "undeclared Latin-1");
    assert_eq!(text("song=Caf%C3%A9&charset=UTF-8"), "Café");
    assert_eq!(text("song=Caf%E9&charset=ISO-8859-1"), "Café");
    assert_eq!(text("song=%F0%F2&charset=KOI8-R"), "ПР");
    assert_eq!(text("song=Caf%C3%A9&charset=nonsense"), "Café");
    assert_eq!(text("song=a+b%0d%0ac"), "a b  c");
}

#[test]
fn songs_artists_and_urls() {
    assert_eq!(title("song=S&artist=A&title=T"), Some(Title::new("S")));
    assert_eq!(title("artist=A"), Some(Title::new("A")));
    assert_eq!(title("title=T&url=http%3a%2f%2fu"), Some(Title::new("T").with_url("http://u")));
    assert_eq!(title("song="), Some(Title::default()));
    assert_eq!(title(""), None);
}

#[test]
fn what_is_missing_is_said_in_icecasts_words() {
    let error = |query| TitleUpdate::from_query(query).unwrap_err();
    assert_eq!(error("mount=/m&song=x"), UpdateError::MissingParameter);
    assert_eq!(error("mode=updinfo&song=x"), UpdateError::MissingMount);
    assert_eq!(error("mount=/m&mode=bogus&song=x"), UpdateError::NoSuchAction);
    let v1 = |query| V1TitleUpdate::from_query(query).unwrap_err();
    assert_eq!(v1("mode=updinfo&song=x"), UpdateError::MissingPassword);
    assert_eq!(v1("pass=p&mode=updinfo"), UpdateError::MissingParameter);
    assert_eq!(v1("pass=p&song=x"), UpdateError::MissingParameter);
    assert_eq!(v1("pass=p&mode=x&song=x"), UpdateError::NoSuchV1Action);
    assert_eq!((UpdateError::NoSuchAction.status(), v1("").status()), (200, 400));
    assert_eq!(v1("").message(), "missing pass parameter");
}

#[test]
fn v1_requests() {
    let update = V1TitleUpdate::from_query("pass=hack%6de&mode=updinfo&song=Hello").unwrap();
    assert_eq!((update.password.as_str(), update.mount.as_deref()), ("hackme", None));
    assert_eq!(update.title, Title::new("Hello"));
    assert!(!format!("{update:?}").contains("hackme"));
    let newer = V1TitleUpdate::from_query("pass=p&mode=updinfo&song=x&mount=%2fsc").unwrap();
    assert_eq!(newer.mount.as_deref(), Some("/sc"));
}
