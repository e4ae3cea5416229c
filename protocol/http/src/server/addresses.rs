//! How much one address may have: connections at a time, and requests for each second.
//!
//! An IPv6 client has a network of its own, so addresses are counted by their first 64 bits; a
//! v4-mapped one is its IPv4 address. The numbers are those of one table: where each shard has one,
//! they are each shard's.
//!
//! *Invariant:* an address is in the table while it has a connection, or has used requests that
//! have not come back to it; so the table is bounded by what is connected, and by
//! [`AddressLimits::forgotten_count_max`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

/// A request, in what it costs: fine enough that what comes back within microseconds counts.
const REQUEST: u64 = 1_000_000;

/// What an address may have. 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressLimits {
    /// Connections at the same time.
    pub connections_max: u32,
    /// Requests for each second, on all of its connections together.
    pub requests_per_second_max: u32,
    /// How many it may make at once after a rest.
    pub requests_burst_max: u32,
    /// Addresses without a connection that are remembered for what they used.
    pub forgotten_count_max: usize,
}

impl Default for AddressLimits {
    fn default() -> AddressLimits {
        AddressLimits {
            connections_max: 0,
            requests_per_second_max: 0,
            requests_burst_max: 0,
            forgotten_count_max: 10_000,
        }
    }
}

/// What every address has.
#[derive(Debug)]
pub struct Addresses {
    limits: AddressLimits,
    rows: BTreeMap<u64, Row>,
    connected_count: usize,
    /// Connections that were one too many.
    pub connections_refused: u64,
    /// Requests that were one too many.
    pub requests_refused: u64,
}

#[derive(Debug)]
struct Row {
    connections_count: u32,
    /// Millionths of a request that it may still make, as of `at`.
    credit: u64,
    at: Instant,
}

impl Addresses {
    /// An empty table.
    #[must_use]
    pub fn new(limits: AddressLimits) -> Addresses {
        Addresses {
            limits,
            rows: BTreeMap::new(),
            connected_count: 0,
            connections_refused: 0,
            requests_refused: 0,
        }
    }

    /// Other limits, from now on.
    pub fn set_limits(&mut self, limits: AddressLimits) {
        self.limits = limits;
    }

    /// A connection came. False, and it is not counted, when that is one too many; when true,
    /// [`Addresses::disconnect`] is owed.
    #[must_use]
    pub fn connect(&mut self, address: IpAddr, now: Instant) -> bool {
        let full = self.burst() * REQUEST;
        let connections_max = self.limits.connections_max;
        let row = self.rows.entry(key(address)).or_insert(Row {
            connections_count: 0,
            credit: full,
            at: now,
        });
        if connections_max > 0 && row.connections_count >= connections_max {
            self.connections_refused += 1;
            return false;
        }
        self.connected_count += usize::from(row.connections_count == 0);
        row.connections_count += 1;
        true
    }

    /// A connection that was counted is gone.
    pub fn disconnect(&mut self, address: IpAddr, now: Instant) {
        let Some(row) = self.rows.get_mut(&key(address)) else { return };
        row.connections_count = row.connections_count.saturating_sub(1);
        if row.connections_count > 0 {
            return;
        }
        self.connected_count -= 1;
        if self.limits.requests_per_second_max == 0 {
            self.rows.remove(&key(address));
        } else if self.rows.len() - self.connected_count > self.limits.forgotten_count_max {
            self.forget(now);
        }
    }

    /// An address that is connected asks for something. False when that is one too many.
    #[must_use]
    pub fn request(&mut self, address: IpAddr, now: Instant) -> bool {
        let rate = u64::from(self.limits.requests_per_second_max);
        if rate == 0 {
            return true;
        }
        let full = self.burst() * REQUEST;
        let Some(row) = self.rows.get_mut(&key(address)) else { return true };
        row.credit = credit(row, rate, full, now);
        row.at = now;
        match row.credit.checked_sub(REQUEST) {
            Some(left) => row.credit = left,
            None => {
                self.requests_refused += 1;
                return false;
            }
        }
        true
    }

    /// Addresses in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nobody is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn burst(&self) -> u64 {
        u64::from(self.limits.requests_burst_max.max(self.limits.requests_per_second_max))
    }

    /// Drops whoever has got back what it used; if those are too few, whoever is not connected.
    fn forget(&mut self, now: Instant) {
        let rate = u64::from(self.limits.requests_per_second_max);
        let full = self.burst() * REQUEST;
        self.rows.retain(|_, row| row.connections_count > 0 || credit(row, rate, full, now) < full);
        if self.rows.len() - self.connected_count > self.limits.forgotten_count_max / 2 {
            self.rows.retain(|_, row| row.connections_count > 0);
        }
    }
}

/// What an address may use now.
fn credit(row: &Row, rate: u64, full: u64, now: Instant) -> u64 {
    let elapsed_us = now.saturating_duration_since(row.at).as_micros() as u64;
    row.credit.saturating_add(elapsed_us.saturating_mul(rate)).min(full)
}

fn key(address: IpAddr) -> u64 {
    match address.to_canonical() {
        // No network of IPv6 begins with 32 zero bits and these 16.
        IpAddr::V4(address) => 0xffff_0000_0000 | u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn start() -> Instant {
        #[allow(clippy::disallowed_methods, reason = "an arbitrary start of the simulated time")]
        Instant::now()
    }

    fn limits() -> AddressLimits {
        AddressLimits {
            connections_max: 2,
            requests_per_second_max: 10,
            requests_burst_max: 5,
            forgotten_count_max: 2,
        }
    }

    #[test]
    fn connections_are_counted_by_address_and_by_network() {
        let (mut table, now) = (Addresses::new(limits()), start());
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert!(table.connect(one, now) && table.connect(mapped, now));
        assert!(!table.connect(one, now));
        table.disconnect(mapped, now);
        assert!(table.connect(one, now));
        let near: IpAddr = "2001:db8::1".parse().unwrap();
        let also: IpAddr = "2001:db8::ffff:1".parse().unwrap();
        let far: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        assert!(table.connect(near, now) && table.connect(also, now));
        assert!(!table.connect(also, now) && table.connect(far, now));
        assert_eq!(table.connections_refused, 2);
    }

    #[test]
    fn requests_come_back_with_time() {
        let (mut table, now) = (Addresses::new(limits()), start());
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(table.connect(one, now));
        // The burst is never less than a second's worth.
        let mut count = |now| (0..100).take_while(|_| table.request(one, now)).count();
        assert_eq!(count(now), 10);
        assert_eq!(count(now + Duration::from_millis(99)), 0);
        assert_eq!(count(now + Duration::from_millis(300)), 3);
        assert_eq!(count(now + Duration::from_secs(3600)), 10);
        // To connect again gains nothing.
        let now = now + Duration::from_secs(3600);
        table.disconnect(one, now);
        assert!(table.connect(one, now) && !table.request(one, now));
    }

    #[test]
    fn the_table_is_bounded() {
        let (mut table, now) = (Addresses::new(limits()), start());
        for number in 0..1000 {
            let address = IpAddr::from([192, 0, 2 + (number >> 8) as u8, number as u8]);
            assert!(table.connect(address, now) && table.request(address, now));
            table.disconnect(address, now);
            assert!(table.len() <= limits().forgotten_count_max + 1);
        }
        let mut open = Addresses::new(AddressLimits::default());
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        assert!((0..1000).all(|_| open.connect(one, now) && open.request(one, now)));
        (0..1000).for_each(|_| open.disconnect(one, now));
        assert!(open.is_empty());
    }
}
