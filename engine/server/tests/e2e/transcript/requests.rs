//! The requests, in the order in which they are made. `{admin}`, `{source}`, `{relay}` and
//! `{wrong}` are `Authorization` lines.

/// How the body of an answer is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    /// As it is.
    Whole,
    /// That there is one: pages for people are not the same page.
    Page,
    /// That there is one: a stream goes on.
    Endless,
}

/// A request.
pub struct Request {
    /// Its name in the table.
    pub name: &'static str,
    /// What is sent.
    pub bytes: &'static str,
    /// How its answer ends.
    pub body: Body,
}

macro_rules! requests {
    ($($body:ident $name:literal $bytes:expr;)*) => {
        &[$(Request { name: $name, bytes: $bytes, body: Body::$body }),*]
    };
}

/// All of them.
pub const REQUESTS: &[Request] = requests! {
    Endless "listener, HTTP/1.0" "GET /live.mp3 HTTP/1.0\r\n\r\n";
    Endless "listener, HTTP/1.1" "GET /live.mp3 HTTP/1.1\r\nHost: x\r\n\r\n";
    Endless "listener with titles" "GET /live.mp3 HTTP/1.0\r\nIcy-MetaData: 1\r\n\r\n";
    Endless "listener with a range" "GET /live.mp3 HTTP/1.1\r\nHost: x\r\nRange: bytes=0-\r\n\r\n";
    Endless "listener with an agent that wants a length"
        "GET /live.mp3 HTTP/1.1\r\nHost: x\r\nUser-Agent: Mozilla/4.0 (compatible; MSIE 6.0)\r\n\r\n";
    Endless "listener of a hidden mount" "GET /hidden.mp3 HTTP/1.0\r\n\r\n";
    Whole "full mount" "GET /one.mp3 HTTP/1.1\r\nHost: x\r\n\r\n";
    Whole "unknown mount" "GET /nosuch.mp3 HTTP/1.1\r\nHost: x\r\n\r\n";
    Whole "HEAD of a mount" "HEAD /live.mp3 HTTP/1.1\r\nHost: x\r\n\r\n";
    Whole "OPTIONS of a mount" "OPTIONS /live.mp3 HTTP/1.1\r\nHost: x\r\n\r\n";
    Whole "OPTIONS *" "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0, HTTP/1.1\r\n\r\n";
    Whole "path with .." "GET /live.mp3/../live.mp3 HTTP/1.1\r\nHost: x\r\n\r\n";
    Whole "path with encoded .." "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n";
    Whole "POST of a mount" "POST /live.mp3 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    Whole "DELETE of a mount" "DELETE /live.mp3 HTTP/1.1\r\nHost: x\r\n\r\n";
    Whole "unknown method" "BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n";
    Whole "no request line" "hello\r\n\r\n";
    Whole "bare line feeds" "GET /nosuch.mp3 HTTP/1.0\n\n";

    Whole "PUT without credentials" "PUT /new.mp3 HTTP/1.1\r\nHost: x\r\nContent-Type: audio/mpeg\r\n\r\n";
    Whole "PUT with a wrong password"
        "PUT /new.mp3 HTTP/1.1\r\nHost: x\r\n{wrong}\r\nContent-Type: audio/mpeg\r\n\r\n";
    Whole "SOURCE without credentials, as libshout probes"
        "SOURCE /new.mp3 HTTP/1.0\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n";
    Whole "PUT of a mount in use"
        "PUT /live.mp3 HTTP/1.1\r\nHost: x\r\n{source}\r\nContent-Type: audio/mpeg\r\n\r\n";
    Whole "PUT without a type" "PUT /new.mp3 HTTP/1.1\r\nHost: x\r\n{source}\r\n\r\n";
    Endless "PUT of a page"
        "PUT /new.html HTTP/1.1\r\nHost: x\r\n{source}\r\nContent-Type: text/html\r\n\r\n";
    Endless "PUT"
        "PUT /put.mp3 HTTP/1.1\r\nHost: x\r\n{source}\r\nContent-Type: audio/mpeg\r\n\r\n";
    Endless "PUT that expects 100"
        "PUT /expect.mp3 HTTP/1.1\r\nHost: x\r\n{source}\r\nContent-Type: audio/mpeg\r\nExpect: 100-continue\r\n\r\n";
    Endless "SOURCE without a type" "SOURCE /typeless.mp3 HTTP/1.0\r\n{source}\r\n\r\n";
    Whole "PUT of a path that is none"
        "PUT nothing HTTP/1.1\r\nHost: x\r\n{source}\r\nContent-Type: audio/mpeg\r\n\r\n";

    Whole "admin: a title"
        "GET /admin/metadata?mount=/live.mp3&mode=updinfo&song=A+-+B HTTP/1.1\r\nHost: x\r\n{admin}\r\n\r\n";
    Whole "admin: a title by the source"
        "GET /admin/metadata?mount=/live.mp3&mode=updinfo&song=A+-+B HTTP/1.0\r\n{source}\r\n\r\n";
    Whole "admin: a title without credentials"
        "GET /admin/metadata?mount=/live.mp3&mode=updinfo&song=x HTTP/1.0\r\n\r\n";
    Whole "admin: a title, artist apart"
        "GET /admin/metadata?mount=/live.mp3&mode=updinfo&artist=A&title=B HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: a title in another mode"
        "GET /admin/metadata?mount=/live.mp3&mode=bogus&song=x HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: a title without a mode"
        "GET /admin/metadata?mount=/live.mp3&song=x HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: a title of no mount"
        "GET /admin/metadata?mount=/nosuch&mode=updinfo&song=x HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: a title, mount missing"
        "GET /admin/metadata?mode=updinfo&song=x HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin.cgi without a password" "GET /admin.cgi?mode=updinfo&song=x HTTP/1.0\r\n\r\n";
    Whole "admin.cgi without such a source"
        "GET /admin.cgi?pass={password}&mode=updinfo&song=x HTTP/1.0\r\n\r\n";
    Whole "admin: stats" "GET /admin/stats HTTP/1.1\r\nHost: x\r\n{admin}\r\n\r\n";
    Whole "admin: stats of a mount" "GET /admin/stats?mount=/live.mp3 HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: stats of no mount" "GET /admin/stats?mount=/nosuch HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: listmounts" "GET /admin/listmounts HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: listclients, none" "GET /admin/listclients?mount=/hidden.mp3 HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: listclients, one" "GET /admin/listclients?mount=/one.mp3 HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: listclients of no mount" "GET /admin/listclients?mount=/nosuch HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: killclient of nobody"
        "GET /admin/killclient?mount=/live.mp3&id=99999999 HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: killclient without an id" "GET /admin/killclient?mount=/live.mp3 HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: moveclients, to choose" "GET /admin/moveclients?mount=/live.mp3 HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: moveclients"
        "GET /admin/moveclients?mount=/live.mp3&destination=/hidden.mp3 HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: moveclients to itself"
        "GET /admin/moveclients?mount=/live.mp3&destination=/live.mp3 HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: moveclients to nowhere"
        "GET /admin/moveclients?mount=/live.mp3&destination=/nosuch HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: fallbacks"
        "GET /admin/fallbacks?mount=/live.mp3&fallback=/hidden.mp3 HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: killsource" "GET /admin/killsource?mount=/killed.mp3 HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: killsource of no mount" "GET /admin/killsource?mount=/nosuch HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: unknown command" "GET /admin/bogus HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: unknown command, as libshout probes" "GET /admin/!POKE HTTP/1.1\r\nHost: x\r\n\r\n";
    Whole "admin: without credentials" "GET /admin/stats HTTP/1.0\r\n\r\n";
    Whole "admin: streamlist.txt" "GET /admin/streamlist.txt HTTP/1.0\r\n{relay}\r\n\r\n";
    Whole "admin: streamlist.txt as admin" "GET /admin/streamlist.txt HTTP/1.0\r\n{admin}\r\n\r\n";
    Whole "admin: buildm3u"
        "GET /admin/buildm3u?mount=/live.mp3&username=u&password=p HTTP/1.0\r\nHost: localhost:{port}\r\n\r\n";
    Page "admin: home" "GET /admin/ HTTP/1.0\r\n{admin}\r\n\r\n";
    Page "admin: listclients for people"
        "GET /admin/listclients.xsl?mount=/one.mp3 HTTP/1.0\r\n{admin}\r\n\r\n";
    Page "admin: form for a title" "GET /admin/updatemetadata.xsl?mount=/live.mp3 HTTP/1.0\r\n{admin}\r\n\r\n";

    Page "status page" "GET /status.xsl HTTP/1.0\r\n\r\n";
    Page "status page at /" "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    Page "version page" "GET /server_version.xsl HTTP/1.0\r\n\r\n";
    Whole "status-json of a mount" "GET /status-json.xsl?mount=/live.mp3 HTTP/1.0\r\n\r\n";
    Whole "m3u" "GET /live.mp3.m3u HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n";
    Whole "m3u without a host" "GET /live.mp3.m3u HTTP/1.0\r\n\r\n";
    Whole "m3u of no mount" "GET /nosuch.m3u HTTP/1.0\r\n\r\n";
    Whole "xspf" "GET /live.mp3.xspf HTTP/1.0\r\n\r\n";
    Whole "vclt" "GET /live.mp3.vclt HTTP/1.0\r\n\r\n";
};
