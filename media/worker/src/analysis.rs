//! Who looks at decoded media: joins the detectors that a job asks for to a decoder.

mod motion;
mod picture;
mod voice;

use media_flow::{Borrowing, Node, Plan};
use media_link::Analysis;

use crate::clip::Trigger;
use crate::packet::Packet;
use crate::told::Told;

/// Joins the detector of motion to a decoder, where the job asks for it; what does not work of it.
pub fn motion(
    plan: &mut Plan<Packet>,
    decode: Node<Borrowing>,
    stream: &str,
    analysis: &Analysis,
    (told, trigger): (&Told, &Trigger),
) -> Option<String> {
    let settings = analysis.motion.clone()?;
    let (snapshots, warning) =
        match analysis.snapshots.as_ref().map(|it| picture::Keeper::open(stream, it)) {
            None => (None, None),
            Some(Ok(keeper)) => (Some(keeper), None),
            Some(Err(error)) => (None, Some(format!("no snapshots: {error:#}"))),
        };
    let watch =
        motion::Watch::new(stream, settings, snapshots, told.clone()).with_trigger(trigger.clone());
    let sink = plan.sink("motion", watch);
    plan.lend(decode, sink);
    warning
}

/// Joins the detector of voice to a decoder, where the job asks for it.
pub fn voice(
    plan: &mut Plan<Packet>,
    decode: Node<Borrowing>,
    stream: &str,
    analysis: &Analysis,
    told: &Told,
) {
    let Some(settings) = analysis.voice.clone() else { return };
    let sink = plan.sink("voice", voice::Listen::new(stream, settings, told.clone()));
    plan.lend(decode, sink);
}
