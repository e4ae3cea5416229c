//! Which layer a viewer gets: the best that its budget takes, not changed on a whim.

use std::time::{Duration, Instant};

use crate::packet::Rid;
use crate::track::Track;

/// A choice and what it was made of.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub preferred: Option<Rid>,
    pub budget: Option<u64>,
    target: Option<Rid>,
    chosen_at: Option<Instant>,
    /// Since when there has been room for a better layer.
    room_since: Option<Instant>,
    /// Since when the chosen one has been waited for.
    waiting_since: Option<Instant>,
    /// Do not go up again before this.
    rests_until: Option<Instant>,
}

/// How often the choice is looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// There must be room for a better layer for this long.
const UP_AFTER: Duration = Duration::from_millis(1_000);

/// After a step down, up is not tried for this long.
const REST_AFTER_DOWN: Duration = Duration::from_secs(4);

/// A layer whose keyframe does not come for this long is given up.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Parts of a hundred of the budget that a better layer may take; one that flows may take all.
const UP_PARTS: u64 = 85;

impl Choice {
    pub fn target(&self) -> Option<Rid> {
        self.target
    }

    /// A switch is waited for; where its keyframe never comes, the target falls back.
    pub fn count_waiting(&mut self, now: Instant) {
        let since = *self.waiting_since.get_or_insert(now);
        if now.saturating_duration_since(since) > WAIT_MAX {
            (self.waiting_since, self.chosen_at) = (None, None);
            self.rests_until = Some(now + REST_AFTER_DOWN);
        }
    }

    /// Looks at the layers. `current` is the one that flows to the viewer.
    pub fn choose(&mut self, now: Instant, track: &Track, current: Option<Option<Rid>>) {
        let is_fresh = |at: Instant| now.saturating_duration_since(at) < INTERVAL;
        if current.is_some() && self.chosen_at.is_some_and(is_fresh) {
            return;
        }
        self.chosen_at = Some(now);
        let mut alive = track.alive(now);
        if let (Some(only), None) = (alive.next(), alive.next()) {
            (self.target, self.waiting_since) = (only.rid, None);
            return;
        }
        // By rate, as names say nothing. The bound is the track's.
        let mut layers: Vec<(u64, Option<Rid>, bool)> = track
            .alive(now)
            .map(|layer| (layer.rate.bits_per_second(), layer.rid, layer.can_start()))
            .collect();
        layers.sort_unstable();
        let chosen = match current {
            None => self.first(&layers),
            Some(current) => self.next(now, &layers, current),
        };
        if let Some(chosen) = chosen
            && chosen != self.target
        {
            (self.target, self.waiting_since) = (chosen, None);
        }
    }

    /// For one who has nothing yet: what is asked for, else the best that fits and can start now,
    /// else the smallest.
    fn first(&self, layers: &[(u64, Option<Rid>, bool)]) -> Option<Option<Rid>> {
        if let Some(preferred) = self.preferred_of(layers) {
            return Some(preferred);
        }
        let budget = self.budget.unwrap_or(u64::MAX);
        let fits = layers.iter().filter(|(rate, ..)| *rate <= budget);
        let ready = fits.rev().find(|(.., can_start)| *can_start);
        let smallest = || layers.iter().find(|(.., can_start)| *can_start).or(layers.first());
        ready.or_else(smallest).map(|(_, rid, _)| *rid)
    }

    fn next(
        &mut self,
        now: Instant,
        layers: &[(u64, Option<Rid>, bool)],
        current: Option<Rid>,
    ) -> Option<Option<Rid>> {
        let place = layers.iter().position(|(_, rid, _)| *rid == current);
        let Some(place) = place else {
            // It stopped coming: publishers stop layers that their own uplink does not take.
            return self.first(layers);
        };
        if let Some(preferred) = self.preferred_of(layers) {
            return Some(preferred);
        }
        let Some(budget) = self.budget else { return Some(layers.last()?.1) };
        if layers[place].0 > budget && place > 0 {
            self.room_since = None;
            self.rests_until = Some(now + REST_AFTER_DOWN);
            let fits = layers[..place].iter().rev().find(|(rate, ..)| *rate <= budget);
            return Some(fits.unwrap_or(&layers[0]).1);
        }
        let room = budget / 100 * UP_PARTS;
        let better = layers[place + 1..].iter().rev().find(|(rate, ..)| *rate <= room);
        let Some((_, better, _)) = better else {
            self.room_since = None;
            return Some(current);
        };
        let since = *self.room_since.get_or_insert(now);
        let has_room = now.saturating_duration_since(since) >= UP_AFTER;
        let is_resting = self.rests_until.is_some_and(|until| now < until);
        Some(if has_room && !is_resting { *better } else { current })
    }

    /// The layer that the viewer asked for, if it comes and is not too much.
    fn preferred_of(&self, layers: &[(u64, Option<Rid>, bool)]) -> Option<Option<Rid>> {
        let preferred = self.preferred?;
        let budget = self.budget.unwrap_or(u64::MAX);
        let wanted = layers.iter().find(|(_, rid, _)| *rid == Some(preferred))?;
        (wanted.0 <= budget || wanted.1 == layers.first()?.1).then_some(wanted.1)
    }
}
