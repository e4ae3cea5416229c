//! What a service must not do. Each breach is a bug of the service and a panic at its own call.

use std::collections::BTreeMap;

use shards_runtime::{Socket, Token};

/// Who has which token slot: from the first operation with it until `Closed` (or a failed
/// `Connected`) has been handed out.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    slots: BTreeMap<u32, Tenant>,
}

#[derive(Debug)]
struct Tenant {
    generation: u32,
    connecting: bool,
    sockets: Vec<Socket>,
}

impl Tenants {
    /// An operation on a socket. Acceptors may share one token, streams may not.
    pub(crate) fn use_socket(&mut self, token: Token, socket: Socket, may_share: bool) {
        let tenant = self.tenant(token);
        if !tenant.sockets.contains(&socket) {
            assert!(
                may_share || tenant.sockets.is_empty(),
                "{token:?} is used for {socket:?} before {:?} is closed",
                tenant.sockets
            );
            tenant.sockets.push(socket);
        }
    }

    pub(crate) fn start_connect(&mut self, token: Token) {
        let tenant = self.tenant(token);
        assert!(
            tenant.sockets.is_empty() && !tenant.connecting,
            "{token:?} connects twice, or before its last socket is closed"
        );
        tenant.connecting = true;
    }

    /// `Connected` has been handed out.
    pub(crate) fn end_connect(&mut self, token: Token, socket: Option<Socket>) {
        let Some(tenant) = self.slots.get_mut(&token.slot) else { return };
        tenant.connecting = false;
        tenant.sockets.extend(socket);
        if tenant.sockets.is_empty() {
            self.slots.remove(&token.slot);
        }
    }

    /// `Closed` has been handed out.
    pub(crate) fn close(&mut self, socket: Socket) {
        self.slots.retain(|_, tenant| {
            tenant.sockets.retain(|&other| other != socket);
            tenant.connecting || !tenant.sockets.is_empty()
        });
    }

    fn tenant(&mut self, token: Token) -> &mut Tenant {
        let Token { slot, generation } = token;
        let tenant = self.slots.entry(slot).or_insert(Tenant {
            generation,
            connecting: false,
            sockets: Vec::new(),
        });
        assert_eq!(
            tenant.generation, generation,
            "token slot {slot} is used again before its last tenant's Closed"
        );
        tenant
    }
}
