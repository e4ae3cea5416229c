//! Refresh, CreatePermission and ChannelBind (RFC 8656 §8, §10, §12).

use super::Server;
use super::allocate::bad;
use super::answer::Asker;
use super::prove::Proof;
use crate::allocation::index_of;
use crate::bucket::seconds;
use crate::exchange::{End, Output, RelayTransport};
use protocol_stun::{AttributeKind, CHANNEL_MAX, CHANNEL_MIN, ErrorCode, Message};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

impl Server {
    /// Longer, or no longer. With a family and no time, only that family's address goes; a time
    /// counts for both.
    pub(super) fn refresh(
        &mut self,
        now: Instant,
        asker: &Asker,
        proof: &Proof,
        message: &Message<'_>,
    ) -> Result<(), ErrorCode> {
        let id = self.own_allocation(&asker.client, &proof.name)?;
        let allocation = self.table.get_mut(id).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        let family = message.family(AttributeKind::REQUESTED_ADDRESS_FAMILY).map_err(bad)?;
        let family = match family {
            None => None,
            Some(Some(family)) if allocation.relayed[index_of(family)].is_some() => Some(family),
            Some(_) => return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH),
        };
        let lifetime = message.u32(AttributeKind::LIFETIME).map_err(bad)?;
        let lifetime_s = match lifetime {
            Some(0) => 0,
            lifetime => self.granted_lifetime_s(lifetime),
        };
        if lifetime_s > 0 {
            self.table.set_end(id, now + seconds(lifetime_s));
        } else {
            let allocation = self.table.get_mut(id).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
            let is_both = !allocation.relayed.contains(&None);
            match family.filter(|_| is_both) {
                Some(family) => {
                    allocation.relayed[index_of(family)] = None;
                    self.outputs.push_back(Output::ReleaseFamily(id, family));
                }
                None => self.end(id, End::Returned),
            }
        }
        self.succeed(asker, |builder| {
            builder.u32(AttributeKind::LIFETIME, lifetime_s);
        });
        Ok(())
    }

    /// Lets peers through: all that are named, or none.
    pub(super) fn create_permission(
        &mut self,
        now: Instant,
        asker: &Asker,
        proof: &Proof,
        message: &Message<'_>,
    ) -> Result<(), ErrorCode> {
        let id = self.own_allocation(&asker.client, &proof.name)?;
        let allocation = self.table.get_mut(id).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        let mut ips: Vec<IpAddr> = Vec::new();
        for peer in message.xor_addresses(AttributeKind::XOR_PEER_ADDRESS) {
            let peer = peer.map_err(bad)?;
            if !allocation.has_family_of(&peer) {
                return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH);
            }
            if !self.config.policy.permits(peer.ip()) {
                return Err(ErrorCode::FORBIDDEN);
            }
            ips.push(peer.ip());
        }
        if ips.is_empty() {
            return Err(ErrorCode::BAD_REQUEST);
        }
        let expires = now + seconds(self.limits.permission_s);
        if !allocation.permit(&ips, now, expires, self.limits.permission_count_max) {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        self.succeed(asker, |_| {});
        Ok(())
    }

    /// Gives a peer a number, and lets it through.
    pub(super) fn channel_bind(
        &mut self,
        now: Instant,
        asker: &Asker,
        proof: &Proof,
        message: &Message<'_>,
    ) -> Result<(), ErrorCode> {
        let id = self.own_allocation(&asker.client, &proof.name)?;
        let allocation = self.table.get_mut(id).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        if allocation.transport == RelayTransport::Tcp {
            return Err(ErrorCode::FORBIDDEN);
        }
        let number = message.channel_number().map_err(bad)?;
        let peer: Option<SocketAddr> =
            message.xor_address(AttributeKind::XOR_PEER_ADDRESS).map_err(bad)?;
        let (Some(CHANNEL_MIN..=CHANNEL_MAX), Some(peer)) = (number, peer) else {
            return Err(ErrorCode::BAD_REQUEST);
        };
        let number = number.ok_or(ErrorCode::BAD_REQUEST)?;
        if !allocation.has_family_of(&peer) {
            return Err(ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH);
        }
        let policy = &self.config.policy;
        if !policy.permits(peer.ip()) || !policy.permits_endpoint(peer) {
            return Err(ErrorCode::FORBIDDEN);
        }
        // Asked for first, so that a refusal leaves no permission behind.
        allocation.check_bind(number, peer, now, self.limits.channel_count_max)?;
        let expires = now + seconds(self.limits.permission_s);
        if !allocation.permit(&[peer.ip()], now, expires, self.limits.permission_count_max) {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        allocation.bind(number, peer, now + seconds(self.limits.channel_s));
        self.succeed(asker, |_| {});
        Ok(())
    }
}
