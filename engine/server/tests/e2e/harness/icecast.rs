//! Debian's icecast2, to pull from and to compare with. It has the same passwords as [`Server`].
//!
//! [`Server`]: super::Server

use std::net::{Ipv4Addr, SocketAddr};

use super::http::{self, basic};
use super::server::{ADMIN, Folder, PASSWORD, free_port};
use super::{Peer, peers, wait_for};

/// A running icecast2.
pub struct Icecast {
    /// Where it accepts connections.
    pub address: SocketAddr,
    _process: Peer,
    _folder: Folder,
}

impl Icecast {
    /// Starts one; `None` where peers are not asked for.
    pub fn start() -> Option<Icecast> {
        Icecast::start_with("")
    }

    /// Starts one that pulls a mount from a server.
    pub fn start_pulling(from: SocketAddr, mount: &str) -> Option<Icecast> {
        Icecast::start_with(&format!(
            "<relay><server>{}</server><port>{}</port><mount>{mount}</mount>\
             <local-mount>{mount}</local-mount>\
             <relay-shoutcast-metadata>1</relay-shoutcast-metadata></relay>",
            from.ip(),
            from.port()
        ))
    }

    /// Starts one with these elements in its configuration.
    pub fn start_with(elements: &str) -> Option<Icecast> {
        if !peers::have(&["icecast2"]) {
            return None;
        }
        let folder = Folder::new("icecast");
        let port = free_port();
        let config = folder.write("icecast.xml", configuration(&folder, port, elements));
        let arguments = ["-c", config.to_str().expect("a readable path")];
        let mut process = Peer::start_unprivileged("icecast2", &arguments);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait_for("icecast2 answers", || {
            assert!(process.is_running(), "icecast2 ended: {}", process.log());
            http::try_get(address, "/server_version.xsl").is_some_and(|reply| reply.status > 0)
        });
        Some(Icecast { address, _process: process, _folder: folder })
    }

    /// Gives a mount a title.
    pub fn set_title(&self, mount: &str, title: &str) {
        let path = format!("/admin/metadata?mount={mount}&mode=updinfo&song={title}");
        let reply = http::get(self.address, &path, &[&basic(ADMIN.0, ADMIN.1)]);
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

/// As Debian ships it, but for ports, passwords and places, and with the stylesheet of
/// `/status-json.xsl`, which its webroot lacks.
fn configuration(folder: &Folder, port: u16, elements: &str) -> String {
    let place = folder.path().display();
    let (user, admin) = ADMIN;
    format!(
        "<icecast><location>Earth</location><admin>icemaster@localhost</admin>\
         <limits><clients>100</clients><sources>20</sources><queue-size>524288</queue-size>\
         <client-timeout>30</client-timeout><header-timeout>15</header-timeout>\
         <source-timeout>10</source-timeout><burst-on-connect>1</burst-on-connect>\
         <burst-size>65535</burst-size></limits>\
         <authentication><source-password>{PASSWORD}</source-password>\
         <relay-password>a-relay-password</relay-password><admin-user>{user}</admin-user>\
         <admin-password>{admin}</admin-password></authentication>\
         <hostname>localhost</hostname>\
         <listen-socket><port>{port}</port><bind-address>127.0.0.1</bind-address></listen-socket>\
         <http-headers><header name=\"Access-Control-Allow-Origin\" value=\"*\"/></http-headers>\
         {elements}\
         <fileserve>1</fileserve>\
         <paths><basedir>/usr/share/icecast2</basedir><logdir>{place}</logdir>\
         <webroot>/usr/share/icecast2/web</webroot><adminroot>/usr/share/icecast2/admin</adminroot>\
         <alias source=\"/\" destination=\"/status.xsl\"/></paths>\
         <logging><accesslog>access.log</accesslog><errorlog>error.log</errorlog>\
         <loglevel>3</loglevel></logging>\
         <security><chroot>0</chroot></security></icecast>"
    )
}
