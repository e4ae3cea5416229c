//! Which layer of a simulcast a viewer wants: WHEP's extension `layer`, and what signalling makes
//! of it.
//!
//! ```text
//! GET   …/ID/layer                  the layers, as WHEP's event `layers` tells them
//! POST  …/ID/layer  {"mediaId": "1", "encodingId": "h"}    this one, then the same
//! ```
//!
//! A wish holds as long as the session, whoever publishes. It goes before the estimate, but not
//! beyond: a layer that the way does not take, or that does not come, is not waited for.

use std::time::Instant;

use media_rtc::{MediaKind, Rid, Role, TrackId};
use serde_json::{Map, Value, json};
use shards_runtime::Token;

use crate::answer::Answer;
use crate::rtc::Rtc;

/// What a viewer asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LayerWish {
    /// Which of its media sections, by its own name (`a=mid`); all of pictures where it says none.
    pub media: Option<String>,
    /// Which layer; none leaves it to the estimate.
    pub encoding: Option<Rid>,
}

impl LayerWish {
    /// Reads one.
    ///
    /// # Errors
    /// Says what is not right.
    pub fn read(wish: &Map<String, Value>) -> Result<LayerWish, &'static str> {
        let text = |key: &str| match wish.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.len() <= 64 => Ok(Some(text.clone())),
            Some(_) => Err("mediaId and encodingId are short strings"),
        };
        let encoding = text("encodingId")?;
        Ok(LayerWish { media: text("mediaId")?, encoding: encoding.as_deref().map(Rid::from) })
    }
}

impl Rtc {
    /// A viewer here wants a layer.
    pub(crate) fn prefer(&mut self, now: Instant, token: Token, wish: &LayerWish) -> Answer {
        let Some(entry) = self.sessions.get_mut(token).filter(|entry| entry.role == Role::View)
        else {
            return Answer::refusal(404, "there is no such viewer");
        };
        let is_it = |mid: &str| wish.media.as_deref().is_none_or(|wanted| wanted == mid);
        let own = entry.session.tracks().filter(|own| own.is_outgoing && is_it(&own.mid));
        let pictures = own.filter(|own| own.kind == MediaKind::Video).map(|own| own.id);
        let pictures: Vec<TrackId> = pictures.collect();
        if pictures.is_empty() {
            return Answer::refusal(404, "there are no such pictures");
        }
        for track in pictures {
            entry.viewing.prefer(track, wish.encoding);
        }
        self.layers(now, token)
    }

    /// The layers that a viewer here may choose from.
    pub(crate) fn layers(&self, now: Instant, token: Token) -> Answer {
        let Some(entry) = self.sessions.get(token).filter(|entry| entry.role == Role::View) else {
            return Answer::refusal(404, "there is no such viewer");
        };
        let feed = entry.viewing.fed_by.and_then(|session| self.feeds.get(&session));
        let mut told = Map::new();
        for own in entry.session.tracks().filter(|own| own.kind == MediaKind::Video) {
            let Some((origin, sent)) = entry.viewing.origin_of(own.id) else { continue };
            let kept = feed.and_then(|feed| feed.kept.iter().find(|kept| kept.info.id == origin));
            let Some(kept) = kept else { continue };
            let flowing: Vec<(Option<Rid>, u64)> = kept.track.flowing(now).collect();
            let (mut active, mut inactive, mut layers) = (Vec::new(), Vec::new(), Vec::new());
            for (index, rid) in kept.info.rids.iter().enumerate() {
                let name = rid.as_str();
                match flowing.iter().find(|(flowing, _)| *flowing == Some(*rid)) {
                    Some((_, bitrate)) => {
                        active.push(json!({"id": name, "simulcastIdx": index, "bitrate": bitrate}));
                        layers.push(
                            json!({"encodingId": name, "simulcastIdx": index, "bitrate": bitrate}),
                        );
                    }
                    None => inactive.push(json!({"id": name, "simulcastIdx": index})),
                }
            }
            let text = |rid: Option<Rid>| rid.map(|rid| rid.as_str().to_owned());
            let wanted = text(entry.viewing.wish_of(own.id));
            told.insert(
                own.mid.clone(),
                json!({
                    "active": active, "inactive": inactive, "layers": layers,
                    "wanted": wanted, "sent": text(sent),
                }),
            );
        }
        let mut answer = Answer::new(200).with("Content-Type", "application/json");
        answer.body = Value::Object(told).to_string();
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<LayerWish, &'static str> {
        let Ok(Value::Object(wish)) = serde_json::from_str(text) else { panic!("an object") };
        LayerWish::read(&wish)
    }

    #[test]
    fn a_wish_is_read_and_what_is_none_is_said() {
        let low = LayerWish { media: Some("1".to_owned()), encoding: Some(Rid::from("q")) };
        let with_more = r#"{"mediaId": "1", "encodingId": "q", "spatialLayerId": 0}"#;
        assert_eq!(read(with_more), Ok(low));
        assert_eq!(read(r#"{"encodingId": null}"#), Ok(LayerWish::default()));
        assert!(read(r#"{"encodingId": 1}"#).is_err());
        assert!(read(&format!(r#"{{"mediaId": "{}"}}"#, "1".repeat(65))).is_err());
    }
}
