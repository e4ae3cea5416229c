//! In from the network: whose a datagram is, and on which shard that one lives.
//!
//! ```text
//! known path ──────────────► the session, here or (handed over) on its shard
//! a check of ICE ─► ufrag ─► the session here, or the shard that the ufrag names, which knows
//! anything else ───────────► nobody's
//! ```
//!
//! A path is known once the session has answered there, so that nobody claims another's address
//! without its password.

use media_rtc::Input;
use protocol_stun::{AttributeKind, Message};
use shards_runtime::{Context, Io, ShardId, Token};

use crate::demux::Kind;
use crate::ids::{SessionId, shard_of_ufrag};
use crate::letter::{Addressee, Letter, Path, Stray};
use crate::rtc::{Owner, Place, Rtc};

/// Shards that may pass a datagram on: to the maker, to where it is, and once more while it moves.
const HOPS_MAX: u8 = 3;

/// Paths of sessions elsewhere that are remembered. At the limit what comes there goes by its
/// ufrag, or is lost.
const AWAY_MAX: usize = 100_000;

impl Rtc {
    /// A datagram came in.
    pub(crate) fn datagram<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        path: Path,
        bytes: &[u8],
    ) {
        let kind = Kind::of(bytes);
        if kind == Kind::Foreign {
            self.stats.datagrams_unknown += 1;
            return;
        }
        if kind == Kind::Stun
            && let Some(ufrag) = ufrag_of(bytes)
        {
            return self.check(cx, path, ufrag, bytes);
        }
        match self.by_path.get(&path).copied() {
            Some(Owner::Here(token)) => self.hand_over(cx, token, (path, self.me), kind, bytes),
            Some(Owner::Away(shard, session)) => {
                self.pass_on(cx, shard, Addressee::Session(session), (path, self.me, 0), bytes);
            }
            None => self.stats.datagrams_unknown += 1,
        }
    }

    /// A check of ICE came in.
    fn check<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        path: Path,
        ufrag: &str,
        bytes: &[u8],
    ) {
        match self.by_ufrag.get(ufrag).copied() {
            Some(Place::Here(token)) => {
                self.hand_over(cx, token, (path, self.me), Kind::Stun, bytes);
            }
            Some(Place::At(shard)) => {
                let to = Addressee::Ufrag(ufrag.to_owned());
                self.pass_on(cx, shard, to, (path, self.me, 0), bytes);
            }
            None => match shard_of_ufrag(ufrag.as_bytes()) {
                Some(shard) if shard != self.me && shard.0 < self.shards_count => {
                    let to = Addressee::Ufrag(ufrag.to_owned());
                    self.pass_on(cx, shard, to, (path, self.me, 0), bytes);
                }
                _ => self.stats.datagrams_unknown += 1,
            },
        }
    }

    /// A datagram came from a sibling.
    pub(crate) fn stray<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        stray: Stray,
    ) {
        let place = match &stray.to {
            Addressee::Ufrag(ufrag) => self.by_ufrag.get(ufrag),
            Addressee::Session(session) => self.by_id.get(session),
        };
        let (path, via) = (stray.path, stray.via);
        let token = match place.copied() {
            Some(Place::Here(token)) => token,
            Some(Place::At(shard)) if stray.hops < HOPS_MAX => {
                let way = (path, via, stray.hops + 1);
                return self.pass_on(cx, shard, stray.to, way, &stray.bytes);
            }
            _ => {
                self.stats.datagrams_unknown += 1;
                // Whoever passed it on has an old word of where the session is.
                if matches!(stray.to, Addressee::Session(_)) {
                    self.post(cx, via, Letter::Unroute(path));
                }
                return;
            }
        };
        let kind = Kind::of(&stray.bytes);
        let Some(entry) = self.sessions.get_mut(token) else { return };
        let heard = entry.heard(path, via);
        if kind != Kind::Stun && !entry.is_settled && heard.is_proved && via != self.me {
            let session = entry.id;
            self.move_to(cx, token, via);
            let way = (path, via, stray.hops + 1);
            return self.pass_on(cx, via, Addressee::Session(session), way, &stray.bytes);
        }
        self.hand_over(cx, token, (path, via), kind, &stray.bytes);
    }

    /// Gives a session its datagram.
    fn hand_over<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
        (path, via): (Path, ShardId),
        kind: Kind,
        bytes: &[u8],
    ) {
        let me = self.me;
        let Some(listener) = self.config.rtc.listen.get(usize::from(path.listener)).copied() else {
            return;
        };
        let Some(entry) = self.sessions.get_mut(token) else { return };
        let heard = entry.heard(path, via);
        entry.is_settled |= kind != Kind::Stun && via == me && heard.is_proved;
        let input = Input::Datagram {
            source: path.peer,
            destination: listener,
            transport: path.transport,
            bytes,
        };
        entry.session.handle(cx.now(), input);
        self.mark(token);
    }

    /// Passes a datagram on; a full queue loses it, as the way would.
    fn pass_on<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        shard: ShardId,
        to: Addressee,
        (path, via, hops): (Path, ShardId, u8),
        bytes: &[u8],
    ) {
        let stray = Box::new(Stray { to, path, via, hops, bytes: bytes.to_vec() });
        self.stats.datagrams_handed_over += 1;
        if shard == self.me {
            self.to_self.push_back(Letter::Stray(stray));
        } else if shard.0 >= self.shards_count
            || cx.send(shard, Letter::Stray(stray).into()).is_err()
        {
            self.stats.datagrams_dropped += 1;
        }
    }

    /// A sibling says that datagrams of this path are for a session there.
    pub(crate) fn route(&mut self, path: Path, at: ShardId, session: SessionId) {
        if self.by_path.len() < AWAY_MAX || self.by_path.contains_key(&path) {
            self.by_path.insert(path, Owner::Away(at, session));
        }
    }

    /// A sibling says that they are not any more.
    pub(crate) fn unroute(&mut self, path: Path, at: ShardId) {
        if matches!(self.by_path.get(&path), Some(Owner::Away(shard, _)) if *shard == at) {
            self.by_path.remove(&path);
        }
    }

    /// A session has answered on a path: whatever else comes there is its own.
    pub(crate) fn prove<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
        path: Path,
        at: ShardId,
    ) {
        let Some(entry) = self.sessions.get(token) else { return };
        let session = entry.id;
        if at == self.me {
            self.by_path.insert(path, Owner::Here(token));
        } else {
            self.post(cx, at, Letter::Route { from: path, session });
        }
    }

    /// Nobody is at the session's paths any more.
    pub(crate) fn forget_paths<I: Io, M: Send + From<Letter>>(
        &mut self,
        cx: &mut Context<'_, I, M>,
        token: Token,
        paths: &[crate::entry::Heard],
    ) {
        for heard in paths {
            if heard.at != self.me {
                self.post(cx, heard.at, Letter::Unroute(heard.path));
            } else if self.by_path.get(&heard.path) == Some(&Owner::Here(token)) {
                self.by_path.remove(&heard.path);
            }
        }
    }
}

/// Our name in a check: what stands before the colon of its USERNAME (RFC 8445 §7.2.2).
fn ufrag_of(bytes: &[u8]) -> Option<&str> {
    let message = Message::decode(bytes).ok()?;
    let username = message.find(AttributeKind::USERNAME)?;
    let username = std::str::from_utf8(username).ok()?;
    username.split_once(':').map(|(ours, _)| ours)
}
