//! From a forwarded request to what it wants: Icecast's `/admin/` dialects, the pages, playlists.
//!
//! ```text
//! ForwardedRequest ── parse ──► Command ── authority ──► who may ask for it
//!                        └────► AdminError: status and words of the answer
//! ```
//!
//! * Names of mounts are only names here: whether one exists is for the directory to say.
//! * *Invariant:* a request that changes something is a `GET` or a `POST`, and not one that a
//!   browser sends on behalf of another site.

use std::borrow::Cow;

use engine_events::Wanted;
use engine_node::ForwardedRequest;
use engine_rtc::SessionId;
use protocol_http::Query;
use protocol_icy::{
    Answers, Credentials, Playlist, TitleUpdate, UpdateError, V1TitleUpdate, basic_credentials,
};

/// What a request wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// The status page with its player.
    StatusPage,
    /// Which server this is, as a page.
    VersionPage,
    /// The public statistics, of all mounts or of one.
    StatusJson {
        /// Only this mount.
        mount: Option<String>,
    },
    /// Prometheus.
    Metrics,
    /// Whether the process works.
    Health,
    /// Whether it takes new listeners.
    Ready,
    /// A playlist of one mount, which need not exist.
    Playlist {
        /// The mount's path.
        mount: String,
        /// Which format.
        kind: Playlist,
    },
    /// All statistics, with those of all mounts or of one.
    Stats {
        /// Only this mount.
        mount: Option<String>,
    },
    /// The mounts.
    ListMounts,
    /// The mounts for a mirroring server.
    StreamList,
    /// The listeners of a mount.
    ListClients {
        /// Which mount.
        mount: String,
    },
    /// Disconnect one listener.
    KillClient {
        /// Its mount.
        mount: String,
        /// Its public id.
        id: u64,
    },
    /// Disconnect a source.
    KillSource {
        /// Its mount.
        mount: String,
    },
    /// Have a mount's listeners hear another one.
    MoveClients {
        /// From where.
        from: String,
        /// To where.
        to: String,
    },
    /// The mounts that the listeners of this one could be moved to.
    MoveClientsForm {
        /// From where.
        mount: String,
    },
    /// Give a mount another fallback.
    Fallbacks {
        /// Which mount.
        mount: String,
        /// Its fallback from now on; `None`: none.
        fallback: Option<String>,
    },
    /// A new title.
    UpdateTitle(TitleUpdate),
    /// A new title from an ICY v1 source; its password is inside.
    UpdateTitleV1(V1TitleUpdate),
    /// A form for a new title.
    UpdateTitleForm {
        /// Which mount.
        mount: String,
    },
    /// An M3U with a listener's user and password.
    BuildM3u {
        /// Which mount.
        mount: String,
        /// Whom the player logs in as.
        credentials: Credentials,
    },
    /// The allocations of TURN.
    ListTurn,
    /// End an allocation of TURN.
    KillTurn {
        /// Its public id.
        id: u64,
    },
    /// The sessions of WebRTC.
    ListRtc,
    /// End a session of WebRTC.
    KillRtc {
        /// Which; none: what was said is no session's number.
        session: Option<SessionId>,
    },
    /// What a browser's application needs to use TURN, for this user.
    IceServers {
        /// The name in the credentials.
        user: String,
    },
    /// How the server is, in icey-server's shape.
    ApiStatus,
    /// The same, with 503 while it takes nobody.
    ApiReady,
    /// What a page has to know before it signals.
    ApiConfig,
    /// The sessions and rooms of signalling.
    ApiPeers,
    /// The streams that can be watched.
    ApiStreams,
    /// The recordings, page by page.
    ApiRecordings(Wanted),
    /// Remove a recording.
    RemoveRecording {
        /// Its path below `/artifacts/`.
        path: String,
    },
    /// No page of ours and no mount: 404.
    NotFound,
}

/// Who may ask for something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Authority<'c> {
    /// Anybody.
    Public,
    /// The operator.
    Admin,
    /// The operator, and whoever may feed this mount.
    AdminOrSourceOf(&'c str),
    /// A mirroring server. Not the operator: Icecast refuses him too.
    Relay,
    /// As `turn.ice_servers` says.
    AsConfiguredForIce,
    /// Whoever knows the password of the mount's source; it is inside the request.
    PasswordInside,
}

/// Why a request is no command: the client's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AdminError {
    /// No such command. Also the answer to libshout's `/admin/!POKE`.
    Unrecognised,
    /// A parameter that the command needs is missing.
    MissingParameter,
    /// `mount` is missing.
    MissingMount,
    /// A title update that is none.
    Update(UpdateError),
    /// A method that is not served.
    Method,
    /// A browser sent it on behalf of another site.
    CrossSite,
}

/// Reads a request.
///
/// # Errors
/// What is wrong with it; see [`AdminError::answer`].
pub(crate) fn parse(request: &ForwardedRequest) -> Result<Command, AdminError> {
    if let ("DELETE", Some(path)) =
        (request.method.as_str(), request.path.strip_prefix("/artifacts/"))
    {
        return Ok(Command::RemoveRecording { path: path.to_owned() });
    }
    if !matches!(request.method.as_str(), "GET" | "HEAD" | "POST") {
        return Err(AdminError::Method);
    }
    let query = merged_query(request);
    let command = command_of(&request.path, &Parameters { raw: &query })?;
    if changes_something(&command) {
        if is_head(request) {
            return Err(AdminError::Method);
        }
        if request.header("sec-fetch-site") == Some("cross-site") {
            return Err(AdminError::CrossSite);
        }
    }
    Ok(command)
}

/// Who may ask for a command.
pub(crate) fn authority(command: &Command) -> Authority<'_> {
    match command {
        Command::StatusPage
        | Command::VersionPage
        | Command::StatusJson { .. }
        | Command::Metrics
        | Command::Health
        | Command::Ready
        // The shard has asked for a token.
        | Command::ApiStatus
        | Command::ApiReady
        | Command::ApiConfig
        | Command::ApiPeers
        | Command::ApiStreams
        | Command::ApiRecordings(_)
        | Command::RemoveRecording { .. }
        | Command::Playlist { .. }
        | Command::BuildM3u { .. }
        | Command::NotFound => Authority::Public,
        Command::Stats { .. }
        | Command::ListMounts
        | Command::ListTurn
        | Command::KillTurn { .. }
        | Command::ListRtc
        | Command::KillRtc { .. } => Authority::Admin,
        Command::IceServers { .. } => Authority::AsConfiguredForIce,
        Command::StreamList => Authority::Relay,
        Command::ListClients { mount }
        | Command::KillClient { mount, .. }
        | Command::KillSource { mount }
        | Command::MoveClients { from: mount, .. }
        | Command::MoveClientsForm { mount }
        | Command::Fallbacks { mount, .. }
        | Command::UpdateTitle(TitleUpdate { mount, .. })
        | Command::UpdateTitleForm { mount } => Authority::AdminOrSourceOf(mount),
        Command::UpdateTitleV1(_) => Authority::PasswordInside,
    }
}

/// Whether the answer is a page for people rather than XML.
pub(crate) fn wants_page(request: &ForwardedRequest) -> bool {
    is_admin_home(&request.path) || request.path.ends_with(".xsl")
}

/// Whether the answer goes without its body.
pub(crate) fn is_head(request: &ForwardedRequest) -> bool {
    request.method == "HEAD"
}

/// User and password of `Authorization: Basic`, where there are any.
pub(crate) fn credentials_of(request: &ForwardedRequest) -> Option<Credentials> {
    basic_credentials(request.header("authorization")?.as_bytes())
}

impl AdminError {
    /// Status of the answer.
    pub(crate) fn status(self) -> u16 {
        match self {
            AdminError::Update(error) => error.status(),
            AdminError::CrossSite => 403,
            _ => 400,
        }
    }

    /// The whole answer, in Icecast's words where it has any.
    pub(crate) fn answer(self, answers: &Answers<'_>) -> Vec<u8> {
        match self {
            AdminError::Unrecognised => answers.unrecognised_command(),
            AdminError::MissingParameter => answers.missing_parameter(),
            AdminError::MissingMount => UpdateError::MissingMount.answer(answers),
            AdminError::Update(error) => error.answer(answers),
            AdminError::Method => answers.unknown_request(),
            AdminError::CrossSite => answers.html_error(403, "the request is another site's"),
        }
    }
}

/// Longest path of a mount that a request may name.
const MOUNT_BYTES_MAX: usize = 1024;

fn command_of(path: &str, parameters: &Parameters<'_>) -> Result<Command, AdminError> {
    if is_admin_home(path) {
        return Ok(Command::Stats { mount: parameters.mount() });
    }
    if let Some(name) = path.strip_prefix("/admin/") {
        return admin_command(name, parameters);
    }
    Ok(match path {
        "/" | "/status.xsl" => Command::StatusPage,
        "/server_version.xsl" => Command::VersionPage,
        "/status-json.xsl" => Command::StatusJson { mount: parameters.mount() },
        "/metrics" => Command::Metrics,
        "/health" => Command::Health,
        "/ready" => Command::Ready,
        "/api/status" => Command::ApiStatus,
        "/api/ready" => Command::ApiReady,
        "/api/config" => Command::ApiConfig,
        "/api/peers" => Command::ApiPeers,
        "/api/streams" => Command::ApiStreams,
        "/api/recordings" => {
            Command::ApiRecordings(crate::recordings::wanted(parameters.raw.as_bytes()))
        }
        "/ice-servers" => Command::IceServers { user: parameters.user() },
        "/admin.cgi" => {
            let update = V1TitleUpdate::from_query(parameters.raw).map_err(AdminError::Update)?;
            Command::UpdateTitleV1(update)
        }
        _ => match Playlist::of_path(path) {
            Some((mount, kind)) => Command::Playlist { mount: mount.to_owned(), kind },
            None => Command::NotFound,
        },
    })
}

/// `name` is what stands behind `/admin/`.
fn admin_command(name: &str, parameters: &Parameters<'_>) -> Result<Command, AdminError> {
    let bare = name.strip_suffix(".xsl").unwrap_or(name);
    let mount = || parameters.mount().ok_or(AdminError::MissingMount);
    Ok(match bare {
        "stats" | "stats.xml" => Command::Stats { mount: parameters.mount() },
        "listmounts" => Command::ListMounts,
        "streamlist" | "streamlist.txt" => Command::StreamList,
        "listclients" => Command::ListClients { mount: mount()? },
        "killsource" => Command::KillSource { mount: mount()? },
        "killclient" => {
            let (mount, id) = (mount()?, parameters.needed("id")?);
            // Nobody has the id 0, so what is no number is a client that is not found.
            Command::KillClient { mount, id: id.parse().unwrap_or(0) }
        }
        "moveclients" => {
            let mount = mount()?;
            match parameters.path("destination") {
                Some(to) => Command::MoveClients { from: mount, to },
                None => Command::MoveClientsForm { mount },
            }
        }
        "fallbacks" => {
            let mount = mount()?;
            parameters.needed("fallback")?;
            Command::Fallbacks { mount, fallback: parameters.path("fallback") }
        }
        "metadata" => {
            let update = TitleUpdate::from_query(parameters.raw).map_err(AdminError::Update)?;
            Command::UpdateTitle(update)
        }
        "updatemetadata" => Command::UpdateTitleForm { mount: mount()? },
        "turn" => Command::ListTurn,
        "killturn" => {
            // Nobody has an id that is no number.
            let id = parameters.needed("id")?.parse().unwrap_or(u64::MAX);
            Command::KillTurn { id }
        }
        "rtc" => Command::ListRtc,
        "killrtc" => {
            let session = parameters.needed("id")?.parse().ok();
            Command::KillRtc { session }
        }
        "buildm3u" => {
            let mount = mount()?;
            let user = parameters.needed("username")?.into_owned();
            let password = parameters.needed("password")?.into_owned();
            Command::BuildM3u { mount, credentials: Credentials { user, password } }
        }
        _ => return Err(AdminError::Unrecognised),
    })
}

fn is_admin_home(path: &str) -> bool {
    path == "/admin" || path == "/admin/"
}

fn changes_something(command: &Command) -> bool {
    matches!(
        command,
        Command::KillClient { .. }
            | Command::KillSource { .. }
            | Command::KillTurn { .. }
            | Command::KillRtc { .. }
            | Command::MoveClients { .. }
            | Command::Fallbacks { .. }
            | Command::UpdateTitle(_)
            | Command::UpdateTitleV1(_)
    )
}

/// The query, and behind it the pairs of a form's body. Of repeated names the first stands.
fn merged_query(request: &ForwardedRequest) -> Cow<'_, str> {
    let query = request.query.as_deref().unwrap_or_default();
    let content_type = request.header("content-type").unwrap_or(FORM);
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if request.method != "POST" || request.body.is_empty() || !essence.eq_ignore_ascii_case(FORM) {
        return Cow::Borrowed(query);
    }
    // A form is ASCII; what is not cannot be a pair of ours.
    Cow::Owned(format!("{query}&{}", String::from_utf8_lossy(&request.body)))
}

const FORM: &str = "application/x-www-form-urlencoded";

/// The parameters of a request.
struct Parameters<'q> {
    raw: &'q str,
}

impl<'q> Parameters<'q> {
    fn get(&self, name: &str) -> Option<Cow<'q, str>> {
        Query::new(self.raw.as_bytes()).get_str(name)
    }

    fn needed(&self, name: &str) -> Result<Cow<'q, str>, AdminError> {
        self.get(name).ok_or(AdminError::MissingParameter)
    }

    /// A parameter that may name a mount; `None` too when it cannot.
    fn path(&self, name: &str) -> Option<String> {
        let path = self.get(name)?;
        let is_path = !path.is_empty()
            && path.len() <= MOUNT_BYTES_MAX
            && !path.contains(|char: char| char.is_control());
        is_path.then(|| path.into_owned())
    }

    /// The name of a user, where it can be one.
    fn user(&self) -> String {
        let user = self.get("user").map(Cow::into_owned).unwrap_or_default();
        let is_name = user.len() <= 128 && !user.contains(|char: char| char.is_control());
        if is_name { user } else { String::new() }
    }

    fn mount(&self) -> Option<String> {
        self.path("mount")
    }
}

#[cfg(test)]
mod tests;
