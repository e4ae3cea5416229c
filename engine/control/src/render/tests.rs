//! The renderings against the shapes that Icecast 2.4.4 was seen to answer.

use std::time::Duration;

use engine_node::{Counters, ListenerRow, ShardStats};
use hdrhistogram::Histogram;
use protocol_icy::{Answers, Credentials, Playlist, StreamInfo, Title};
use serde_json::Value;

use super::*;
use crate::view::{ControlCounters, MountView, SourceView, View};

mod metrics_text;

/// 00:09:13 on 21 November 2026, when the server of the captures started.
const START: Duration = Duration::from_secs(1_795_219_753);

fn view(mounts: Vec<MountView>) -> View {
    let counters = Counters {
        connections: 6,
        listener_connections: 1,
        source_connections: 2,
        ..Counters::default()
    };
    View {
        server_id: "Icecast 2.4.4".into(),
        hostname: "localhost".into(),
        port: 8000,
        location: "Lab".into(),
        admin_contact: "lab@localhost".into(),
        started: START,
        now: START + Duration::from_secs(11),
        extra_headers: vec![("Access-Control-Allow-Origin".into(), "*".into())],
        counters,
        shards: vec![shard(3, 1)],
        control: ControlCounters::default(),
        mounts,
    }
}

fn shard(clients_count: u64, listeners_count: u64) -> ShardStats {
    ShardStats {
        counters: Counters::default(),
        tick_us: Histogram::new_with_bounds(1, 10_000_000, 2).unwrap(),
        ticks_count: 0,
        busy_us: 0,
        io: Default::default(),
        clients_count,
        listeners_count,
        sources_count: 0,
        window_bytes: 0,
        sessions: Vec::new(),
        turn: None,
        symple: None,
        rtc: None,
        homes: Vec::new(),
    }
}

fn mount(name: &str, source: Option<SourceView>) -> MountView {
    MountView {
        name: name.into(),
        hidden: false,
        fallback: None,
        listeners_max: None,
        on_demand: false,
        listeners_count: 0,
        listeners_peak: 0,
        source,
    }
}

fn source(content_type: &str) -> SourceView {
    SourceView {
        content_type: content_type.into(),
        info: StreamInfo::default(),
        title: None,
        audio: None,
        peer: "[::ffff:127.0.0.1]:4000".parse().unwrap(),
        agent: Some("Lavf/59.27.100".into()),
        is_pull: false,
        started: START + Duration::from_secs(2),
        bytes_read: 67_200,
        bytes_sent: 0,
        slow_listeners: 0,
    }
}

fn mp3(title: Option<&str>) -> MountView {
    let info = StreamInfo {
        name: Some("N1".into()),
        description: Some("D\"1\\x".into()),
        url: Some("http://u/".into()),
        genre: Some("G1".into()),
        public: Some(true),
        ..StreamInfo::default()
    };
    let audio = Some(("MP3".into(), 44_100, 2, 128));
    let source = SourceView { info, title: title.map(Title::new), audio, ..source("audio/mpeg") };
    let heard = u64::from(title.is_some());
    MountView { listeners_count: heard, listeners_peak: heard, ..mount("/live.mp3", Some(source)) }
}

fn ogg() -> MountView {
    let source = SourceView {
        title: Some(Title::new("Lab - Tone")),
        audio: Some(("Vorbis".into(), 44_100, 2, 112)),
        started: START + Duration::from_secs(5),
        bytes_read: 11_963,
        ..source("application/ogg")
    };
    mount("/live.ogg", Some(source))
}

fn hidden() -> MountView {
    MountView { hidden: true, ..mount("/secret.mp3", Some(source("audio/mpeg"))) }
}

const JSON_BEGIN: &str = concat!(
    r#"{"icestats":{"admin":"lab@localhost","host":"localhost","location":"Lab","#,
    r#""server_id":"Icecast 2.4.4","server_start":"Sat, 21 Nov 2026 00:09:13 +0000","#,
    r#""server_start_iso8601":"2026-11-21T00:09:13+0000","#,
);

fn mp3_json(listeners: u64, title: &str) -> String {
    [
        r#"{"genre":"G1","listener_peak":LISTENERS,"listeners":LISTENERS,"#,
        r#""listenurl":"http://localhost:8000/live.mp3","server_description":"D\"1\\x","#,
        r#""server_name":"N1","server_type":"audio/mpeg","server_url":"http://u/","#,
        r#""stream_start":"Sat, 21 Nov 2026 00:09:15 +0000","#,
        r#""stream_start_iso8601":"2026-11-21T00:09:15+0000","#,
        title,
        r#""dummy":null}"#,
    ]
    .concat()
    .replace("LISTENERS", &listeners.to_string())
}

const OGG_JSON: &str = concat!(
    r#"{"audio_bitrate":112000,"audio_channels":2,"audio_samplerate":44100,"genre":"various","#,
    r#""ice-bitrate":112,"listener_peak":0,"listeners":0,"#,
    r#""listenurl":"http://localhost:8000/live.ogg","#,
    r#""server_description":"Unspecified description","server_name":"Unspecified name","#,
    r#""server_type":"application/ogg","stream_start":"Sat, 21 Nov 2026 00:09:18 +0000","#,
    r#""stream_start_iso8601":"2026-11-21T00:09:18+0000","subtype":"Vorbis","#,
    r#""title":"Lab - Tone","dummy":null}"#,
);

#[test]
fn status_json_is_what_icecast_was_seen_to_send() {
    let none = format!("{JSON_BEGIN}\"dummy\":null}}}}");
    assert_eq!(status_json(&view(vec![]), None), none);
    assert_eq!(status_json(&view(vec![hidden(), mount("/idle", None)]), None), none);

    let one = format!("{JSON_BEGIN}\"source\":{}}}}}", mp3_json(0, ""));
    assert_eq!(status_json(&view(vec![mp3(None)]), None), one);
    assert_eq!(status_json(&view(vec![mp3(None), hidden()]), None), one);

    let numbered = mp3_json(1, r#""title":123,"#);
    let two = format!("{JSON_BEGIN}\"source\":[{numbered},{OGG_JSON}]}}}}");
    let both = view(vec![mp3(Some("123")), ogg()]);
    assert_eq!(status_json(&both, None), two);

    let filtered = format!("{JSON_BEGIN}\"source\":{numbered}}}}}");
    assert_eq!(status_json(&both, Some("/live.mp3")), filtered);
    assert_eq!(status_json(&both, Some("/nosuch")), none);
    assert_eq!(status_json(&view(vec![hidden()]), Some("/secret.mp3")), none);
}

#[test]
fn any_title_is_valid_json_xml_and_html() {
    let titles = [
        "\"quoted\" \\ 'single'",
        "<script>alert(1)</script>",
        "]]> --> &amp; &lt;",
        "{{js}} {{mounts}}",
        "\u{1}\u{8}tab\tnul\0",
        "line\r\nbreak",
        "\u{2028}\u{ffff}é😀",
        "true",
        "-.5",
        "</title><img src=x onerror=alert(1)>",
    ];
    for title in titles {
        let mut mount = mp3(Some(title));
        let source = mount.source.as_mut().unwrap();
        // A title comes cleaned; the other values are tried as they are.
        source.info.name = Some(title.to_owned());
        source.info.url = Some(format!("javascript:{title}"));
        source.agent = Some(title.to_owned());
        mount.name = format!("/{title}");
        let view = view(vec![mount]);

        let json: Value = serde_json::from_str(&status_json(&view, None)).expect("valid JSON");
        let name = &json["icestats"]["source"]["server_name"];
        assert!(!name.is_string() || name == title, "{title:?} became {name}");

        let xml = stats_xml(&view, None);
        let pages = [status_page(&view), stats_page(&view, None), list_mounts_page(&view)];
        assert_well_formed(&xml);
        for page in pages {
            assert!(!page.contains("<script>alert") && !page.contains("<img"), "{title:?}");
            assert!(!page.contains("href=\"javascript:"), "{title:?}");
            assert!(page.matches("<script>").count() <= 1, "{title:?}");
        }
    }
}

#[test]
fn stats_xml_is_what_icecast_was_seen_to_send() {
    let expected = concat!(
        "<?xml version=\"1.0\"?>\n",
        "<icestats><admin>lab@localhost</admin><client_connections>4</client_connections>",
        "<clients>3</clients><connections>6</connections><file_connections>0</file_connections>",
        "<host>localhost</host><listener_connections>1</listener_connections>",
        "<listeners>1</listeners><location>Lab</location><server_id>Icecast 2.4.4</server_id>",
        "<server_start>Sat, 21 Nov 2026 00:09:13 +0000</server_start>",
        "<server_start_iso8601>2026-11-21T00:09:13+0000</server_start_iso8601>",
        "<source_client_connections>2</source_client_connections>",
        "<source_relay_connections>0</source_relay_connections>",
        "<source_total_connections>2</source_total_connections><sources>1</sources>",
        "<stats>0</stats><stats_connections>0</stats_connections>",
        "<source mount=\"/live.mp3\"><genre>G1</genre><listener_peak>1</listener_peak>",
        "<listeners>1</listeners><listenurl>http://localhost:8000/live.mp3</listenurl>",
        "<max_listeners>unlimited</max_listeners><public>1</public>",
        "<server_description>D\"1\\x</server_description><server_name>N1</server_name>",
        "<server_type>audio/mpeg</server_type><server_url>http://u/</server_url>",
        "<slow_listeners>0</slow_listeners><source_ip>127.0.0.1</source_ip>",
        "<stream_start>Sat, 21 Nov 2026 00:09:15 +0000</stream_start>",
        "<stream_start_iso8601>2026-11-21T00:09:15+0000</stream_start_iso8601>",
        "<title>123</title><total_bytes_read>67200</total_bytes_read>",
        "<total_bytes_sent>0</total_bytes_sent><user_agent>Lavf/59.27.100</user_agent>",
        "</source></icestats>\n",
    );
    assert_eq!(stats_xml(&view(vec![mp3(Some("123"))]), None), expected);
    let both = stats_xml(&view(vec![mp3(Some("123")), hidden()]), Some("/secret.mp3"));
    assert!(both.contains("<sources>2</sources>") && !both.contains("/live.mp3"));
    assert!(both.contains("<source mount=\"/secret.mp3\">"), "the operator sees hidden mounts");
}

#[test]
fn an_on_demand_mount_is_listed_before_it_runs() {
    let idle = MountView { on_demand: true, listeners_max: Some(5), ..mount("/pulled.mp3", None) };
    let view = view(vec![idle]);
    let json: Value = serde_json::from_str(&status_json(&view, None)).unwrap();
    assert_eq!(json["icestats"]["source"]["on_demand"], 1);
    assert!(stats_xml(&view, None).contains(
        "<source mount=\"/pulled.mp3\"><listener_peak>0</listener_peak><listeners>0</listeners>\
         <listenurl>http://localhost:8000/pulled.mp3</listenurl><max_listeners>5</max_listeners>\
         <on_demand>1</on_demand><slow_listeners>0</slow_listeners></source>"
    ));
    assert!(list_mounts_xml(&view).contains(
        "<source mount=\"/pulled.mp3\"><fallback></fallback><listeners>0</listeners></source>"
    ));
    assert!(status_page(&view).contains("Starts when you listen"));
}

#[test]
fn audio_info_goes_to_the_statistics_by_known_names() {
    let mut mount = mp3(None);
    let info = &mut mount.source.as_mut().unwrap().info;
    let pairs = [("ice-bitrate", "192"), ("evil><x", "1"), ("channels", "2"), ("title", "no")];
    info.audio_info = pairs.map(|(name, value)| (name.into(), value.into())).to_vec();
    info.bitrate = Some("192".into());
    let xml = stats_xml(&view(vec![mount]), None);
    assert!(xml.contains("<bitrate>192</bitrate><channels>2</channels><genre>"));
    assert!(xml.contains("<ice-bitrate>192</ice-bitrate>"));
    assert!(!xml.contains("evil><") && !xml.contains("<title>"));
    assert_well_formed(&xml);
}

#[test]
fn the_lists_are_what_icecast_was_seen_to_send() {
    let mp3 = MountView { fallback: Some("/a&b".into()), ..mp3(Some("123")) };
    let both = view(vec![mp3, ogg()]);
    let ogg_row = "<source mount=\"/live.ogg\"><fallback></fallback><listeners>0</listeners>\
        <Connected>6</Connected><content-type>application/ogg</content-type></source>";
    let expected = format!(
        "<?xml version=\"1.0\"?>\n<icestats><source mount=\"/live.mp3\">\
         <fallback>/a&amp;b</fallback><listeners>1</listeners><Connected>9</Connected>\
         <content-type>audio/mpeg</content-type></source>{ogg_row}</icestats>\n"
    );
    assert_eq!(list_mounts_xml(&both), expected);

    let expected = format!(
        "<?xml version=\"1.0\"?>\n<icestats><current_source>/live.mp3</current_source>\
         {ogg_row}</icestats>\n"
    );
    assert_eq!(move_clients_form_xml(&both, "/live.mp3"), expected);

    let listener = ListenerRow {
        id: 44,
        peer: "[::ffff:127.0.0.1]:5000".parse().unwrap(),
        agent: Some("curl/7.88.1".into()),
        connected_s: 5,
        lag_bytes: 0,
    };
    assert_eq!(
        list_clients_xml("/live.mp3", &[listener]),
        "<?xml version=\"1.0\"?>\n<icestats><source mount=\"/live.mp3\"><Listeners>1</Listeners>\
         <listener><IP>127.0.0.1</IP><UserAgent>curl/7.88.1</UserAgent><Connected>5</Connected>\
         <ID>44</ID></listener></source></icestats>\n"
    );
    assert_eq!(
        message_xml("Client 999999 not found", 0),
        "<?xml version=\"1.0\"?>\n<iceresponse><message>Client 999999 not found</message>\
         <return>0</return></iceresponse>\n"
    );
    let mounts = vec![mount("/fb.mp3", None), hidden(), ogg()];
    assert_eq!(stream_list_txt(&view(mounts)), "/fb.mp3\r\n/live.ogg\r\n");
}

#[test]
fn the_pages_for_people_tell_the_same_and_change_nothing_by_a_link() {
    let view = view(vec![mp3(Some("A & B"))]);
    let agent = Some("<b>x</b>".to_owned());
    let peer = "192.0.2.7:1".parse().unwrap();
    let listener = ListenerRow { id: 7, peer, agent, connected_s: 5, lag_bytes: 9 };
    let pages = [
        stats_page(&view, None),
        list_mounts_page(&view),
        list_clients_page(&view, "/live.mp3", &[listener]),
        move_clients_page(&view, "/other"),
        update_title_page(&view, "/live.mp3"),
        message_page(&view, "Client 7 removed"),
        version_page(&view),
        status_page(&view),
    ];
    for page in &pages {
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
        assert!(!page.contains("{{"), "a place is left");
        for changing in ["killclient", "killsource", "metadata.xsl?", "destination="] {
            assert!(!page.contains(&format!("href=\"/admin/{changing}")), "{changing}");
        }
        // Nothing is loaded from elsewhere.
        assert!(!page.contains("src=\"http") && !page.contains("@import"));
    }
    assert!(pages[0].contains("<td>title</td><td>A &amp; B</td>"));
    assert!(pages[2].contains("192.0.2.7") && pages[2].contains("&lt;b&gt;x&lt;/b&gt;"));
    assert!(pages[3].contains("name=\"destination\" value=\"/live.mp3\""));
    assert!(pages[4].contains("name=\"mode\" value=\"updinfo\""));
}

#[test]
fn the_status_page_is_whole_without_its_script() {
    let mut mount = mp3(Some("Tom & \"Jerry\""));
    mount.name = "/é.mp3".into();
    let page = status_page(&view(vec![mount, ogg(), hidden()]));
    assert!(page.contains("2 streams · 1 listener<"));
    assert!(page.contains("Tom &amp; &quot;Jerry&quot;</p>"));
    assert!(page.contains("<audio controls preload=\"none\" src=\"/%C3%A9.mp3\""));
    assert!(page.contains("href=\"/%C3%A9.mp3.m3u\"") && page.contains("href=\"http://u/\""));
    assert!(page.contains("Ogg Vorbis · 112 kbit/s"));
    assert!(page.contains("<h2>/live.ogg</h2>"), "a stream without a name goes by its mount");
    assert!(!page.contains("/secret.mp3"));
}

#[test]
fn health_is_small_json() {
    let health_of = |ready| serde_json::from_str(&health(&view(vec![ogg()]), ready)).unwrap();
    let health: Value = health_of(true);
    assert_eq!((&health["status"], &health["ready"]), (&"ok".into(), &true.into()));
    assert_eq!((&health["uptime_s"], &health["sources"]), (&11.into(), &1.into()));
    let stopping: Value = health_of(false);
    assert_eq!(stopping["status"], "stopping");
}

#[test]
fn playlists_go_by_the_host_that_was_asked() {
    let view = view(vec![mp3(Some("A - T"))]);
    let plain = |host| Seen { host, is_secure: false };
    let m3u = |mount, host| playlist(&view, mount, Playlist::M3u, plain(host));
    let seen = "http://127.0.0.1:18000/live.mp3\r\n";
    assert_eq!(m3u("/live.mp3", Some("127.0.0.1:18000")), seen);
    assert_eq!(m3u("/nosuch", Some("127.0.0.1:18000")), "http://127.0.0.1:18000/nosuch\r\n");
    let configured = "http://localhost:8000/live.mp3\r\n";
    let no_hosts = ["h", "h:", ":80", "h:x", "evil/x:80", "a b:80", "u@h:80", "h:99999"];
    for host in no_hosts.map(Some).into_iter().chain([None]) {
        assert_eq!(m3u("/live.mp3", host), configured, "{host:?}");
    }
    assert_eq!(m3u("/live.mp3", Some("[::1]:80")), "http://[::1]:80/live.mp3\r\n");
    let vclt = playlist(&view, "/live.mp3", Playlist::Vclt, plain(Some("127.0.0.1:18000")));
    assert_eq!(
        vclt,
        "STREAMURL=http://localhost:8000/live.mp3\nTITLE=A - T\nSERVER_NAME=N1\n\
         DESCRIPTION=D\"1\\x\nSIGNALINFO=\nGENRE=G1\n==\n"
    );
    assert!(playlist(&view, "/nosuch", Playlist::Xspf, plain(None)).contains("<trackList/>"));
    let login = Credentials { user: "bob".into(), password: "p/w@:x".into() };
    assert_eq!(
        playlist_with_login(&view, "/auth.mp3", &login),
        "http://bob:p%2Fw%40%3Ax@localhost:8000/auth.mp3\r\n"
    );
}

#[test]
fn whoever_asks_over_tls_is_told_to_play_over_tls() {
    let view = view(vec![mp3(None)]);
    let m3u = |host| playlist(&view, "/live.mp3", Playlist::M3u, Seen { host, is_secure: true });
    for host in ["radio.example", "radio.example:8443", "[2001:db8::1]", "[::1]:443"] {
        assert_eq!(m3u(Some(host)), format!("https://{host}/live.mp3\r\n"));
    }
    for host in [Some("evil/x"), Some("h:x"), Some(""), Some("h:"), None] {
        assert_eq!(m3u(host), "http://localhost:8000/live.mp3\r\n", "{host:?}");
    }
    let seen = Seen { host: Some("radio.example"), is_secure: true };
    let xspf = playlist(&view, "/live.mp3", Playlist::Xspf, seen);
    assert!(xspf.contains("https://radio.example/live.mp3"), "{xspf}");
}

#[test]
fn an_ipv6_host_stands_in_brackets() {
    let mut view = view(vec![mp3(None)]);
    view.hostname = "2001:db8::1".into();
    let url = "\"listenurl\":\"http://[2001:db8::1]:8000/live.mp3\"";
    assert!(status_json(&view, None).contains(url));
}

#[test]
fn a_whole_answer_has_icecasts_head() {
    let view = view(vec![]);
    let answers = Answers {
        server: &view.server_id,
        unix_seconds: view.now.as_secs(),
        extra_headers: &view.extra_headers,
    };
    let bytes = answer(&answers, 200, Body::Json, "{}");
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert_eq!(
        text,
        "HTTP/1.0 200 OK\r\nServer: Icecast 2.4.4\r\nConnection: Close\r\n\
         Date: Sat, 21 Nov 2026 00:09:24 GMT\r\n\
         Content-Type: application/json; charset=UTF-8\r\n\
         Cache-Control: no-cache, no-store\r\nExpires: Mon, 26 Jul 1997 05:00:00 GMT\r\n\
         Pragma: no-cache\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\r\n{}"
    );
    assert_eq!([&without_body(bytes)[..], b"{}"].concat(), text.as_bytes());
}

/// Checks that elements are closed in order and that nothing else opens a tag.
fn assert_well_formed(xml: &str) {
    let mut open = Vec::new();
    let body = xml.strip_prefix("<?xml version=\"1.0\"?>\n").expect("a declaration");
    for piece in body.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').expect("a tag is closed");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{xml}"),
            None => open.push(tag.split(' ').next().unwrap()),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    let is_allowed = |char: char| !char.is_control() || "\n\t\u{7f}".contains(char);
    assert!(xml.chars().all(is_allowed), "{xml:?}");
}
