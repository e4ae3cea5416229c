//! A publisher of pictures in VP8: a keyframe when one is asked for, or each so often.

use std::time::Duration;

use str0m::format::Codec;

use super::World;
use super::hub::Hub;
use super::peer::Written;

/// One layer of pictures, or sound.
pub struct Camera {
    pub peer: usize,
    pub rid: Option<&'static str>,
    pub bytes: usize,
    pub packets_per_picture: usize,
    /// A keyframe each so many pictures, and when asked for.
    pub keyframe_every: u64,
    pub sequence: u64,
    pub pictures: u64,
    pub keyframes: u64,
    answered: u32,
}

impl Camera {
    pub fn new(peer: usize, rid: Option<&'static str>, bytes: usize) -> Self {
        Self {
            peer,
            rid,
            bytes,
            packets_per_picture: 3,
            keyframe_every: u64::MAX,
            sequence: 500,
            pictures: 0,
            keyframes: 0,
            answered: 0,
        }
    }

    /// A picture, now.
    pub fn shoot(&mut self, world: &mut World) {
        let peer = &mut world.peers[self.peer];
        let is_wanted = peer.keyframes_wanted > self.answered;
        self.answered = peer.keyframes_wanted;
        let is_key =
            self.pictures == 0 || is_wanted || self.pictures.is_multiple_of(self.keyframe_every);
        self.keyframes += u64::from(is_key);
        let mid = peer.mids[0];
        for part in 0..self.packets_per_picture {
            let mut payload = vec![part as u8; self.bytes.max(40)];
            let picture = self.pictures as u16 & 0x7fff;
            let start = if part == 0 { 0x90 } else { 0x80 };
            let first = if is_key { 0x50 } else { 0x51 };
            let head = [start, 0x80, 0x80 | (picture >> 8) as u8, picture as u8, first];
            payload[..5].copy_from_slice(&head);
            payload[5..13].copy_from_slice(&self.sequence.to_be_bytes());
            peer.send(
                mid,
                self.rid,
                Written {
                    codec: Codec::Vp8,
                    sequence: self.sequence,
                    timestamp: (self.pictures * 3_000) as u32,
                    is_marked: part + 1 == self.packets_per_picture,
                    is_red: false,
                    payload: &payload,
                },
            );
            self.sequence += 1;
        }
        self.pictures += 1;
    }
}

/// Pictures of all cameras for so long, passed on.
pub fn film(world: &mut World, hub: &mut Hub, cameras: &mut [Camera], duration: Duration) {
    let until = world.now + duration;
    while world.now < until {
        for camera in &mut *cameras {
            camera.shoot(world);
        }
        world.run_with(Duration::from_micros(33_333), |world| hub.pump(world));
    }
}

/// The number that the publisher gave a packet, from its payload.
pub fn number_of(payload: &[u8]) -> u64 {
    u64::from_be_bytes(payload[5..13].try_into().expect("eight bytes"))
}
