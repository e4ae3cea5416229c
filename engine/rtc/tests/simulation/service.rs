//! A shard with the driver of WebRTC, and requests that a test puts to it.

use std::time::Instant;

use engine_rtc::{Asker, Command, Ended, Letter, Name, Open, Outcome, Role, Rtc, SessionId};
use shards_runtime::{Completion, Context, Io, Service, ShardId, Token};

#[derive(Debug)]
pub struct Message(pub Letter);

impl From<Letter> for Message {
    fn from(letter: Letter) -> Message {
        Message(letter)
    }
}

/// What a test asks of a shard.
pub enum Wish {
    Open { number: u64, role: Role, name: Name, offer: String },
    Manage { number: u64, session: SessionId, name: Name, command: Command },
}

pub struct RtcService {
    pub rtc: Rtc,
    pub wishes: Vec<Wish>,
    pub outcomes: Vec<(u64, Outcome)>,
    pub ended: Vec<Ended>,
}

impl<I: Io> Service<I> for RtcService {
    type Message = Message;

    fn on_start(&mut self, cx: &mut Context<'_, I, Message>) {
        self.rtc.start(cx).expect("addresses that are free");
    }

    fn on_completion(
        &mut self,
        cx: &mut Context<'_, I, Message>,
        completion: Completion<I::Buffer>,
    ) {
        assert!(Rtc::owns(completion.token()));
        self.rtc.on_completion(cx, completion);
    }

    fn on_message(&mut self, cx: &mut Context<'_, I, Message>, from: ShardId, message: Message) {
        self.rtc.on_letter(cx, from, message.0);
    }

    fn on_timer(&mut self, _: &mut Context<'_, I, Message>, token: Token) {
        unreachable!("the driver arms no timer of the wheel: {token:?}");
    }

    fn on_tick_end(&mut self, cx: &mut Context<'_, I, Message>) {
        for wish in std::mem::take(&mut self.wishes) {
            match wish {
                Wish::Open { number, role, name, offer } => {
                    let client = std::net::Ipv4Addr::LOCALHOST.into();
                    let (agent, is_known) = (None, true);
                    let open = Open { role, name, offer: &offer, client, agent, is_known };
                    self.rtc.open(cx, Asker::Other(number), open);
                }
                Wish::Manage { number, session, name, command } => {
                    self.rtc.manage(cx, Asker::Other(number), (session, name), command);
                }
            }
        }
        self.rtc.on_tick_end(cx);
        for (asker, outcome) in self.rtc.take_outcomes() {
            let Asker::Other(number) = asker else { unreachable!("nobody else asks") };
            self.outcomes.push((number, outcome));
        }
        self.ended.extend(self.rtc.take_ended());
    }

    fn deadline(&self) -> Option<Instant> {
        self.rtc.deadline()
    }
}
