//! What the parser says, key by key and all together.

use std::ffi::OsString;
use std::io;

use crate::*;

fn parse(text: &str) -> Result<Config, Errors> {
    Config::parse("f", text)
}

fn faults(text: &str) -> String {
    parse(text).expect_err("it is refused").to_string()
}

fn invoke(args: &[&str], file: &str) -> Result<Invocation, Errors> {
    let args = args.iter().map(OsString::from);
    parse_args_with(args, |path| match path.to_str() {
        Some("f") => Ok(file.to_owned()),
        _ => Err(io::Error::other("no such file")),
    })
}

fn run(args: &[&str], file: &str) -> Config {
    match invoke(args, file).expect("it is accepted") {
        Invocation::Run(config) => *config,
        other => panic!("not a run: {other:?}"),
    }
}

/// The sample with its keys taken out of their comments.
fn sample_in_force() -> String {
    let lines = sample();
    let lines = lines.lines().map(|line| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => key,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn an_empty_file_and_the_sample_are_the_defaults() {
    assert_eq!(parse(""), Ok(Config::default()));
    assert_eq!(parse(&sample()), Ok(Config::default()));
}

#[test]
fn every_key_of_the_sample_is_accepted_and_every_default_is_what_it_says() {
    let text = sample_in_force();
    let config = parse(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.http, Http::default());
    assert_eq!(config.mounts.len(), 1);
    assert_eq!(config.mounts[0].name, "/live.mp3");
    assert_eq!(config.mounts[0].fallback.as_deref(), Some("/backup.mp3"), "inherited");
    assert_eq!(
        config.listen,
        vec![Listen { shoutcast_mount: Some("/stream".into()), ..Listen::default() }]
    );
    // Nothing but what has no default differs.
    let changed = Config::default().reload_diff(&config);
    let unset = [
        "server.data_dir",
        "shards.count",
        "log.access_log",
        "turn.alternate_server",
        "turn.allocation_bytes_per_s",
        "turn.user_bytes_per_s",
        "workers.program",
        "workers.record_dir",
        "events.log",
    ];
    let is_expected = |key: &&str| {
        unset.contains(key)
            || key.ends_with("password")
            || *key == "listen"
            || *key == "stream"
            || *key == "webhook"
            || *key == "files"
            || key.starts_with("mount.")
    };
    for key in changed.changed.iter().chain(&changed.needs_restart) {
        assert!(is_expected(key), "{key} of the sample is not the default");
    }
}

#[test]
fn bad_input_is_answered_with_what_was_expected_and_found() {
    for &(text, expected) in BAD_INPUTS {
        assert_eq!(faults(text), expected, "\n{text}");
    }
}

#[test]
fn all_errors_are_reported_at_once_in_the_order_of_the_file() {
    let text = "[[mount]]\nname = \"/a\"\nfallback = \"/a\"\n[limits]\nclients_max = 0\nfoo = 1\n\
                [server]\nhostname = 3\n[[listen]]\n[[listen]]\n";
    let lines: Vec<String> = faults(text).lines().map(str::to_owned).collect();
    let starts = [
        "f:3: mount.fallback: falls back",
        "f:5: limits.clients_max: expected",
        "f:6: limits.foo: unknown key",
        "f:8: server.hostname: expected",
        "f:9: listen.address: is missing",
        "f:10: listen.address: is missing",
    ];
    assert_eq!(lines.len(), starts.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn a_file_that_is_not_toml_says_where_and_shows_nothing_of_it() {
    let text =
        "[credentials]\nsource_password = geheim\nadmin_password = \"x\nadmin_password = \"y\"\n";
    let errors = parse(text).expect_err("it is refused");
    assert!(errors.problems.len() >= 2, "{errors}");
    for problem in &errors.problems {
        assert!(problem.place.starts_with("f:"), "{problem}");
        assert!(problem.message.starts_with("not TOML: "), "{problem}");
        assert!(!problem.message.contains("geheim"), "{problem}");
    }
    assert!(
        faults("[demo]\nenabled = true\nenabled = true")
            .starts_with("f:3: not TOML: duplicate key")
    );
}

#[test]
fn any_prefix_of_the_sample_and_any_garbage_is_read_without_a_panic() {
    let text = sample_in_force();
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)).step_by(31) {
        let _ = parse(&text[..end]);
    }
    for garbage in
        ["\0", "[", "[[", "=", "a.b.c = 1", "\u{feff}", "[server.x]\ny = 1", "mount = [1]"]
    {
        let _ = parse(garbage);
    }
}

#[test]
fn a_mount_inherits_and_may_unset() {
    let text = "[mount_defaults]\nburst_bytes = 1000\npassword = \"p\"\nlisteners_max = 5\n\
                fallback = \"/b\"\n[[mount]]\nname = \"/a\"\nlisteners_max = \"\"\n\
                [[mount]]\nname = \"/b\"\nburst_bytes = 2000\npassword = \"\"\n";
    let config = parse(text).expect("it is accepted");
    let [a, b] = &config.mounts[..] else { panic!("two mounts") };
    assert_eq!((a.burst_bytes, a.listeners_max), (1000, None));
    assert_eq!(a.password.as_ref().map(Secret::expose), Some("p"));
    assert_eq!(a.fallback.as_deref(), Some("/b"));
    assert_eq!((b.burst_bytes, b.listeners_max, &b.password), (2000, Some(5), &None));
    assert_eq!(b.fallback, None, "an inherited fallback to itself is none");
    assert_eq!(config.mount_named("/a"), *a);
    let other = config.mount_named("/c");
    assert_eq!((other.name.as_str(), other.burst_bytes), ("/c", 1000));
    assert_eq!(config.mount_named("/b").fallback, None);
}

#[test]
fn a_circle_of_fallbacks_is_shown_once() {
    let mount = |name, to| format!("[[mount]]\nname = \"{name}\"\nfallback = \"{to}\"\n");
    let text =
        [mount("/in", "/a"), mount("/a", "/b"), mount("/b", "/c"), mount("/c", "/a")].concat();
    assert_eq!(faults(&text), "f:6: mount.fallback: falls back in a circle: /a → /b → /c → /a");
    let text = [mount("/a", "/b"), mount("/b", "/c"), mount("/d", "/c")].concat();
    assert!(parse(&text).is_ok(), "a chain is none");
    let text = ["[mount_defaults]\nfallback = \"/x\"\n".into(), mount("/x", "/y")].concat();
    assert_eq!(faults(&text), "f:5: mount.fallback: falls back in a circle: /x → /y → /x");
}

#[test]
fn flags_are_keys_and_count_more_than_the_file() {
    let file =
        "[[listen]]\naddress = \"1.2.3.4:5\"\n[shards]\ncount = 4\n[log]\nlevel = \"warn\"\n";
    let args = [
        "--config",
        "f",
        "--listen",
        "127.0.0.1:9000",
        "--listen=[::1]:9000",
        "--source-password",
        "s",
        "--admin-password=a=b",
        "--shards",
        "2",
        "--cores",
        "3,5",
        "--data-dir",
        "/d",
        "--demo",
    ];
    let config = run(&args, file);
    let addresses: Vec<String> = config.listen.iter().map(|l| l.address.to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1:9000", "[::1]:9000"]);
    assert_eq!(config.credentials.source_password.as_ref().map(Secret::expose), Some("s"));
    assert_eq!(config.credentials.admin_password.as_ref().map(Secret::expose), Some("a=b"));
    assert_eq!((config.shards.count, &config.shards.cores[..]), (Some(2), &[3, 5][..]));
    assert_eq!(config.server.data_dir.as_deref(), Some(std::path::Path::new("/d")));
    assert!(config.demo.enabled);
    assert_eq!(config.log.level, Level::Warn);
    assert_eq!(run(&[], ""), Config::default());
}

#[test]
fn bad_flags_are_answered_all_at_once() {
    let table: &[(&[&str], &str)] = &[
        (
            &["--sorce-password", "geheim"],
            "--sorce-password: unknown flag; the nearest is --source-password\nargument 2 is no \
            flag",
        ),
        (&["--shards", "many"], "--shards: expected a whole number, found the string \"many\""),
        (&["--shards=0"], "--shards: expected 1 to 256, found 0"),
        (&["--cores", "1,x"], "--cores: expected a whole number, found the string \"x\""),
        (&["--cores", "1,1"], "--cores: shards.cores: core 1 is named twice"),
        (
            &["--listen", "8000"],
            "--listen: expected an address and port such as \"0.0.0.0:8000\" or \"[::]:8000\", \
            found the string \"8000\"",
        ),
        (&["--listen"], "--listen: needs a value"),
        (&["--demo=yes"], "--demo: takes no value"),
        (&["--config", "g"], "--config: cannot read g: no such file"),
        (&["--config", "f", "--config", "f"], "--config: is given twice"),
    ];
    for (args, expected) in table {
        let text = invoke(args, "").expect_err("it is refused").to_string();
        assert_eq!(text, *expected, "{args:?}");
        assert!(!text.contains("geheim"));
    }
    let both = invoke(&["--config", "f", "--shards", "0"], "[demo]\nx = 1").expect_err("refused");
    let places: Vec<&str> = both.problems.iter().map(|problem| problem.place.as_str()).collect();
    assert_eq!(places, ["f:2", "--shards"]);
}

#[test]
fn actions_are_told_apart() {
    assert_eq!(invoke(&["--version"], ""), Ok(Invocation::Version));
    assert_eq!(invoke(&["--print-default-config"], ""), Ok(Invocation::PrintDefaultConfig));
    assert_eq!(invoke(&["--check-config"], ""), Ok(Invocation::CheckConfig(Box::default())));
    assert_eq!(invoke(&["--doctor"], ""), Ok(Invocation::Doctor(Box::default())));
    assert!(invoke(&["--check-config", "--config", "f"], "x = 1").is_err());
    for args in [&["--help"][..], &["-h"], &["--version", "--help", "--nonsense"]] {
        let Ok(Invocation::Help(text)) = invoke(args, "") else { panic!("no help for {args:?}") };
        assert!(text.contains("--source-password PASSWORD"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    }
}

#[test]
fn a_secret_is_never_shown() {
    let config = run(&["--source-password", "geheim"], "");
    assert!(!format!("{config:?}").contains("geheim"));
    assert_eq!(Secret::new("geheim").to_string(), "…");
}

#[test]
fn a_network_holds_its_addresses_and_no_others() {
    let table = [
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("10.0.0.0/8", "::ffff:10.1.2.3", true),
        ("10.1.2.3", "10.1.2.3", true),
        ("10.1.2.3", "10.1.2.2", false),
        ("0.0.0.0/0", "1.2.3.4", true),
        ("0.0.0.0/0", "::1", false),
        ("fd00::/8", "fd12::1", true),
        ("fd00::/8", "fe80::1", false),
    ];
    for (network, address, expected) in table {
        let network: Cidr = network.parse().expect("a network");
        let address = address.parse().expect("an address");
        assert_eq!(network.contains(address), expected, "{network} {address}");
    }
    for bad in ["", "10.0.0.0/", "10.0.0.0/x", "10.0.0.0/-1", "::/129", "a/8"] {
        assert!(bad.parse::<Cidr>().is_err(), "{bad}");
    }
}

#[test]
fn what_turn_may_hold_is_in_the_sum_where_it_starts() {
    let off = Config::parse("f", "").expect("in order");
    assert!(off.turn.memory_terms(2).is_empty());
    let text = "[turn]\nlisten = [\"192.0.2.1:3478\"]\nusers = [\"a:b\"]\n";
    let on = Config::parse("f", text).expect("in order");
    let terms = on.turn.memory_terms(2);
    let of = |name: &str| terms.iter().find(|term| term.name.contains(name)).expect(name).bytes;
    assert_eq!(of("buffers"), 2 * 256 * 72 * 1024);
    assert_eq!(of("allocations"), 2 * 20_000 * 2_048);
    assert!(of("streams") > 4_096 * 512 * 1024);
}

#[test]
fn what_webrtc_may_hold_is_in_the_sum_where_it_is_wanted() {
    assert!(Config::default().rtc.memory_terms(2).is_empty());
    let text = "[rtc]\nlisten = [\"192.0.2.1:8443\"]\ncache_bytes_per_shard_max = 1000000\n";
    let terms = Config::parse("f", text).expect("in order").rtc.memory_terms(2);
    let of = |name: &str| terms.iter().find(|term| term.name.contains(name)).expect(name).bytes;
    assert_eq!(of("caches"), 2_000_000);
    assert!(of("sessions") > 2 * 10_000 * 512 * 1024 && of("streams") >= 10_000 * 1_000_000);
}

#[test]
fn files_have_their_places_and_their_memory() {
    let of = |lines: &str| format!("[[files]]\ndirectory = \"d\"\n{lines}\n");
    let config = Config::parse("f", &of("prefix = \"/media/\"")).expect("in order");
    assert_eq!(config.files[0].index, "index.html");
    let terms = config.files_memory_terms(2);
    let sum: u64 = terms.iter().map(|term| term.bytes).sum();
    assert_eq!(sum, 2 * (64 + 32) * 1024 * 1024);
    assert!(Config::default().files_memory_terms(2).is_empty());
    for bad in ["media/", "/media", "/", "//", "/a//", "/admin/", "/api/x/", "/a b/", "/a%20/"] {
        assert!(Config::parse("f", &of(&format!("prefix = {bad:?}"))).is_err(), "{bad}");
    }
    for bad in [".hidden", "a/b", "a\\b"] {
        let lines = format!("prefix = \"/a/\"\nindex = {bad:?}");
        assert!(Config::parse("f", &of(&lines)).is_err(), "{bad}");
    }
    let twice = of("prefix = \"/a/\"").repeat(2);
    assert_eq!(faults(&twice), "f:6: files.prefix: \"/a/\" already has a directory");
    let new = Config::parse("f", &of("prefix = \"/b/\"")).expect("in order");
    assert_eq!(config.reload_diff(&new).needs_restart, ["files"]);
    assert_eq!(config.reloaded(&new).files, config.files);
}

#[test]
fn the_memory_bound_is_the_sum_of_its_terms_and_grows_with_each() {
    let limits = Limits::default();
    let terms = limits.memory_terms(2);
    let bound = limits.memory_bytes_max(2);
    assert_eq!(bound, terms.iter().map(|term| term.count * term.each_bytes).sum::<u64>());
    assert!((1 << 30..4 << 30).contains(&bound), "the defaults fit an ordinary machine: {bound}");
    assert!(limits.memory_bytes_max(3) > bound);
    let larger = [
        Limits { clients_max: limits.clients_max + 1, ..limits.clone() },
        Limits { sources_max: limits.sources_max + 1, ..limits.clone() },
        Limits { head_bytes_max: limits.head_bytes_max + 1, ..limits.clone() },
        Limits { body_bytes_max: limits.body_bytes_max + 1, ..limits.clone() },
        Limits { window_bytes_max: limits.window_bytes_max + 1, ..limits.clone() },
        Limits { asks_in_flight_max: limits.asks_in_flight_max + 1, ..limits.clone() },
        Limits { receive_buffers_count: limits.receive_buffers_count * 2, ..limits.clone() },
        Limits { sockets_per_shard_max: limits.sockets_per_shard_max + 1, ..limits.clone() },
        Limits { mesh_queue_messages: limits.mesh_queue_messages + 1, ..limits.clone() },
    ];
    for limits in larger {
        assert!(limits.memory_bytes_max(2) > bound, "{limits:?}");
    }
    assert_eq!(limits.memory_bytes_max(usize::MAX), u64::MAX, "it saturates");
}

#[test]
fn a_reload_tells_what_changes_and_what_waits() {
    let old =
        parse("[[mount]]\nname = \"/a\"\n[[mount]]\nname = \"/b\"\n[shards]\ncount = 2").unwrap();
    let new = parse(
        "[[listen]]\naddress = \"0.0.0.0:9\"\n[[mount]]\nname = \"/c\"\n[[mount]]\nname = \"/b\"\n\
         hidden = true\n[shards]\ncount = 3\n[limits]\nclients_max = 300\n",
    )
    .unwrap();
    let reload = old.reload_diff(&new);
    assert_eq!(
        reload,
        Reload {
            mounts_added: vec!["/c".into()],
            mounts_removed: vec!["/a".into()],
            mounts_changed: vec!["/b".into()],
            changed: vec!["limits.clients_max"],
            needs_restart: vec!["listen", "shards.count"],
        }
    );
    let running = old.reloaded(&new);
    assert_eq!((running.shards.count, running.listen == old.listen), (Some(2), true));
    assert_eq!((running.limits.clients_max, running.mounts == new.mounts), (300, true));
    assert!(old.reload_diff(&old).is_empty());
}

#[test]
fn what_is_surely_not_meant_is_warned_of() {
    let has = |config: &Config, part: &str| config.warnings().iter().any(|w| w.contains(part));
    let config = Config::default();
    assert!(has(&config, "no source password") && has(&config, "no admin password"));
    let config = run(&["--source-password", "s", "--admin-password", "hackme"], "");
    assert!(!has(&config, "no source password") && has(&config, "hackme"));
    let config = parse(
        "[[listen]]\naddress = \"0.0.0.0:1\"\nproxy_protocol = true\n[shards]\ncount = 1\n\
         [limits]\nclients_max = 90000\n[[mount]]\nname = \"/a\"\nfallback_override = true\npull_on_demand = true\n",
    )
    .unwrap();
    for part in ["PROXY", "clients_max", "/a: fallback_override", "/a: pull_on_demand"] {
        assert!(has(&config, part), "{part}: {:?}", config.warnings());
    }
}

#[test]
fn shards_default_to_the_cores() {
    assert_eq!(Shards::default().count_on(8), 8);
    assert_eq!(Shards::default().count_on(0), 1);
    assert_eq!(Shards { count: None, cores: vec![2, 3] }.count_on(8), 2);
    assert_eq!(Shards { count: Some(3), cores: vec![] }.count_on(8), 3);
}

#[test]
fn the_reference_has_every_key_and_flag() {
    let reference = reference_markdown();
    for outline in crate::document::outlines() {
        for key in &outline.keys {
            assert!(reference.contains(&format!("| `{}` |", key.name)), "{}", key.name);
            assert!(!key.doc.trim().is_empty(), "{} has no documentation", key.name);
        }
    }
    assert!(reference.contains("`--cores LIST`"));
}

/// Bad files and what is said of them.
const BAD_INPUTS: &[(&str, &str)] = &[
    (
        "[mount_defaults]\nmax-listeners = 1",
        "f:2: mount_defaults.max-listeners: unknown key; the nearest is `listeners_max`",
    ),
    ("[server]\nfoo = 1\n", "f:2: server.foo: unknown key; the nearest is `location`"),
    ("[server]\nhostnam = \"a\"", "f:2: server.hostnam: unknown key; the nearest is `hostname`"),
    (
        "[limits]\nclients-max = 1",
        "f:2: limits.clients-max: unknown key; the nearest is `clients_max`",
    ),
    (
        "[limits]\nburst_bytes = 1",
        "f:2: limits.burst_bytes: unknown key; the nearest is `burst_bytes` of \
        [mount_defaults]",
    ),
    (
        "[[mount]]\nname = \"/a\"\nburst = 1",
        "f:3: mount.burst: unknown key; the nearest is `burst_bytes`",
    ),
    ("[servers]\n", "f:1: servers: unknown section; the nearest is [server]"),
    ("hostname = \"a\"", "f:1: hostname: unknown key; the nearest is `hostname` of [server]"),
    ("server = 1", "f:1: server: expected a section [server], found a value"),
    ("[[server]]", "f:1: server: expected [server] once, found a list"),
    (
        "[mount]\nname = \"/a\"",
        "f:1: mount: expected [[mount]] in double brackets: there may be several",
    ),
    (
        "[limits]\nclients_max = \"many\"",
        "f:2: limits.clients_max: expected a whole number, found the string \"many\"",
    ),
    ("[limits]\nclients_max = 0", "f:2: limits.clients_max: expected 1 to 4000000, found 0"),
    ("[limits]\nclients_max = -1", "f:2: limits.clients_max: expected 0 to 4294967295, found -1"),
    (
        "[limits]\nclients_max = 1.5",
        "f:2: limits.clients_max: expected a whole number, found the number 1.5",
    ),
    (
        "[limits]\nreceive_buffers_count = 1000",
        "f:2: limits.receive_buffers_count: expected a power of two such as 512 or 1024, \
        found 1000",
    ),
    (
        "[limits]\nsources_max = 10\nclients_max = 9",
        "f:2: limits.sources_max: must not exceed clients_max, 9",
    ),
    ("[demo]\nenabled = 1", "f:2: demo.enabled: expected true or false, found the number 1"),
    (
        "[log]\nlevel = \"loud\"",
        "f:2: log.level: expected one of \"error\", \"warn\", \"info\", \"debug\", \
        \"trace\", found the string \"loud\"",
    ),
    (
        "[server]\nserver_id = \"a\\nb\"",
        "f:2: server.server_id: expected a string without control characters, found \"a\\nb\"",
    ),
    (
        "[server]\nhostname = \"http://a/\"",
        "f:2: server.hostname: expected a host name without scheme or path, found \
        \"http://a/\"",
    ),
    (
        "[server]\ntrusted_proxies = [\"10.0.0.0/33\"]",
        "f:2: server.trusted_proxies: expected a network such as \"10.0.0.0/8\" or an \
        address, found the string \"10.0.0.0/33\"",
    ),
    (
        "[http]\ncors_headers = [\"a b: c\"]",
        "f:2: http.cors_headers: expected a header line \"Name: value\", found the string \
        \"a b: c\"",
    ),
    (
        "[credentials]\nadmin_password = 1234",
        "f:2: credentials.admin_password: expected a string without control characters, \
        found no string (is it quoted?)",
    ),
    (
        "[credentials]\nadmin_user = \"a:b\"",
        "f:2: credentials.admin_user: expected a user name without a colon, found \"a:b\"",
    ),
    ("listen = []", "listen.address: at least one [[listen]] is needed"),
    ("[[listen]]\nv6_only = true", "f:1: listen.address: is missing"),
    (
        "[[listen]]\naddress = \"8000\"",
        "f:2: listen.address: expected an address and port such as \"0.0.0.0:8000\" or \
        \"[::]:8000\", found the string \"8000\"",
    ),
    (
        "[[listen]]\naddress = \"0.0.0.0:0\"",
        "f:2: listen.address: expected a port from 1 to 65535, found 0.0.0.0:0",
    ),
    (
        "[[listen]]\naddress = \"0.0.0.0:1\"\n[[listen]]\naddress = \"0.0.0.0:1\"",
        "f:4: listen.address: 0.0.0.0:1 is already taken by 0.0.0.0:1",
    ),
    (
        "[[listen]]\naddress = \"0.0.0.0:1\"\n[[listen]]\naddress = \"[::]:1\"\nv6_only = \
        false",
        "f:4: listen.address: [::]:1 is already taken by 0.0.0.0:1",
    ),
    (
        "[[listen]]\naddress = \"0.0.0.0:1\"\nshoutcast_mount = \"/s\"\n[[listen]]\naddress \
        = \"0.0.0.0:2\"",
        "f:5: listen.address: 0.0.0.0:2 is already taken by 0.0.0.0:2",
    ),
    (
        "[[listen]]\naddress = \"0.0.0.0:65535\"\nshoutcast_mount = \"/s\"",
        "f:3: listen.shoutcast_mount: needs the port above 65535",
    ),
    ("[shards]\ncores = [0, 2, 0]", "f:2: shards.cores: core 0 is named twice"),
    (
        "[shards]\ncores = [0, 2]\ncount = 3",
        "f:3: shards.count: 3 shards are to be pinned to 2 cores",
    ),
    (
        "[mount_defaults]\nname = \"/a\"",
        "f:2: mount_defaults.name: belongs to one [[mount]] and cannot be a default",
    ),
    ("[[mount]]\nburst_bytes = 1", "f:1: mount.name: is missing"),
    (
        "[[mount]]\nname = \"live\"",
        "f:2: mount.name: expected a path that starts with /, found \"live\"",
    ),
    (
        "[[mount]]\nname = \"/\"",
        "f:2: mount.name: expected a path with a name after the /, found \"/\"",
    ),
    (
        "[[mount]]\nname = \"/admin/x\"",
        "f:2: mount.name: expected a path outside /admin, which is the server's, \
        found \"/admin/x\"",
    ),
    (
        "[[mount]]\nname = \"/a b\"",
        "f:2: mount.name: expected a path without spaces, control characters, ?, # and %, \
        found \"/a b\"",
    ),
    (
        "[[mount]]\nname = \"/a\"\n[[mount]]\nname = \"/a\"",
        "f:4: mount.name: \"/a\" is already another mount's",
    ),
    (
        "[[mount]]\nname = \"/a\"\nburst_bytes = 600000",
        "f:3: mount.burst_bytes: burst_bytes 600000 exceeds window_bytes, 524288",
    ),
    (
        "[[mount]]\nname = \"/a\"\nwindow_bytes = 40000",
        "f:3: mount.window_bytes: burst_bytes 65535 exceeds window_bytes, 40000",
    ),
    (
        "[[mount]]\nname = \"/a\"\nmetaint = 300000",
        "f:3: mount.metaint: metaint 300000 exceeds half of window_bytes, 262144",
    ),
    (
        "[mount_defaults]\nwindow_bytes = 600000\n[[mount]]\nname = \"/a\"",
        "f:2: mount_defaults.window_bytes: window_bytes 600000 exceeds \
        limits.window_bytes_max, 524288",
    ),
    (
        "[mount_defaults]\nflush_ms = 1",
        "f:2: mount_defaults.flush_ms: expected 5 to 10000, found 1",
    ),
    (
        "[[mount]]\nname = \"/a\"\ncontent_type = \"mp3\"",
        "f:3: mount.content_type: expected a content type such as \"audio/mpeg\", found \
        \"mp3\"",
    ),
    (
        "[[mount]]\nname = \"/a\"\npull = [\"https://h/a\"]",
        "f:3: mount.pull: https is not supported for pulls yet; use http://",
    ),
    (
        "[[mount]]\nname = \"/a\"\npull = [\"ftp://h/a\"]",
        "f:3: mount.pull: expected a URL with http://, found ftp://",
    ),
    (
        "[[mount]]\nname = \"/a\"\npull = [\"h/a\"]",
        "f:3: mount.pull: expected a URL such as \"http://host:8000/live.mp3\", found no \
        scheme",
    ),
    (
        "[[mount]]\nname = \"/a\"\npull = [\"http://u:secret@h:8000\"]",
        "f:3: mount.pull: expected a URL with a path for http://h:8000",
    ),
    (
        "[[mount]]\nname = \"/a\"\npull = [\"http://h:99999/a\"]",
        "f:3: mount.pull: expected a port from 1 to 65535 in \"h:99999\"",
    ),
    ("[[mount]]\nname = \"/a\"\nfallback = \"/a\"", "f:3: mount.fallback: falls back to itself"),
    (
        "[[mount]]\nname = \"/a\"\nfallback = \"b\"",
        "f:3: mount.fallback: expected a path that starts with /, found \"b\"",
    ),
];

#[test]
fn the_sample_that_is_deployed_is_the_one_that_is_printed() {
    let deployed = include_str!("../../../deploy/skywave.toml.sample");
    let hint = "renew it: skywave --print-default-config > deploy/skywave.toml.sample";
    assert!(deployed == crate::sample(), "{hint}");
}

#[test]
fn tls_says_what_it_lacks() {
    let parse = |text: &str| match Config::parse("c.toml", text) {
        Ok(_) => String::new(),
        Err(errors) => errors.to_string(),
    };
    let listen = "[[listen]]\naddress = \"127.0.0.1:8000\"\n";
    assert!(parse(&format!("{listen}tls = true\n")).contains("needs tls.certificates"));
    let redirect = format!("{listen}https_redirect = true\n");
    assert!(parse(&redirect).contains("needs tls = true"));
    let keys = "[tls]\ncertificates = [\"a\", \"b\"]\nkeys = [\"c\"]\n";
    assert!(parse(keys).contains("one for each of 2 certificates, found 1"));
    let right =
        format!("{listen}tls = true\nhttps_redirect = true\n[tls]\ncertificates = [\"a\"]\n");
    assert_eq!(parse(&right), "");
}

#[test]
fn a_mount_is_fed_by_one_stream_and_a_stream_goes_one_way() {
    let stream = |name: &str, rest: &str| format!("[[stream]]\nname = \"{name}\"\n{rest}\n");
    let feeds = "to_mount = \"/a.opus\"";
    let twice = stream("a", feeds) + &stream("b", feeds);
    let both = stream("a", &format!("{feeds}\nfrom_mount = \"/a.opus\""));
    let one_way = stream("a", feeds) + &stream("b", "from_mount = \"/a.opus\"");
    assert!(Config::parse("f", &one_way).is_ok());
    for (text, part) in [(twice, "already fed"), (both, "fed with itself")] {
        let faults = Config::parse("f", &text).expect_err(part).to_string();
        assert!(faults.contains(part), "{faults}");
    }
    assert!(Config::parse("f", &stream("a", "to_mount = \"a\"")).is_err(), "a mount is a path");
}
