//! The floor under every viewer's packet: one AES-128-GCM each, by the cipher that str0m is given.

use std::time::Duration;

use anyhow::{Result, anyhow};

use super::cost::cpu_time;

const PACKETS: u32 = 50_000;

/// Nanoseconds of CPU for a payload of this size.
pub(crate) fn ns_per_packet(payload_bytes: usize) -> Result<f64> {
    let provider = str0m::crypto::from_feature_flags();
    let mut cipher = provider.srtp_provider.aead_aes_128_gcm().create_cipher([7; 16], true);
    let (payload, header) = (vec![3; payload_bytes], [0x90; 24]);
    let mut sealed = vec![0; payload_bytes + 16];
    let began = cpu_time()?;
    for number in 0..PACKETS {
        let mut iv = [0; 12];
        iv[8..].copy_from_slice(&number.to_be_bytes());
        let outcome = cipher.encrypt(&iv, &header, &payload, &mut sealed);
        outcome.map_err(|error| anyhow!("the cipher: {error:?}"))?;
    }
    let spent: Duration = cpu_time()? - began;
    Ok(spent.as_nanos() as f64 / f64::from(PACKETS))
}
