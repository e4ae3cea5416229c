//! The end of a machine: no operation, and so no pointer, is left with the kernel.

use std::rc::Rc;
use std::time::Duration;

use io_uring::types::CancelBuilder;
use io_uring::{cqueue, opcode};

use crate::clock;
use crate::kernel::{Event, Sleep};
use crate::machine::{DATAGRAM_GROUP, STREAM_GROUP, UringIo};
use crate::operations::{Operations, Ticket, user_data};

/// How long a machine that goes away waits for the kernel to let go of its memory.
const DROP_WAIT_MAX: Duration = Duration::from_secs(5);

impl Drop for UringIo {
    /// Ends every operation and waits until the kernel has let go of all memory, then takes the
    /// sockets and the buffers out of the ring, which itself lives on for its group.
    fn drop(&mut self) {
        let give_up_at = clock::now() + DROP_WAIT_MAX;
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            self.forget(event);
        }
        while self.operations.in_flight_count() > 0 && clock::now() < give_up_at {
            let entry = opcode::AsyncCancel2::new(CancelBuilder::any().all()).build();
            // SAFETY: the entry names no memory.
            unsafe { self.kernel.push(entry.user_data(user_data::IGNORED)) };
            self.kernel.enter(Sleep::For(Duration::from_millis(10)));
            self.kernel.take(&mut events);
            for event in events.drain(..) {
                self.forget(event);
            }
        }
        if self.operations.in_flight_count() > 0 {
            // The kernel still has pointers into this memory: better lost than reused.
            std::mem::forget(std::mem::replace(&mut self.operations, Operations::new()));
            std::mem::forget(Rc::clone(&self.stream_pool));
            std::mem::forget(Rc::clone(&self.datagram_pool));
        }
        let submitter = self.kernel.ring().submitter();
        let _ = submitter.unregister_buf_ring(STREAM_GROUP);
        let _ = submitter.unregister_buf_ring(DATAGRAM_GROUP);
        let _ = submitter.unregister_files();
    }
}

impl UringIo {
    /// Takes an event while the machine goes away: operations end, and nothing is started again.
    fn forget(&mut self, event: Event) {
        let ticket = Ticket::from_user_data(event.user_data);
        if event.user_data == ticket.user_data() && !cqueue::more(event.flags) {
            drop(self.operations.remove(ticket));
        }
    }
}
