//! The HTTP half of a connection: requests in, answers out, each in its turn.

use protocol_http::{
    BodyKind, CONTINUE, Limits, Method, Refused, RequestDecoder, RequestHead, ResponseWriter,
    Status, Step, Version,
};
use protocol_ws::Upgrade;

use super::answer::Answer;
use super::connection::Progress;
use super::output::Output;
use super::site::Site;

/// A connection that speaks HTTP.
pub struct Http {
    decoder: RequestDecoder,
    /// Of the request whose body is being read.
    answer: Option<Answer>,
    body_bytes: u64,
}

impl Http {
    pub fn new() -> Http {
        Http { decoder: RequestDecoder::new(Limits::default()), answer: None, body_bytes: 0 }
    }

    /// Whether it stands between two requests.
    pub fn is_idle(&self) -> bool {
        self.decoder.is_idle()
    }

    /// Takes one step through the unread bytes.
    pub fn step(&mut self, unread: &[u8], site: &Site, out: &mut Output) -> Progress {
        match self.decoder.decode(unread) {
            Ok(Step::Need) => Progress::Need,
            Ok(Step::Head { head, used }) => self.begin(&head, used, site, out),
            Ok(Step::Body { range, used }) => {
                self.body_bytes += range.len() as u64;
                Progress::Used(used)
            }
            Ok(Step::End { used }) => {
                let answer = self.answer.take().expect("an end comes after its head");
                answer.write(site, self.body_bytes, out);
                match answer.keep_alive {
                    true => Progress::Used(used),
                    false => Progress::Last { is_understood: true },
                }
            }
            Err(refused) => refuse(refused, site, out),
        }
    }

    /// The request takes too long.
    pub fn time_out(&self, site: &Site, out: &mut Output) {
        Answer::refusal(Status::REQUEST_TIMEOUT, "the request takes too long").write(site, 0, out);
    }

    fn begin(
        &mut self,
        head: &RequestHead<'_>,
        used: usize,
        site: &Site,
        out: &mut Output,
    ) -> Progress {
        if let Some(progress) = upgrade(head, used, site, out) {
            return progress;
        }
        let mut answer = Answer::to(head, site);
        if head.expect_continue {
            if !answer.wants_body() {
                // It is not asked to go on, so nobody knows whether a body follows.
                answer.keep_alive = false;
                answer.write(site, 0, out);
                return Progress::Last { is_understood: false };
            }
            out.text().extend_from_slice(CONTINUE);
        }
        self.answer = Some(answer);
        self.body_bytes = 0;
        Progress::Used(used)
    }
}

/// Changes to WebSocket where that is asked for and can be.
fn upgrade(head: &RequestHead<'_>, used: usize, site: &Site, out: &mut Output) -> Option<Progress> {
    let may_upgrade = head.method == Method::Get
        && head.version == Version::Http11
        && head.body == BodyKind::None
        && head.target.path() == "/echo";
    if !may_upgrade {
        return None;
    }
    match Upgrade::parse(&head.headers) {
        Ok(None) => None,
        Ok(Some(upgrade)) => {
            let mut lines = Vec::with_capacity(160);
            upgrade.write_response_lines(None, &mut lines);
            ResponseWriter::new(out.text(), Version::Http11, Status::SWITCHING_PROTOCOLS)
                .raw_lines(site.lines())
                .raw_lines(&lines)
                .finish();
            Some(Progress::Upgraded(used))
        }
        Err(refused) => {
            Answer::refusal(Status(refused.status), refused.reason).write(site, 0, out);
            Some(Progress::Last { is_understood: true })
        }
    }
}

/// Answers what is no request of ours: where the next one would begin is unknown.
fn refuse(refused: Refused, site: &Site, out: &mut Output) -> Progress {
    Answer::refusal(refused.status, refused.reason).write(site, 0, out);
    Progress::Last { is_understood: false }
}
