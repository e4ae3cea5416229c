//! Motion: the brightness of a coarse grid of points against the picture before.

use std::time::{Duration, Instant};

use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame;
use media_flow::{Inspect, Port, StageError, Verdict};
use media_link::{Detection, Event, FrameFacts, Grid, Motion, Region, VisionEvent, VisionMeasure};
use serde_json::json;

use super::picture::Keeper;
use crate::clip::{Trigger, url_of};
use crate::clock;
use crate::packet::{Decoded, Packet, View, rescale};
use crate::told::Told;

/// Parts of a picture that one event names.
const DETECTIONS_MAX: usize = 8;
/// A cell of which less than this changes is never part of one.
const CELL_MIN: f32 = 0.02;
/// The largest grid; more cells find nothing more.
const GRID_MAX: u16 = 128;

/// Motion after so much rest is another one, of which a picture is kept.
const BEGINS_AFTER: Duration = Duration::from_secs(3);

/// The stage.
pub struct Watch {
    stream: String,
    settings: Motion,
    detector: Detector,
    keeper: Option<Keeper>,
    told: Told,
    frames: u64,
    looked_at_us: Option<i64>,
    told_at: Option<Instant>,
    trigger: Trigger,
}

impl Watch {
    /// The same, which also says when motion is seen.
    pub fn with_trigger(mut self, trigger: Trigger) -> Watch {
        self.trigger = trigger;
        self
    }

    pub fn new(stream: &str, settings: Motion, keeper: Option<Keeper>, told: Told) -> Watch {
        Watch {
            stream: stream.into(),
            detector: Detector::new(&settings),
            settings,
            keeper,
            told,
            frames: 0,
            looked_at_us: None,
            told_at: None,
            trigger: Trigger::default(),
        }
    }

    /// Whether this picture's turn has come.
    fn samples(&mut self, at_us: i64) -> bool {
        let index = self.frames;
        self.frames += 1;
        let least_us = i64::from(self.settings.interval_min_ms) * 1000;
        let is_soon = self.looked_at_us.is_some_and(|last| (0..least_us).contains(&(at_us - last)));
        if !index.is_multiple_of(u64::from(self.settings.every_nth_frame.max(1))) || is_soon {
            return false;
        }
        self.looked_at_us = Some(at_us);
        true
    }
}

impl Inspect<Packet> for Watch {
    fn handle(&mut self, now: Instant, _: Port, view: View<'_>) -> Result<Verdict, StageError> {
        let Some(Decoded::Picture(picture)) = view.frame else { return Ok(Verdict::Pass) };
        let at_us = rescale(view.presentation, view.time_base, 1_000_000);
        if !self.samples(at_us) || !has_luma(picture.format()) {
            return Ok(Verdict::Pass);
        }
        if let Some(keeper) = &mut self.keeper {
            let removed = keeper.tidy(now);
            removed.into_iter().for_each(|it| self.told.tell(Event::RecordingRemoved(it)));
        }
        let received_at_usec = clock::wall_us();
        let luma = |x: u32, y: u32| {
            picture.data(0).get(y as usize * picture.stride(0) + x as usize).copied().unwrap_or(0)
        };
        let Some(seen) = self.detector.look(picture.width(), picture.height(), luma) else {
            return Ok(Verdict::Pass);
        };
        let cooldown = Duration::from_millis(u64::from(self.settings.cooldown_ms));
        let is_soon = |at: Instant| now.saturating_duration_since(at) < cooldown;
        if seen.score < self.settings.threshold {
            return Ok(Verdict::Pass);
        }
        self.trigger.pull(now);
        if self.told_at.is_some_and(is_soon) {
            return Ok(Verdict::Pass);
        }
        let goes_on = |at: Instant| now.saturating_duration_since(at) < BEGINS_AFTER;
        let is_beginning = !self.told_at.is_some_and(goes_on);
        self.told_at = Some(now);
        let keeper = self.keeper.as_mut().filter(|_| is_beginning);
        let kept = keeper.and_then(|keeper| keeper.keep(now, picture)).map(|kept| {
            let url = url_of(&kept);
            self.told.tell(Event::RecordingClosed(kept));
            url
        });
        let event = self.event(picture, view.is_keyframe, at_us, received_at_usec, seen, kept);
        self.trigger.note(&event);
        self.told.tell(Event::Vision(Box::new(event)));
        Ok(Verdict::Pass)
    }
}

impl Watch {
    #[allow(clippy::too_many_arguments, reason = "they are what the event is made of")]
    fn event(
        &self,
        picture: &frame::Video,
        keyframe: bool,
        pts_usec: i64,
        received_at_usec: u64,
        seen: Seen,
        snapshot: Option<serde_json::Value>,
    ) -> VisionEvent {
        let emitted_at_usec = clock::wall_us();
        let (grid_width, grid_height) = (self.detector.width, self.detector.height);
        let pixel_fmt = picture.format().descriptor().map_or("", |descriptor| descriptor.name());
        VisionEvent {
            schema: "vision.event.v1".into(),
            kind: "detect".into(),
            source: self.stream.clone(),
            detector: "motion".into(),
            emitted_at_usec,
            frame: FrameFacts {
                source_id: self.stream.clone(),
                stream_id: format!("stream/{}", self.stream),
                frame_id: self.frames - 1,
                pts_usec,
                received_at_usec,
                width: picture.width(),
                height: picture.height(),
                pixel_fmt: pixel_fmt.into(),
                keyframe,
            },
            detections: seen.detections,
            tracks: Vec::new(),
            data: VisionMeasure {
                score: seen.score,
                grid_width,
                grid_height,
                grid: Grid { width: grid_width, height: grid_height, cells: seen.cells },
                latency_usec: emitted_at_usec.saturating_sub(received_at_usec),
                snapshot,
                clip: self.trigger.clip(),
            },
        }
    }
}

/// Whether the first plane is brightness, a byte for each pixel.
fn has_luma(format: Pixel) -> bool {
    let name = format.descriptor().map_or("", |descriptor| descriptor.name());
    let is_planar = name.starts_with("yuv") && name.ends_with('p') || name.starts_with("nv");
    is_planar || name == "gray"
}

/// What was seen in one picture.
#[derive(Debug, PartialEq)]
struct Seen {
    score: f32,
    cells: Vec<u8>,
    detections: Vec<Detection>,
}

/// Compares pictures.
struct Detector {
    width: u16,
    height: u16,
    threshold: f32,
    warmup_frames: u32,
    /// Which cells are looked at.
    is_active: Vec<bool>,
    before: Option<Vec<u8>>,
    looked_count: u32,
}

impl Detector {
    fn new(settings: &Motion) -> Detector {
        let width = settings.grid_width.clamp(1, GRID_MAX);
        let height = settings.grid_height.clamp(1, GRID_MAX);
        let is_active = (0..height).flat_map(|row| (0..width).map(move |column| (column, row)));
        let is_active = is_active.map(|(column, row)| {
            let x = (f32::from(column) + 0.5) / f32::from(width);
            let y = (f32::from(row) + 0.5) / f32::from(height);
            let in_zone =
                settings.zones.is_empty() || settings.zones.iter().any(|zone| zone.contains(x, y));
            in_zone && !settings.masks.iter().any(|mask| mask.contains(x, y))
        });
        Detector {
            width,
            height,
            threshold: settings.threshold,
            warmup_frames: settings.warmup_frames,
            is_active: is_active.collect(),
            before: None,
            looked_count: 0,
        }
    }

    /// Looks at a picture; nothing is said of the first, and of those that warm up.
    fn look(&mut self, across: u32, down: u32, luma: impl Fn(u32, u32) -> u8) -> Option<Seen> {
        let (width, height) = (u32::from(self.width), u32::from(self.height));
        let points = (0..height).flat_map(|row| (0..width).map(move |column| (column, row)));
        let now: Vec<u8> = points
            .map(|(column, row)| {
                luma((2 * column + 1) * across / (2 * width), (2 * row + 1) * down / (2 * height))
            })
            .collect();
        self.looked_count = self.looked_count.saturating_add(1);
        let before = self.before.replace(now.clone())?;
        let difference = |((now, before), is_active): ((&u8, &u8), &bool)| {
            if *is_active { now.abs_diff(*before) } else { 0 }
        };
        let cells: Vec<u8> = now.iter().zip(&before).zip(&self.is_active).map(difference).collect();
        let active_count = self.is_active.iter().filter(|is_active| **is_active).count();
        if self.looked_count <= self.warmup_frames || active_count == 0 {
            return None;
        }
        let sum: f32 = cells.iter().map(|cell| f32::from(*cell)).sum();
        let score = sum / 255.0 / active_count as f32;
        let detections = self.clusters(&cells, score);
        Some(Seen { score, cells, detections })
    }

    /// Neighbouring cells that changed, the largest first; the whole picture where there are none.
    fn clusters(&self, cells: &[u8], score: f32) -> Vec<Detection> {
        let least = (self.threshold / 2.0).max(CELL_MIN) * 255.0;
        let (width, height) = (usize::from(self.width), usize::from(self.height));
        let mut is_seen = vec![false; cells.len()];
        let mut found: Vec<(usize, f32, [usize; 4])> = Vec::new();
        for start in 0..cells.len() {
            let mut open = vec![start];
            let (mut count, mut sum, mut bounds) = (0, 0.0, [width, height, 0, 0]);
            while let Some(at) = open.pop() {
                if is_seen[at] || f32::from(cells[at]) < least {
                    continue;
                }
                is_seen[at] = true;
                let (x, y) = (at % width, at / width);
                bounds = [
                    bounds[0].min(x),
                    bounds[1].min(y),
                    bounds[2].max(x + 1),
                    bounds[3].max(y + 1),
                ];
                count += 1;
                sum += f32::from(cells[at]);
                let beside = [
                    (x > 0).then(|| at - 1),
                    (x + 1 < width).then_some(at + 1),
                    (y > 0).then(|| at - width),
                    (y + 1 < height).then_some(at + width),
                ];
                open.extend(beside.into_iter().flatten());
            }
            if count > 0 {
                found.push((count, sum / 255.0 / count as f32, bounds));
            }
        }
        found.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
        found.truncate(DETECTIONS_MAX);
        if found.is_empty() {
            found.push((cells.len(), score, [0, 0, width, height]));
        }
        let part = |from: usize, of: usize| from as f32 / of as f32;
        let detection = |(count, score, bounds): (usize, f32, [usize; 4])| Detection {
            label: "motion".into(),
            confidence: score,
            track_id: -1,
            region: Region {
                x: part(bounds[0], width),
                y: part(bounds[1], height),
                width: part(bounds[2] - bounds[0], width),
                height: part(bounds[3] - bounds[1], height),
            },
            data: json!({ "score": score, "cells": count }),
        };
        found.into_iter().map(detection).collect()
    }
}

#[cfg(test)]
mod tests {
    use media_link::Zone;

    use super::*;

    fn settings() -> Motion {
        Motion {
            grid_width: 8,
            grid_height: 4,
            warmup_frames: 0,
            threshold: 0.05,
            ..Motion::default()
        }
    }

    /// A white square on black, at a place.
    fn square(left: u32) -> impl Fn(u32, u32) -> u8 {
        move |x, y| if (left..left + 20).contains(&x) && y < 20 { 255 } else { 0 }
    }

    #[test]
    fn what_moves_is_seen_where_it_was_and_where_it_is() {
        let mut detector = Detector::new(&settings());
        assert_eq!(detector.look(80, 40, square(0)), None, "nothing to compare with");
        let still = detector.look(80, 40, square(0)).expect("compared");
        assert_eq!(still.score, 0.0);
        let moved = detector.look(80, 40, square(40)).expect("compared");
        assert_eq!(moved.score, 8.0 / 32.0);
        let regions: Vec<f32> = moved.detections.iter().map(|it| it.region.x).collect();
        assert_eq!(regions, [0.0, 0.5]);
        assert_eq!(moved.detections[0].region.height, 0.5);
    }

    #[test]
    fn a_mask_hides_and_a_zone_looks() {
        let half = |x| Zone { x, y: 0.0, width: 0.5, height: 1.0 };
        let masked = Motion { masks: vec![half(0.0), half(0.5)], ..settings() };
        let mut detector = Detector::new(&masked);
        detector.look(80, 40, square(0));
        assert_eq!(detector.look(80, 40, square(40)), None, "nothing is looked at");
        let mut detector = Detector::new(&Motion { zones: vec![half(0.5)], ..settings() });
        detector.look(80, 40, square(0));
        let seen = detector.look(80, 40, square(20)).expect("compared");
        assert_eq!(seen.score, 0.0);
        let seen = detector.look(80, 40, square(60)).expect("compared");
        assert_eq!(seen.detections[0].region.x, 0.75);
    }
}
