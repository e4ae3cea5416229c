//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use engine_relay::External;
use protocol_turn::{Credentials, Prefix};

/// What can be said.
const USAGE: &str = "usage: relay --turn ADDR [flags]
  --turn ADDR               where clients come, by UDP and TCP; may be repeated
  --turn-tls ADDR           where clients come by TLS; may be repeated
  --tls-certificate FILE    the certificates for it, PEM
  --tls-key FILE            their key, PEM
  --turn-user NAME:PASSWORD who may have an allocation; may be repeated
  --turn-secret SECRET      shared with an application that hands out timed names; may be repeated
  --turn-external IP        an address that is lent, or ANNOUNCED/LOCAL behind a NAT; may be
                            repeated. Without it, the addresses of --turn
  --turn-ports A-B          the ports that are lent (49152-65535)
  --turn-allow-peer CIDR    peers that are reached although they are in a private range
  --turn-realm REALM        the realm of the credentials (skywave)
  --turn-gather-us US       how long a datagram may wait for others while they flow (500)
  --cores 0,1,…             one thread on each of these cores; without it, one thread on any core";

/// What was said.
#[derive(Debug)]
pub struct Args {
    pub listen: Vec<SocketAddr>,
    pub listen_tls: Vec<SocketAddr>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub credentials: Credentials,
    pub externals: Vec<External>,
    pub ports: RangeInclusive<u16>,
    pub allowed: Vec<Prefix>,
    pub realm: String,
    pub gather_us: Option<u32>,
    pub cores: Vec<usize>,
}

impl Args {
    /// Reads the command line without the program's name.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Args, String> {
        let mut said = Args {
            listen: Vec::new(),
            listen_tls: Vec::new(),
            certificate: None,
            key: None,
            credentials: Credentials::new(),
            externals: Vec::new(),
            ports: 49_152..=65_535,
            allowed: Vec::new(),
            realm: "skywave".to_owned(),
            gather_us: None,
            cores: Vec::new(),
        };
        while let Some(flag) = args.next() {
            if flag == "--help" {
                return Err(USAGE.to_owned());
            }
            let value = args.next().ok_or(format!("{flag} needs a value"))?;
            said.take(&flag, &value)?;
        }
        said.complete()
    }

    fn take(&mut self, flag: &str, value: &str) -> Result<(), String> {
        match flag {
            "--turn" => self.listen.push(read(flag, value)?),
            "--turn-tls" => self.listen_tls.push(read(flag, value)?),
            "--tls-certificate" => self.certificate = Some(value.into()),
            "--tls-key" => self.key = Some(value.into()),
            "--turn-user" => {
                let (name, password) =
                    value.split_once(':').ok_or("--turn-user is NAME:PASSWORD")?;
                self.credentials = self.credentials.clone().with_user(name, password);
            }
            "--turn-secret" => {
                self.credentials = self.credentials.clone().with_secret(value.as_bytes());
            }
            "--turn-external" => {
                let external = value.parse().map_err(|_| format!("{flag}: {value}?"))?;
                self.externals.push(external);
            }
            "--turn-ports" => {
                let (first, last) = value.split_once('-').ok_or("--turn-ports is A-B")?;
                self.ports = read(flag, first)?..=read(flag, last)?;
                if self.ports.is_empty() || *self.ports.start() == 0 {
                    return Err(format!("no ports: {value}"));
                }
            }
            "--turn-allow-peer" => {
                self.allowed.push(value.parse().map_err(|_| format!("{flag}: {value}?"))?);
            }
            "--turn-realm" => self.realm = value.to_owned(),
            "--turn-gather-us" => self.gather_us = Some(read(flag, value)?),
            "--cores" => {
                let numbers = value.split(',').map(|number| read(flag, number.trim()));
                self.cores = numbers.collect::<Result<_, _>>()?;
            }
            other => return Err(format!("what is {other}?")),
        }
        Ok(())
    }

    fn complete(mut self) -> Result<Args, String> {
        if self.listen.is_empty() {
            return Err(format!("where do clients come?\n{USAGE}"));
        }
        if self.certificate.is_some() != self.key.is_some()
            || self.certificate.is_none() && !self.listen_tls.is_empty()
        {
            return Err("TLS wants --tls-certificate and --tls-key".to_owned());
        }
        if self.credentials.is_empty() {
            return Err("nobody may have an allocation: --turn-user or --turn-secret".to_owned());
        }
        if self.externals.is_empty() {
            let ips = self.listen.iter().map(SocketAddr::ip);
            let ips: Vec<IpAddr> = ips.filter(|ip| !ip.is_unspecified()).collect();
            self.externals = ips.into_iter().map(External::own).collect();
        }
        if self.externals.is_empty() {
            return Err("which address is lent? --turn-external IP".to_owned());
        }
        Ok(self)
    }
}

fn read<T: FromStr>(flag: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{flag}: {value}?"))
}
