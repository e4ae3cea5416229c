//! Allocate (RFC 8656 §7.2): from the request to the relayed address, by way of the driver.

use super::answer::Asker;
use super::prove::Proof;
use super::{Reservation, Server};
use crate::allocation::{Grant, Made, State, index_of};
use crate::bucket::seconds;
use crate::client::{Client, Transport};
use crate::counters::DropCause;
use crate::exchange::{AllocationId, Bind, End, Output, Port, RelayTransport, ReservationId};
use hmac::{Hmac, Mac};
use protocol_stun::{AttributeKind, ErrorCode, Family, Integrity, Malformed, Message, Method};
use sha2::Sha256;
use std::net::SocketAddr;
use std::time::Instant;

/// Numbers among the protocols of IP.
const UDP: u8 = 17;
const TCP: u8 = 6;

const BOTH: [Family; 2] = [Family::V4, Family::V6];

/// What a request asks for, once it is known to make sense.
struct Wish {
    transport: RelayTransport,
    families: [bool; 2],
    missing: Option<(Family, ErrorCode)>,
    /// EVEN-PORT, and whether the next one is to be kept.
    even: Option<bool>,
    token: Option<[u8; 8]>,
}

impl Server {
    pub(super) fn allocate(
        &mut self,
        now: Instant,
        asker: &Asker,
        proof: Proof,
        message: &Message<'_>,
    ) -> Result<(), ErrorCode> {
        if let Some(id) = self.table.find(&asker.client) {
            return self.allocate_again(id, asker, &proof);
        }
        if self.config.alternate_server.is_some() {
            return Err(ErrorCode::TRY_ALTERNATE);
        }
        if !self.config.takes_allocations {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        let mut wish = self.wish(&asker.client, message)?;
        let lifetime = message.u32(AttributeKind::LIFETIME).map_err(bad)?;
        let lifetime_s = self.granted_lifetime_s(lifetime);
        self.table.check_room(&proof.name, &asker.client, &self.limits)?;
        let reserved = wish.token.map(|token| self.claim(token, &proof.name)).transpose()?;
        if let Some((_, family)) = reserved {
            wish.families = BOTH.map(|each| each == family);
        }
        let kept = match wish.even {
            Some(true) => Some(self.reserve(now, &proof.name, wish.families)?),
            _ => None,
        };
        let port = match (reserved, kept, wish.even) {
            (Some((id, _)), _, _) => Port::Reserved(id),
            (None, Some((id, _)), _) => Port::EvenAndNext(id),
            (None, None, Some(false)) => Port::Even,
            _ => Port::Any,
        };
        let made = Made {
            id: asker.id,
            lifetime_s,
            token: kept.map(|(_, token)| token),
            missing: wish.missing,
            is_sha256: asker.how == Integrity::Sha256,
            has_fingerprint: asker.has_fingerprint,
        };
        let grant = Grant {
            client: asker.client,
            name: proof.name,
            key: proof.key,
            algorithm: proof.algorithm,
            families: wish.families,
            transport: wish.transport,
            expires: now + seconds(lifetime_s),
            made,
        };
        let allocation = self.table.insert(grant, now);
        let families = BOTH.into_iter().filter(|family| wish.families[index_of(*family)]);
        let transport = wish.transport;
        let bind = |family| Output::Bind(Bind { allocation, family, port, transport });
        let binds = families.map(bind);
        self.outputs.extend(binds);
        Ok(())
    }

    /// The driver opened a relayed address, or could not.
    pub(super) fn bound(
        &mut self,
        now: Instant,
        id: AllocationId,
        family: Family,
        address: Option<SocketAddr>,
    ) {
        let Some(allocation) = self.table.get_mut(id) else { return };
        let State::Binding(waiting) = &mut allocation.state else { return };
        if !std::mem::take(&mut waiting[index_of(family)]) {
            return;
        }
        let is_last = !waiting.contains(&true);
        let address = address.filter(|address| Family::of(address) == family);
        allocation.relayed[index_of(family)] = address;
        if address.is_none() {
            allocation.made.missing = Some((family, ErrorCode::INSUFFICIENT_CAPACITY));
        }
        if !is_last {
            return;
        }
        if allocation.relayed == [None; 2] {
            let token = allocation.made.token;
            let asker = asker_of(allocation);
            self.reservations.retain(|reservation| Some(reservation.token) != token);
            self.fail(&asker, ErrorCode::INSUFFICIENT_CAPACITY);
            return self.end(id, End::Unbound);
        }
        allocation.state = State::Live;
        // The lifetime begins when the client can use it, not when it asked.
        let expires = now + seconds(allocation.made.lifetime_s);
        self.table.set_end(id, expires);
        self.counters.allocations += 1;
        self.answer_allocated(id);
    }

    /// The lifetime that a client gets: at least the default, at most the limit.
    pub(super) fn granted_lifetime_s(&self, asked: Option<u32>) -> u32 {
        let default = self.limits.lifetime_default_s;
        asked.unwrap_or(default).max(default).min(self.limits.lifetime_max_s)
    }

    /// A client asks that has an allocation: the same answer to the same question, else 437.
    fn allocate_again(
        &mut self,
        id: AllocationId,
        asker: &Asker,
        proof: &Proof,
    ) -> Result<(), ErrorCode> {
        let allocation = self.table.get(id).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        if allocation.made.id != asker.id || allocation.name != proof.name {
            return Err(ErrorCode::ALLOCATION_MISMATCH);
        }
        if allocation.is_live() {
            self.answer_allocated(id);
        } else {
            self.counters.drop_one(DropCause::Repeated);
        }
        Ok(())
    }

    fn answer_allocated(&mut self, id: AllocationId) {
        let Some(allocation) = self.table.get(id) else { return };
        let asker = asker_of(allocation);
        let relayed = allocation.relayed;
        let Made { lifetime_s, token, missing, .. } = allocation.made;
        self.succeed(&asker, |builder| {
            for address in relayed.into_iter().flatten() {
                builder.xor_address(AttributeKind::XOR_RELAYED_ADDRESS, address);
            }
            builder.xor_address(AttributeKind::XOR_MAPPED_ADDRESS, asker.client.address);
            builder.u32(AttributeKind::LIFETIME, lifetime_s);
            if let Some(token) = token {
                builder.attribute(AttributeKind::RESERVATION_TOKEN, &token);
            }
            if let Some((family, code)) = missing {
                builder.address_error_code(family, code);
            }
        });
    }

    /// Reads what is asked for, with the RFC's errors for what makes no sense.
    fn wish(&self, client: &Client, message: &Message<'_>) -> Result<Wish, ErrorCode> {
        let transport = match message.requested_transport().map_err(bad)? {
            None => return Err(ErrorCode::BAD_REQUEST),
            Some(UDP) => RelayTransport::Udp,
            Some(TCP) if self.config.has_tcp_allocations => RelayTransport::Tcp,
            Some(_) => return Err(ErrorCode::UNSUPPORTED_TRANSPORT),
        };
        if transport == RelayTransport::Tcp {
            // RFC 6062 §5.1: for clients of streams alone, and without what only datagrams have.
            let for_datagrams = [
                AttributeKind::DONT_FRAGMENT,
                AttributeKind::EVEN_PORT,
                AttributeKind::RESERVATION_TOKEN,
            ];
            let has_any = for_datagrams.iter().any(|kind| message.find(*kind).is_some());
            if client.transport != Transport::Stream || has_any {
                return Err(ErrorCode::BAD_REQUEST);
            }
        }
        let even = message.even_port().map_err(bad)?;
        let token = message.array(AttributeKind::RESERVATION_TOKEN).map_err(bad)?;
        let family = message.family(AttributeKind::REQUESTED_ADDRESS_FAMILY).map_err(bad)?;
        let additional = match message.family(AttributeKind::ADDITIONAL_ADDRESS_FAMILY) {
            Ok(None) => message.family(AttributeKind::ADDITIONAL_ADDRESS_FAMILY_DRAFT),
            found => found,
        };
        let additional = additional.map_err(bad)?;
        let is_twice = family.is_some() && additional.is_some()
            || token.is_some() && (even.is_some() || family.is_some() || additional.is_some())
            || even == Some(true) && additional.is_some();
        // Only IPv6 can come in addition (RFC 8656 §18.11).
        if is_twice || additional.is_some_and(|family| family != Some(Family::V6)) {
            return Err(ErrorCode::BAD_REQUEST);
        }
        let unsupported = ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED;
        let asked = match family {
            Some(family) => {
                let family = family.ok_or(unsupported)?;
                BOTH.map(|each| each == family)
            }
            None => [true, additional.is_some()],
        };
        let has = BOTH.map(|family| self.config.families.contains(&family));
        let families = [asked[0] && has[0], asked[1] && has[1]];
        if token.is_none() && families == [false; 2] {
            return Err(unsupported);
        }
        let is_missing = |family: &Family| asked[index_of(*family)] && !has[index_of(*family)];
        let missing = BOTH.into_iter().find(is_missing).map(|family| (family, unsupported));
        Ok(Wish {
            transport,
            families,
            missing: missing.filter(|_| additional.is_some()),
            even,
            token,
        })
    }

    /// Takes the port that is kept behind a token.
    fn claim(&mut self, token: [u8; 8], user: &[u8]) -> Result<(ReservationId, Family), ErrorCode> {
        let is_it = |kept: &Reservation| kept.token == token && *kept.user == *user;
        let at = self.reservations.iter().position(is_it);
        let kept = at.and_then(|at| self.reservations.remove(at));
        kept.map(|kept| (kept.id, kept.family)).ok_or(ErrorCode::INSUFFICIENT_CAPACITY)
    }

    /// Keeps the next port for a second allocation (RFC 8656 §18.7's R bit).
    fn reserve(
        &mut self,
        now: Instant,
        user: &[u8],
        families: [bool; 2],
    ) -> Result<(ReservationId, [u8; 8]), ErrorCode> {
        if self.reservations.len() >= self.limits.reservation_count_max {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        self.reservation_count += 1;
        let (index, count) = self.share;
        let id = ReservationId(self.reservation_count * count + index);
        let signer = Hmac::<Sha256>::new_from_slice(&self.seed);
        let mut signer = signer.expect("HMAC takes keys of any length");
        signer.update(b"token");
        signer.update(&id.0.to_be_bytes());
        let code = signer.finalize().into_bytes();
        let token = code[..8].try_into().expect("an HMAC is longer than a token");
        let family = if families[0] { Family::V4 } else { Family::V6 };
        let expires = now + seconds(self.limits.reservation_s);
        self.reservations.push_back(Reservation { id, token, user: user.into(), family, expires });
        Ok((id, token))
    }
}

/// Whom the answer to an allocation's making goes to.
fn asker_of(allocation: &crate::allocation::Allocation) -> Asker {
    let made = &allocation.made;
    Asker {
        client: allocation.client,
        method: Method::ALLOCATE,
        id: made.id,
        key: allocation.key.clone(),
        how: if made.is_sha256 { Integrity::Sha256 } else { Integrity::Sha1 },
        has_fingerprint: made.has_fingerprint,
    }
}

/// A value that is none of its kind is a bad request.
pub(super) fn bad(_: Malformed) -> ErrorCode {
    ErrorCode::BAD_REQUEST
}
