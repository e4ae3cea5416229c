//! The flow of media: sources, processors and sinks joined into a graph, without any I/O.
//!
//! The idea is who *owns* a packet. A stage either **borrows** it, and then it runs inside the call
//! that brought the packet and cannot keep it; or it **retains** it, and then a queue leads to it,
//! with a bound and a policy. Which of the two a stage does is its type ([`Inspect`] and
//! [`Convert`] borrow, [`Retain`] retains), so the place on each way where a packet begins to
//! outlive its call is known when the graph is built, and [`Graph::explain`] shows it.
//!
//! # Driving it
//!
//! ```
//! # use std::time::Instant;
//! use media_flow::{Bound, Graph, Input, MediaPacket, MediaView, Output, Plan, Policy, Verdict};
//! use media_flow::{Inspect, StageError};
//!
//! /// Lets only one track pass.
//! struct Only(u8);
//!
//! impl Inspect<MediaPacket> for Only {
//!     fn handle(
//!         &mut self,
//!         _now: Instant,
//!         _port: usize,
//!         packet: MediaView<'_>, // only lent: what is kept of it must be copied out
//!     ) -> Result<Verdict, StageError> {
//!         Ok(if packet.track.0 == self.0 { Verdict::Pass } else { Verdict::Drop })
//!     }
//! }
//!
//! # fn received() -> Vec<MediaPacket> { Vec::new() }
//! # #[allow(clippy::disallowed_methods)]
//! # fn now() -> Instant { Instant::now() }
//! let mut plan = Plan::new();
//! let camera = plan.source("camera");
//! let video = plan.inspect("video", Only(0));
//! let viewer = plan.outlet("viewer");
//! let record = plan.outlet("record");
//! let bound = Bound { packets_max: 256, bytes_max: 4 << 20 };
//! plan.lend(camera, video);
//! plan.queue(video, viewer, bound, Policy::ToKeyframe);
//! plan.queue(camera, record, bound, Policy::Wait);
//! let mut graph: Graph<MediaPacket> = plan.build().expect("a graph");
//!
//! for packet in received() {
//!     if let Err(refused) = graph.push(now(), camera, packet) {
//!         drop(refused.into_packet()); // no credit: keep it until `Output::Credit`, or lose it
//!     }
//!     while let Some(output) = graph.poll() {
//!         match output {
//!             Output::Ready(outlet) => while let Some(_packet) = graph.take(now(), outlet) {},
//!             Output::Credit(_source) => {} // what was refused may come again
//!             Output::Yield => {}           // other work may go first
//!             Output::Ended => {}           // `graph.end()` says why
//!         }
//!     }
//!     let _wake_at = graph.deadline(); // sleep no longer than this, then `Input::Tick`
//! }
//! graph.handle(now(), Input::Drain);
//! while graph.poll().is_some() {}
//! println!("{}", graph.explain());
//! ```
//!
//! # What it promises
//!
//! * **No packet is lost** except where an edge's policy says so, and there it is counted. Payload
//!   is never copied: it moves, and is shared by count where ways part.
//! * **Order** is kept on each edge, and no queue ever holds more than its [`Bound`].
//! * **Behind [`Policy::ToKeyframe`]** no packet arrives that needs one which was dropped there.
//! * **A drain delivers everything**, asking each stage for what it holds; then each is closed,
//!   once, after all that feed it. The same order holds when the graph is stopped or fails.
//! * **A failure ends the graph with its cause** and the stage's name ([`End::Failed`]).
//! * **Nothing spins**: without packets in flight [`Graph::poll`] has nothing, and
//!   [`Graph::deadline`] is the next time for which a stage asked. A stage that does nothing at its
//!   deadline ends the graph.
//! * **Bounded**: queues by their bounds, stages by their `burst_max`, a `poll` by its steps.
//!   Passing a packet allocates nothing, whatever the graph.
//!
//! # What it leaves out
//!
//! Changing a running graph: build another one, sources can be joined to outlets by their driver.
//! Proving that waiting cannot be circular: where ways part and join again behind queues that wait,
//! an interleaver that refuses one port until another brings something can wait for itself. Give
//! such ways queues that hold what the interleaver may refuse. Threads: a graph is one core's.

mod describe;
mod graph;
mod node;
mod pace;
mod packet;
mod plan;
mod queue;
mod run;
mod stage;

pub use describe::{Description, EdgeDescription, Role, StageDescription};
pub use graph::{Credit, Graph, Input, Output, Refused, State};
pub use node::StageCounters;
pub use pace::Pace;
pub use packet::{Frame, Kind, MediaPacket, MediaView, NoFrame, Packet, TimeBase, TrackId};
pub use plan::{
    Borrowing, BorrowingSink, Borrows, Feeds, Node, Outlet, Plan, PlanError, Retaining,
    RetainingSink, STAGES_MAX, Source, Takes,
};
pub use queue::{Bound, EdgeCounters, Policy};
pub use stage::{Convert, End, Fault, Finish, Inspect, Out, Port, Retain, StageError, Verdict};
