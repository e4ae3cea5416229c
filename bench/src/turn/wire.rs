//! What lies between the load and the relay: loopback, or a wire of its own.
//!
//! ```text
//! namespace of the load                      namespace of the relay
//! clients, peer ── wire ═══ veth pair ═══ wire ── relay
//!      core 1       └ RPS: core 1   a thread: core 0 ┘
//! ```
//!
//! On loopback the sender of a datagram does the receiver's network work as well, and nothing is
//! ever joined (GRO). On the wire each side has its own: what comes to the relay is taken by a
//! kernel thread on the relay's core (threaded NAPI with GRO, as a network card's), and what it
//! sends is handed to the load's core. A packet is alone on the wire: the load's device takes no
//! joined ones, and the relay's only where it is said to cut them itself. There are no firewall
//! rules, and no connection tracking.
//!
//! *Invariant:* the namespaces are gone when the bench is.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, setpriority_process};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::ends::Ends;
use crate::process::myself;

/// Tells the bench that it runs in the load's namespace: the relay's, and the thread of its card.
const INSIDE: &str = "SKYWAVE_BENCH_WIRE";
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// The device's name in both namespaces.
const DEVICE: &str = "wire";

/// How often the relay's card interrupts at most.
const MODERATION_NS: u32 = 20_000;
/// Looks of its thread that find nothing before the next packet interrupts again. Without any, a
/// packet that others may follow would wake the thread twice, when it comes and when it is handed
/// on, and one for a socket that takes only single packets once: no card has such a difference.
const EMPTY_LOOKS: u32 = 2;

/// Which of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wire {
    Loopback,
    /// A wire whose cards take one packet after the other.
    Veth,
    /// The relay's card takes joined packets and cuts them (`tx-udp-segmentation`), as most cards
    /// of servers do.
    VethSegmenting,
}

impl Wire {
    /// What a run over it is called.
    pub(crate) fn run_name(self, ends: Ends) -> String {
        let wire = match self {
            Wire::Loopback => "turn",
            Wire::Veth => "turn-wire",
            Wire::VethSegmenting => "turn-wire-segmenting",
        };
        match ends {
            Ends::Plain => wire.into(),
            Ends::Offloaded => format!("{wire}-offloaded"),
        }
    }
}

impl FromStr for Wire {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "loopback" => Ok(Wire::Loopback),
            "veth" => Ok(Wire::Veth),
            "veth-segmenting" => Ok(Wire::VethSegmenting),
            _ => Err(()),
        }
    }
}

/// Where the relay runs, as the load sees it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The relay's address.
    pub(crate) server: Ipv4Addr,
    /// The peers'.
    pub(crate) peer: Ipv4Addr,
    /// Its namespace, if it has one.
    pub(crate) namespace: Option<String>,
    /// The thread that does its card's work.
    card: Option<u32>,
}

impl Place {
    pub(crate) fn loopback() -> Self {
        let here = Ipv4Addr::LOCALHOST;
        Place { server: here, peer: here, namespace: None, card: None }
    }

    /// Processor time of the card's thread so far.
    pub(crate) fn card_cpu(&self) -> Result<Option<Duration>> {
        let Some(card) = self.card else { return Ok(None) };
        let text = fs::read_to_string(format!("/proc/{card}/schedstat"))?;
        let ns = text.split(' ').next().and_then(|ns| ns.parse().ok());
        Ok(Some(Duration::from_nanos(ns.context("schedstat has another form")?)))
    }

    /// Networks that peers are in.
    pub(crate) fn peers(&self) -> &'static str {
        if self.namespace.is_some() { "10.0.0.0/8" } else { "127.0.0.0/8" }
    }
}

/// The source address of a client: hosts are counted, and reach that server.
pub(crate) fn source(host: usize, server: IpAddr) -> Ipv4Addr {
    let (high, low) = ((host / 250) as u8, (host % 250) as u8);
    match server.is_loopback() {
        true => Ipv4Addr::new(127, 0, 1 + high, 1 + low),
        false => Ipv4Addr::new(10, 78, 1 + high, 1 + low),
    }
}

/// Where this process's load finds the relay; none if the wire must be laid first.
pub(crate) fn place(wire: Wire) -> Result<Option<Place>> {
    if wire == Wire::Loopback {
        return Ok(Some(Place::loopback()));
    }
    let Ok(inside) = std::env::var(INSIDE) else { return Ok(None) };
    let (namespace, card) = inside.split_once(' ').context("the bench's own variable")?;
    Ok(Some(Place {
        server: SERVER,
        peer: PEER,
        namespace: Some(namespace.to_owned()),
        card: Some(card.parse()?),
    }))
}

/// Lays the wire, and runs this command again at its end.
pub(crate) fn run_inside(wire: Wire, server_core: usize, load_core: usize) -> Result<()> {
    let id = std::process::id();
    let namespaces = Namespaces([format!("bench-relay-{id}"), format!("bench-load-{id}")]);
    let [relay, load] = &namespaces.0;
    let before = card_threads();
    let cuts = if wire == Wire::VethSegmenting { "on" } else { "off" };
    let (server, peer) = (format!("{SERVER}/24"), format!("{PEER}/24"));
    let gateway = PEER.to_string();
    for words in [
        &["ip", "netns", "add", relay][..],
        &["ip", "netns", "add", load],
        &["ip", "-n", relay, "link", "add", DEVICE, "type", "veth", "peer", DEVICE, "netns", load],
        &["ip", "-n", relay, "addr", "add", &server, "dev", DEVICE],
        &["ip", "-n", load, "addr", "add", &peer, "dev", DEVICE],
        &["ip", "netns", "exec", relay, "ethtool", "-K", DEVICE, "tx-udp-segmentation", cuts],
        &["ip", "netns", "exec", load, "ethtool", "-K", DEVICE, "tx-udp-segmentation", "off"],
        &["ip", "netns", "exec", relay, "ethtool", "-K", DEVICE, "gro", "on"],
        &["ip", "netns", "exec", load, "ethtool", "-K", DEVICE, "gro", "off"],
        // A veth that could be sent more than packets does without the far end's GRO.
        &["ip", "netns", "exec", load, "ethtool", "-K", DEVICE, "tso", "off"],
    ] {
        run(words)?;
    }
    for namespace in [relay, load] {
        for device in ["lo", DEVICE] {
            run(&["ip", "-n", namespace, "link", "set", device, "up"])?;
        }
    }
    // Clients have many addresses, and none of them stands anywhere.
    run(&["ip", "-n", load, "route", "add", "local", "10.78.0.0/16", "dev", "lo"])?;
    run(&["ip", "-n", relay, "route", "add", "10.78.0.0/16", "via", &gateway])?;
    let folder = format!("/sys/class/net/{DEVICE}");
    let card = format!(
        "echo 1 > {folder}/threaded && echo {MODERATION_NS} > {folder}/gro_flush_timeout && \
             echo {EMPTY_LOOKS} > {folder}/napi_defer_hard_irqs"
    );
    run(&["ip", "netns", "exec", relay, "sh", "-c", &card])?;
    let spread = format!("echo {:x} > {folder}/queues/rx-0/rps_cpus", 1_u32 << load_core);
    run(&["ip", "netns", "exec", load, "sh", "-c", &spread])?;
    let card = card_threads().into_iter().find(|thread| !before.contains(thread));
    let card = card.context("the wire's card has no thread: a kernel without threaded NAPI?")?;
    let mut cores = CpuSet::new();
    cores.set(server_core);
    let card_id = Pid::from_raw(card as i32);
    sched_setaffinity(card_id, &cores).context("the card's thread")?;
    // As a card's interrupts, it goes before programs.
    setpriority_process(card_id, -20).context("the card's thread")?;
    let mut command = Command::new("ip");
    command.args(["netns", "exec", load]).arg(myself()?).args(std::env::args_os().skip(1));
    let status = command.env(INSIDE, format!("{relay} {card}")).status()?;
    if !status.success() {
        bail!("at the end of the wire: {status}");
    }
    Ok(())
}

struct Namespaces([String; 2]);

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.0 {
            // Not there if it could not be made.
            let _ = run(&["ip", "netns", "del", name]);
        }
    }
}

/// Kernel threads that do the work of cards of our name.
fn card_threads() -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = processes.flatten().filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok());
    let is_card = |id: &u32| {
        let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        name.starts_with(&format!("napi/{DEVICE}-"))
    };
    ids.filter(is_card).collect()
}

fn run(words: &[&str]) -> Result<()> {
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.with_context(|| format!("cannot run {}", words[0]))?;
    if !output.status.success() {
        bail!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
