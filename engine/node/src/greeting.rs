//! What a listener is told before the stream.
//!
//! Thousands who come at once for one mount are told the same, so that the head is written once a
//! second and shared: in a storm of connects the heads on their way would else be most of the
//! memory in use.

use std::borrow::Cow;

use bytes::Bytes;
use shards_runtime::{Context, Io, Piece, Token};

use crate::fanout::Visit;
use crate::message::Message;
use crate::node::Node;
use crate::snapshot::{Session, SessionId};

/// The last head that was the same for everybody, and what it was for.
pub(crate) struct SharedHead {
    session: SessionId,
    titled: bool,
    /// Its `Date`, seconds of the Unix epoch.
    unix_seconds: u64,
    head: Bytes,
}

impl Node {
    /// Tells a listener what it will hear, and makes it one.
    pub(crate) fn greet_listener<I: Io>(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        token: Token,
        session: &Session,
        mut visit: Visit,
    ) {
        visit.titled &= session.stream.metaint.is_some();
        let head = self.listener_head(cx, token, session, visit.titled);
        let connection = self.connections.get_mut(token).expect("a listener is connected");
        if let Some(record) = &mut connection.record {
            record.status = 200;
        }
        // A listener says nothing more: the room that its head took is given back.
        connection.input = Vec::new();
        connection.push(Piece::Owned(head));
        self.start_listener(cx, token, session, visit);
    }

    /// The head of a stream's answer. Another node that pulls is told this node's name, so that a
    /// loop is seen wherever it is closed.
    pub(crate) fn listener_head<I: Io>(
        &mut self,
        cx: &Context<'_, I, Message>,
        token: Token,
        session: &Session,
        titled: bool,
    ) -> Bytes {
        let record = self.connections.get(token).and_then(|c| c.record.as_ref());
        let is_pull = record.is_some_and(|record| record.is_pull);
        let wants_length = record.is_some_and(|record| record.wants_length);
        let is_shared = !is_pull && !wants_length;
        let unix_seconds = cx.wall_clock().as_secs();
        let fits = |shared: &&SharedHead| {
            (shared.session, shared.titled, shared.unix_seconds)
                == (session.id, titled, unix_seconds)
        };
        if let Some(shared) = self.shared_head.as_ref().filter(fits).filter(|_| is_shared) {
            return shared.head.clone();
        }
        let stream = &session.stream;
        let mut info = Cow::Borrowed(&stream.info);
        let node_id = &self.snapshot.config.server.node_id;
        if is_pull && !info.passed(node_id) {
            info.to_mut().add_via(node_id);
        }
        let metaint = stream.metaint.filter(|_| titled);
        let answers = self.answers(cx);
        let head = answers.listener_head(&stream.content_type, &info, metaint, wants_length);
        // Without the room that it was written in.
        let head = Bytes::from(head.into_boxed_slice());
        if is_shared {
            let head = head.clone();
            let session = session.id;
            self.shared_head = Some(SharedHead { session, titled, unix_seconds, head });
        }
        head
    }
}
