//! All allocations: by name, by client and by the time of their end; and who has how many.
//!
//! Invariants: every allocation stands in `by_client` and `ends` exactly once, and is counted once
//! for its user and once for its client's address. A name's generation grows whenever its place
//! is given to another.

use crate::allocation::{Allocation, Grant};
use crate::bucket::Bucket;
use crate::client::{Client, counted};
use crate::config::Limits;
use crate::exchange::AllocationId;
use crate::users::Users;
use protocol_stun::ErrorCode;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

#[derive(Default)]
pub(crate) struct Table {
    places: Vec<Place>,
    free: Vec<u32>,
    by_client: BTreeMap<Client, AllocationId>,
    /// Whose data came last, and what was found: data comes in runs.
    recent: Option<(Client, AllocationId)>,
    ends: BTreeSet<(Instant, AllocationId)>,
    by_address: BTreeMap<IpAddr, usize>,
    pub(crate) users: Users,
    /// Permissions and channels of all.
    held: (usize, usize),
}

struct Place {
    generation: u32,
    allocation: Option<Box<Allocation>>,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.by_client.len()
    }

    /// Permissions and channels of all allocations.
    pub(crate) fn held_counts(&self) -> (usize, usize) {
        self.held
    }

    /// Permissions and channels of one client.
    pub(crate) fn held_of(&self, client: &Client) -> (usize, usize) {
        let allocation = self.find(client).and_then(|id| self.get(id));
        allocation.map_or((0, 0), Allocation::held_counts)
    }

    /// Counts what a client has now instead of what it had before.
    pub(crate) fn recount(&mut self, client: &Client, before: (usize, usize)) {
        let after = self.held_of(client);
        self.held.0 = self.held.0 + after.0 - before.0;
        self.held.1 = self.held.1 + after.1 - before.1;
    }

    pub(crate) fn get(&self, id: AllocationId) -> Option<&Allocation> {
        let place = self.places.get(id.index as usize)?;
        place.allocation.as_deref().filter(|_| place.generation == id.generation)
    }

    pub(crate) fn get_mut(&mut self, id: AllocationId) -> Option<&mut Allocation> {
        let place = self.places.get_mut(id.index as usize)?;
        place.allocation.as_deref_mut().filter(|_| place.generation == id.generation)
    }

    pub(crate) fn find(&self, client: &Client) -> Option<AllocationId> {
        self.by_client.get(client).copied()
    }

    /// As [`Table::find`], quicker for who has just been found.
    pub(crate) fn find_sender(&mut self, client: &Client) -> Option<AllocationId> {
        // A name is never used twice: while it means something, it is still this client's.
        if let Some((recent, id)) = self.recent
            && recent == *client
            && self.get(id).is_some()
        {
            return Some(id);
        }
        let id = self.find(client)?;
        self.recent = Some((*client, id));
        Some(id)
    }

    /// An allocation together with its user's bucket.
    pub(crate) fn with_bucket(
        &mut self,
        id: AllocationId,
    ) -> Option<(&mut Allocation, &mut Bucket)> {
        let place = self.places.get_mut(id.index as usize)?;
        let allocation = place.allocation.as_deref_mut();
        let allocation = allocation.filter(|_| place.generation == id.generation)?;
        let bucket = self.users.bucket(allocation.user);
        Some((allocation, bucket))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (AllocationId, &Allocation)> {
        let of = |id: &AllocationId| self.get(*id).map(|allocation| (*id, allocation));
        self.by_client.values().filter_map(of)
    }

    /// Whether there is room for one more of this user at this client.
    ///
    /// # Errors
    ///
    /// 486 or 508.
    pub(crate) fn check_room(
        &self,
        name: &[u8],
        client: &Client,
        limits: &Limits,
    ) -> Result<(), ErrorCode> {
        let user_count = self.users.count(name);
        let address_count = self.by_address.get(&counted(&client.address)).copied().unwrap_or(0);
        if user_count >= limits.user_allocation_count_max
            || address_count >= limits.address_allocation_count_max
        {
            return Err(ErrorCode::ALLOCATION_QUOTA_REACHED);
        }
        if self.len() >= limits.allocation_count_max {
            return Err(ErrorCode::INSUFFICIENT_CAPACITY);
        }
        Ok(())
    }

    /// Enters an allocation; its client has none yet.
    pub(crate) fn insert(&mut self, grant: Grant, now: Instant) -> AllocationId {
        let (client, expires) = (grant.client, grant.expires);
        let user = self.users.enter(&grant.name, now);
        *self.by_address.entry(counted(&client.address)).or_default() += 1;
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, allocation: None });
            u32::try_from(self.places.len() - 1).expect("fewer allocations than 2^32")
        });
        let place = &mut self.places[index as usize];
        place.allocation = Some(Box::new(Allocation::new(grant, user, now)));
        let id = AllocationId { index, generation: place.generation };
        let earlier = self.by_client.insert(client, id);
        assert!(earlier.is_none(), "a client has one allocation");
        self.ends.insert((expires, id));
        id
    }

    /// Takes an allocation out.
    pub(crate) fn remove(&mut self, id: AllocationId) -> Option<Box<Allocation>> {
        self.get(id)?;
        let place = &mut self.places[id.index as usize];
        let allocation = place.allocation.take()?;
        place.generation = place.generation.wrapping_add(1);
        let held = allocation.held_counts();
        self.held = (self.held.0 - held.0, self.held.1 - held.1);
        self.free.push(id.index);
        self.by_client.remove(&allocation.client);
        self.ends.remove(&(allocation.expires, id));
        let address = counted(&allocation.client.address);
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
        self.users.leave(&allocation.name, allocation.user);
        Some(allocation)
    }

    /// Sets when an allocation ends.
    pub(crate) fn set_end(&mut self, id: AllocationId, expires: Instant) {
        let Some(allocation) = self.get_mut(id) else { return };
        let earlier = std::mem::replace(&mut allocation.expires, expires);
        self.ends.remove(&(earlier, id));
        self.ends.insert((expires, id));
    }

    /// When the next allocation ends, and which.
    pub(crate) fn next_end(&self) -> Option<(Instant, AllocationId)> {
        self.ends.first().copied()
    }
}
