//! Gossip's datagrams: one message each, every byte of which must be used.

use {
    crate::{
        Reject,
        bloom::CrdsFilter,
        codec::{Reader, Writer},
        crds::{CrdsData, CrdsValue, WALLCLOCK_MAX},
        ping::{Ping, Pong},
    },
    std::sync::Arc,
    tandem_types::{PACKET_BYTES_MAX, Pubkey, Signature, UnixMillis},
};

/// protocol.rs:Protocol. Decoding checks everything but signatures.
#[derive(Clone, PartialEq, Debug)]
pub enum Protocol {
    /// The value is the caller's contact info.
    PullRequest(CrdsFilter, Arc<CrdsValue>),
    /// The sender's name in a response or push is not signed: it is a hint.
    PullResponse(Pubkey, Vec<Arc<CrdsValue>>),
    PushMessage(Pubkey, Vec<Arc<CrdsValue>>),
    PruneMessage(PruneData),
    PingMessage(Ping),
    PongMessage(Pong),
}

/// "Send me nothing more of these origins; others bring me that sooner."
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PruneData {
    pub pubkey: Pubkey,
    pub prunes: Vec<Pubkey>,
    pub signature: Signature,
    pub destination: Pubkey,
    pub wallclock: UnixMillis,
}

impl Protocol {
    pub fn decode(bytes: &[u8]) -> Result<Self, Reject> {
        if bytes.len() > PACKET_BYTES_MAX {
            return Err(Reject::Length("gossip message"));
        }
        let mut input = Reader::new(bytes, "gossip message");
        let message = match input.u32()? {
            0 => {
                let (filter, caller) = (CrdsFilter::read(&mut input)?, CrdsValue::read(&mut input)?);
                if !matches!(caller.data(), CrdsData::ContactInfo(_)) {
                    return Err(Reject::Inconsistent("pull request: caller"));
                }
                Self::PullRequest(filter, Arc::new(caller))
            }
            1 => Self::PullResponse(input.pubkey()?, read_values(&mut input)?),
            2 => Self::PushMessage(input.pubkey()?, read_values(&mut input)?),
            3 => Self::PruneMessage(PruneData::read(&mut input)?),
            4 => Self::PingMessage(Ping::read(&mut input)?),
            5 => Self::PongMessage(Pong::read(&mut input)?),
            tag => return Err(Reject::Tag("gossip message", tag)),
        };
        input.finish()?;
        Ok(message)
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(PACKET_BYTES_MAX);
        match self {
            Self::PullRequest(filter, caller) => {
                out.u32(0);
                filter.write(&mut out);
                out.bytes(caller.bytes());
            }
            Self::PullResponse(from, values) => write_values(1, from, values, &mut out),
            Self::PushMessage(from, values) => write_values(2, from, values, &mut out),
            Self::PruneMessage(prune) => prune.write(&mut out),
            Self::PingMessage(ping) => ping.write(out.u32(4)),
            Self::PongMessage(pong) => pong.write(out.u32(5)),
        }
        out.0
    }
}

impl PruneData {
    pub fn signed(
        pubkey: Pubkey,
        prunes: Vec<Pubkey>,
        destination: Pubkey,
        wallclock: UnixMillis,
        sign: impl FnOnce(&[u8]) -> Signature,
    ) -> Self {
        let mut data = Self { pubkey, prunes, signature: Signature::default(), destination, wallclock };
        data.signature = sign(&data.signable(false));
        data
    }

    /// Agave sends the form without the domain prefix and accepts both (protocol.rs:PruneData::verify).
    pub fn verify(&self) -> bool {
        [false, true].into_iter().any(|prefixed| self.signature.verify(self.pubkey.as_ref(), &self.signable(prefixed)))
    }

    fn signable(&self, prefixed: bool) -> Vec<u8> {
        let mut out = Writer::with_capacity(512);
        if prefixed {
            out.count(PRUNE_DOMAIN.len()).bytes(PRUNE_DOMAIN);
        }
        out.bytes(self.pubkey.as_ref());
        write_pubkeys(&self.prunes, &mut out);
        out.bytes(self.destination.as_ref()).u64(self.wallclock.0);
        out.0
    }

    /// The sender stands twice: before the data and in it.
    fn read(input: &mut Reader) -> Result<Self, Reject> {
        let (outer, pubkey) = (input.pubkey()?, input.pubkey()?);
        let prunes = (0..input.count(32)?).map(|_| input.pubkey()).collect::<Result<_, _>>()?;
        let (signature, destination, wallclock) = (input.signature()?, input.pubkey()?, UnixMillis(input.u64()?));
        if outer != pubkey {
            return Err(Reject::Inconsistent("prune: sender"));
        }
        if wallclock.0 >= WALLCLOCK_MAX {
            return Err(Reject::OutOfBounds("prune: wallclock"));
        }
        Ok(Self { pubkey, prunes, signature, destination, wallclock })
    }

    fn write(&self, out: &mut Writer) {
        out.u32(3).bytes(self.pubkey.as_ref()).bytes(self.pubkey.as_ref());
        write_pubkeys(&self.prunes, out);
        out.bytes(self.signature.as_ref()).bytes(self.destination.as_ref()).u64(self.wallclock.0);
    }
}

/// Groups values so that each group fits one push message or pull response. A value too large for any is dropped.
pub fn split_values(values: impl IntoIterator<Item = Arc<CrdsValue>>) -> Vec<Vec<Arc<CrdsValue>>> {
    let mut groups = Vec::new();
    let (mut group, mut bytes) = (Vec::new(), 0);
    for value in values {
        let size = value.bytes().len();
        if size > VALUES_BYTES_MAX {
            continue;
        }
        if bytes + size > VALUES_BYTES_MAX {
            groups.push(std::mem::take(&mut group));
            bytes = 0;
        }
        bytes += size;
        group.push(value);
    }
    if !group.is_empty() {
        groups.push(group);
    }
    groups
}

fn read_values(input: &mut Reader) -> Result<Vec<Arc<CrdsValue>>, Reject> {
    (0..input.count(VALUE_BYTES_MIN)?).map(|_| CrdsValue::read(input).map(Arc::new)).collect()
}

fn write_values(tag: u32, from: &Pubkey, values: &[Arc<CrdsValue>], out: &mut Writer) {
    out.u32(tag).bytes(from.as_ref()).count(values.len());
    values.iter().for_each(|value| _ = out.bytes(value.bytes()));
}

fn write_pubkeys(pubkeys: &[Pubkey], out: &mut Writer) {
    out.count(pubkeys.len());
    pubkeys.iter().for_each(|pubkey| _ = out.bytes(pubkey.as_ref()));
}

/// Room for values in a push message or pull response: a packet less tag, sender and count.
pub const VALUES_BYTES_MAX: usize = PACKET_BYTES_MAX - 44;
/// protocol.rs:MAX_PRUNE_DATA_NODES.
pub const PRUNES_MAX: usize = 32;
/// No record is smaller than its signature, tag and origin.
const VALUE_BYTES_MIN: usize = 64 + 4 + 32;
const PRUNE_DOMAIN: &[u8] = b"\xffSOLANA_PRUNE_DATA";

#[cfg(test)]
#[path = "gossip_tests.rs"]
mod tests;
