//! Faults that the simulator plants in this program to see whether its checkers find them. Without
//! the feature `mutants` nothing of this is compiled: [`mutant!`] is `false`.

#[cfg(feature = "mutants")]
macro_rules! mutant {
    ($name:ident) => {
        $crate::mutant::is_planted($crate::mutant::Mutant::$name)
    };
}

#[cfg(not(feature = "mutants"))]
macro_rules! mutant {
    ($name:ident) => {
        false
    };
}

pub(crate) use mutant;

#[cfg(feature = "mutants")]
pub use planted::{Mutant, is_planted, plant};

#[cfg(feature = "mutants")]
mod planted {
    use std::cell::Cell;

    macro_rules! mutants {
        ($(#[doc = $doc:literal] $name:ident),* $(,)?) => {
            /// One planted fault.
            #[derive(Clone, Copy, PartialEq, Eq, Debug)]
            pub enum Mutant { $(#[doc = $doc] $name,)* }

            impl Mutant {
                /// All of them.
                pub const ALL: &[Mutant] = &[$(Mutant::$name),*];
            }
        };
    }

    mutants! {
        /// An answer for a connection that is gone goes to the next tenant of its slot.
        LateVerdictFollowed,
        /// A send is taken for one byte more than it was.
        BytesSkipped,
        /// A listener begins one byte behind its sync point.
        CursorOffByOne,
        /// The second shard that subscribes is not remembered.
        SubscriberForgotten,
        /// A shard that subscribes before the source is granted is told that it is over.
        EarlySubscriberRefused,
        /// A chunk that finds a full queue is not sent again.
        ChunkLostOnFullQueue,
        /// After a gap the titled rendition goes on as if there were none.
        GapNotTitled,
        /// Subscribed shards are not told that a session is over.
        EndNeverTold,
        /// A shard without listeners does not say so to the owner.
        UnsubscribeNeverSent,
        /// Whoever is moved gets a burst again.
        FallbackReplaysBurst,
        /// Whoever is moved counts its bytes between titles anew.
        TitlePhaseForgotten,
        /// A listener's first title block may say that nothing has changed.
        FirstTitleMissing,
        /// A listener that has left stays in its phase.
        ListenerKeptInPhase,
        /// Control is not told that a listener has left.
        LeftNotSent,
        /// Who is behind the window is kept.
        SlowNeverDropped,
        /// One snapshot of five is not looked at.
        SnapshotMissed,
        /// Listeners whose route has changed are not looked at.
        RouteNotFollowed,
        /// Listeners that wait for their mount are not woken.
        ParkedForgotten,
        /// A tick sends as much as is due.
        TickUnbounded,
        /// A question that was answered still counts as asked.
        AskNeverOver,
        /// A letter to another shard is lost when there are several in a row.
        LetterLost,
        /// A letter to another shard is sent twice.
        LetterTwice,
        /// What is said to one peer is said to another, too.
        TextToNeighbour,
        /// Signalling is not told that a WebSocket is gone.
        SessionKept,
        /// Nobody looks whether a WebSocket's client answers.
        SilentKept,
        /// Of several messages that leave together the last is not sent.
        FrameForgotten,
        /// Control sends a grant before the snapshot that it presumes.
        GrantBeforeSnapshot,
    }

    thread_local! {
        static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Plants a fault on this thread, or none.
    pub fn plant(mutant: Option<Mutant>) {
        PLANTED.set(mutant);
    }

    /// Whether this fault is planted on this thread.
    pub fn is_planted(mutant: Mutant) -> bool {
        PLANTED.get() == Some(mutant)
    }
}
