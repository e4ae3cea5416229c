//! Which certificate a client gets, and what an operator is told of his files.

use std::sync::Arc;

use protocol_tls::{
    ConfigError, Fault, Identity, ServerConfig, ServerSettings, TicketKeys, Warning,
};
use rcgen::date_time_ymd;

use crate::lab::{Authority, End, pair};

fn config(identities: Vec<Identity>, refuses_unknown_names: bool) -> Arc<ServerConfig> {
    let keys = TicketKeys::new().unwrap();
    let settings =
        ServerSettings { refuses_unknown_names, ..ServerSettings::new(identities, keys) };
    Arc::new(ServerConfig::new(settings).unwrap())
}

#[test]
fn a_client_gets_the_certificate_of_the_name_that_it_asks_for() {
    let authority = Authority::new();
    let identities = vec![
        authority.identity(&["default.example"]),
        authority.identity(&["radio.example", "www.radio.example"]),
        authority.identity(&["*.wild.example", "wild.example"]),
        authority.identity(&["exact.wild.example"]),
    ];
    let config = config(identities, false);
    let client = authority.client();
    // Each of these succeeds only with the one certificate that has the name.
    for name in [
        "default.example",
        "radio.example",
        "www.radio.example",
        "WWW.Radio.Example",
        "any.wild.example",
        "wild.example",
        "exact.wild.example",
    ] {
        let (_, server) = pair(&config, &client, name);
        assert_eq!(server.session.sni(), Some(name.to_lowercase().as_str()));
    }
    for name in ["two.labels.wild.example", "unknown.example"] {
        let mut server = End::server(&config);
        server.hear(&mut End::client(&client, name), usize::MAX).unwrap();
        assert!(!server.out.is_empty(), "it gets the default, which it will not like");
    }
}

#[test]
fn who_names_an_address_gets_the_default_and_has_no_name() {
    let authority = Authority::new();
    let config =
        config(vec![authority.identity(&["127.0.0.1"]), authority.identity(&["b.example"])], true);
    let (_, server) = pair(&config, &authority.client(), "127.0.0.1");
    assert_eq!(server.session.sni(), None);
}

#[test]
fn unknown_names_can_be_refused() {
    let authority = Authority::new();
    let config = config(vec![authority.identity(&["a.example"])], true);
    let mut server = End::server(&config);
    let mut client = End::client(&authority.client(), "b.example");
    let failed = server.hear(&mut client, usize::MAX).unwrap_err();
    assert_eq!(failed.fault, Fault::Refused, "{failed}");
    assert_eq!(server.out[0], 21, "an alert");
}

#[test]
fn an_operator_hears_what_is_wrong_with_his_files() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["a.example"]);
    let (other_certificate, other_key) = authority.issue(&["b.example"]);
    let error = |certificates: &str, key: &str| {
        Identity::from_pem(certificates, key).expect_err("it is wrong").to_string()
    };
    assert_eq!(
        error(&certificate, &other_key),
        "the private key does not belong to the certificate of \"CN=a.example\": they are of two \
         different requests"
    );
    let text = error(&(authority.pem() + &certificate), &key);
    assert!(text.contains("belongs to certificate 2 (\"CN=a.example\")"), "{text}");
    let text = error(&(certificate.clone() + &other_certificate), &key);
    assert!(text.starts_with("certificate 2 (\"CN=b.example\") did not issue"), "{text}");
    assert!(text.contains("issued by \"CN=the lab's authority\""), "{text}");
    let text = error(&key, &certificate);
    assert!(
        text.starts_with("there is no certificate") && text.contains("a private key"),
        "{text}"
    );
    let text = error(&certificate, &certificate);
    assert!(
        text.starts_with("there is no private key") && text.contains("a certificate"),
        "{text}"
    );
    let text = error("", &key);
    assert!(text.contains("and nothing found"), "{text}");
    let text = error(&certificate[..certificate.len() / 2], &key);
    assert!(text.starts_with("the PEM of the certificates is damaged"), "{text}");
    let sealed = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----";
    assert!(error(&certificate, sealed).contains("openssl pkey"));
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(error(junk, &key).starts_with("certificate 1 cannot be read"));
    let junk = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(error(&certificate, junk).starts_with("the private key cannot be used"));
    let none = ServerSettings::new(Vec::new(), TicketKeys::new().unwrap());
    assert_eq!(ServerConfig::new(none).unwrap_err(), ConfigError::NoIdentity);
    // One text with all of it will do.
    let all = certificate + &authority.pem() + &key;
    let identity = Identity::from_pem(&all, &all).unwrap();
    assert_eq!(identity.names().collect::<Vec<_>>(), ["a.example"]);
    assert_eq!(identity.subject(), "CN=a.example");
}

#[test]
fn an_operator_is_warned_of_what_clients_will_not_like() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue_with(&["a.example"], |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let alone = Identity::from_pem(&certificate, &key).unwrap();
    let expires = 1_609_459_200;
    assert_eq!(alone.expires_unix_seconds(), expires);
    let at = |unix_seconds| alone.warnings(unix_seconds);
    assert_eq!(at(1_590_000_000), [Warning::NoChain]);
    assert_eq!(at(expires - 3600), [Warning::ExpiresSoon(expires), Warning::NoChain]);
    assert_eq!(at(expires + 1), [Warning::Expired(expires), Warning::NoChain]);
    assert_eq!(at(0), [Warning::NotYetValid(1_577_836_800), Warning::NoChain]);
    let chained = Identity::from_pem(&(certificate + &authority.pem()), &key).unwrap();
    assert_eq!(chained.warnings(1_590_000_000), []);
    let (nameless, key) = authority.issue(&[]);
    let nameless = Identity::from_pem(&(nameless + &authority.pem()), &key).unwrap();
    assert_eq!(nameless.warnings(1_700_000_000), [Warning::NoNames]);
    let own = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    let own = Identity::from_pem(&own.cert.pem(), &own.signing_key.serialize_pem()).unwrap();
    assert_eq!(own.warnings(1_700_000_000), [Warning::SelfSigned]);
}
