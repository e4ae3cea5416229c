//! Slots for what a shard holds many of, found by [`Token`].
//!
//! * A token of an earlier tenant never finds the later one: the generation differs.
//! * The slab never holds more than `capacity`; a full slab gives the value back.
//! * Slots are reused last-in first-out, so the memory in use stays warm and small.

use crate::Token;

/// Slots that are made at once. The table grows by whole blocks and moves nothing when it does.
const SLOTS_PER_BLOCK: usize = 128;

/// A bounded table of `T` with generation-checked keys.
#[derive(Debug)]
pub struct Slab<T> {
    blocks: Vec<Vec<Slot<T>>>,
    free: Vec<u32>,
    slots_count: usize,
    capacity: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    /// An empty slab for at most `capacity` values. It grows as it fills.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Slab { blocks: Vec::new(), free: Vec::new(), slots_count: 0, capacity }
    }

    /// Takes a value in and names its slot.
    ///
    /// # Errors
    /// Gives the value back when the slab is full.
    pub fn insert(&mut self, value: T) -> Result<Token, T> {
        if let Some(slot) = self.free.pop() {
            let entry = self.slot_mut(slot).expect("a free slot was in use once");
            assert!(entry.value.is_none(), "a free slot holds a value");
            entry.value = Some(value);
            return Ok(Token { slot, generation: entry.generation });
        }
        if self.slots_count >= self.capacity {
            return Err(value);
        }
        let slot = u32::try_from(self.slots_count).expect("capacity fits in 32 bits");
        if self.slots_count.is_multiple_of(SLOTS_PER_BLOCK) {
            self.blocks.push(Vec::with_capacity(SLOTS_PER_BLOCK));
        }
        let block = self.blocks.last_mut().expect("just made if there was none");
        block.push(Slot { generation: 0, value: Some(value) });
        self.slots_count += 1;
        Ok(Token { slot, generation: 0 })
    }

    /// The value, if this tenant still lives.
    #[must_use]
    pub fn get(&self, token: Token) -> Option<&T> {
        let slot = token.slot as usize;
        let slot = self.blocks.get(slot / SLOTS_PER_BLOCK)?.get(slot % SLOTS_PER_BLOCK)?;
        if slot.generation == token.generation { slot.value.as_ref() } else { None }
    }

    /// The value to change, if this tenant still lives.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let slot = self.slot_mut(token.slot)?;
        if slot.generation == token.generation { slot.value.as_mut() } else { None }
    }

    /// The token of whoever is in this slot now.
    #[must_use]
    pub fn tenant(&self, slot: u32) -> Option<Token> {
        let index = slot as usize;
        let entry = self.blocks.get(index / SLOTS_PER_BLOCK)?.get(index % SLOTS_PER_BLOCK)?;
        entry.value.is_some().then_some(Token { slot, generation: entry.generation })
    }

    /// Takes the value out; its token is void from now on.
    pub fn remove(&mut self, token: Token) -> Option<T> {
        let slot = self.slot_mut(token.slot)?;
        if slot.generation != token.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(token.slot);
        Some(value)
    }

    /// How many values it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots_count - self.free.len()
    }

    /// How many slots there are: the most values that it ever held at a time.
    #[must_use]
    pub fn slots_count(&self) -> usize {
        self.slots_count
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All values to change, by slot.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.blocks.iter_mut().flatten().filter_map(|slot| slot.value.as_mut())
    }

    /// All values with their tokens, by slot.
    pub fn iter(&self) -> impl Iterator<Item = (Token, &T)> {
        self.blocks.iter().flatten().enumerate().filter_map(|(index, slot)| {
            let value = slot.value.as_ref()?;
            Some((Token { slot: index as u32, generation: slot.generation }, value))
        })
    }

    fn slot_mut(&mut self, slot: u32) -> Option<&mut Slot<T>> {
        let slot = slot as usize;
        self.blocks.get_mut(slot / SLOTS_PER_BLOCK)?.get_mut(slot % SLOTS_PER_BLOCK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_token_finds_nobody() {
        let mut slab = Slab::new(1);
        let first = slab.insert("first").unwrap();
        assert_eq!(slab.insert("too many"), Err("too many"));
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second").unwrap();
        assert_eq!(second.slot, first.slot);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&"second"));
        assert_eq!(slab.len(), 1);
        assert_eq!((slab.tenant(first.slot), slab.tenant(7)), (Some(second), None));
        slab.remove(second);
        assert_eq!(slab.tenant(first.slot), None);
    }

    #[test]
    fn it_grows_by_blocks_and_finds_everybody() {
        let mut slab = Slab::new(SLOTS_PER_BLOCK * 3);
        let tokens: Vec<Token> =
            (0..SLOTS_PER_BLOCK * 3).map(|n| slab.insert(n).unwrap()).collect();
        assert!(slab.insert(0).is_err());
        for (number, token) in tokens.iter().enumerate() {
            assert_eq!(slab.get(*token), Some(&number));
        }
        assert_eq!(slab.remove(tokens[SLOTS_PER_BLOCK]), Some(SLOTS_PER_BLOCK));
        let listed: Vec<Token> = slab.iter().map(|(token, _)| token).collect();
        assert_eq!(listed.len(), tokens.len() - 1);
        assert!(!listed.contains(&tokens[SLOTS_PER_BLOCK]));
    }
}
