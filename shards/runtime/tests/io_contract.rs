//! The contract of [`Io`], point by point, on every machine there is: the simulated one in calm,
//! the same with faults that a service must not notice, and the real ring.
//!
//! Each case plays both ends of its connections on one machine, over loopback, so it needs nothing
//! but `Io` itself. What holds in every case is checked in `Driver::note`.

#[path = "io_contract/cases.rs"]
mod cases;
#[path = "io_contract/datagrams.rs"]
mod datagrams;
#[path = "io_contract/driver.rs"]
mod driver;
#[path = "io_contract/machines.rs"]
mod machines;

/// Runs each case on each machine.
macro_rules! on_every_machine {
    ($($file:ident: $($case:ident),* ;)*) => {
        mod simulated {
            $($(#[test]
            fn $case() {
                crate::$file::$case(&mut crate::machines::calm());
            })*)*
        }

        mod simulated_with_faults {
            $($(#[test]
            fn $case() {
                for seed in 0..10 {
                    crate::$file::$case(&mut crate::machines::with_faults(seed));
                }
            })*)*
        }

        mod ring {
            $($(#[test]
            fn $case() {
                crate::$file::$case(&mut crate::machines::ring());
            })*)*
        }
    };
}

on_every_machine!(
    cases:
        bytes_go_both_ways,
        pieces_arrive_in_order,
        an_acceptor_goes_on_and_names_its_peers,
        a_closed_acceptor_refuses,
        an_address_in_use_is_an_error,
        a_given_up_connect_is_answered_once,
        a_connection_comes_from_where_it_was_told,
        an_address_of_nobody_is_no_place_to_connect_from,
        a_large_send_waits_for_its_reader,
        small_sends_wait_for_their_reader_too,
        a_send_to_somebody_gone_fails,
        a_send_keeps_its_memory,
        the_end_is_said_again_when_asked_again,
        a_reset_is_a_failure,
        pause_stops_and_receive_goes_on,
        pause_twice_or_after_the_end_is_nothing,
        close_is_last_with_everything_in_flight,
        a_finish_sends_all_and_closes,
        a_close_cuts_a_finish_short,
        a_finish_behind_a_full_socket_waits,
        sockets_come_and_go,
        held_buffers_keep_their_bytes,
        an_adopted_stream_is_a_connection,
        a_wait_ends_at_its_time,
        a_wait_is_bounded;
    datagrams:
        datagrams_go_both_ways,
        datagrams_in_segments,
        a_datagram_is_forwarded_from_its_buffer,
        forwards_give_their_buffers_back,
        forwards_keep_their_order_and_their_sizes,
        joined_datagrams_are_cut_with_room_before_each,
        a_forward_may_carry_the_dont_fragment_bit,
        a_forward_before_a_close_leaves_and_one_after_it_does_not,
        the_network_says_that_nobody_is_there,
        nothing_is_said_to_who_did_not_ask;
);
