//! A network namespace for each machine, joined by a bridge; cuts between two of them by nftables in both.

use {
    crate::{dev::place::Place, dev::process, exit::Failure},
    std::{net::Ipv4Addr, process::Command, time::Duration},
};

/// How a cut shows itself to who tries to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// A reset, or an unreachable port, at once.
    Refused,
    /// Nothing, ever.
    Dropped,
}

pub struct Network {
    bridge: String,
    prefix: [u8; 3],
    names: Vec<String>,
}

impl Network {
    /// As many machines as there are names. Fails without leaving anything behind when this user may not do such things.
    pub fn create(names: &[&str]) -> Result<Self, Failure> {
        let id = std::process::id();
        let octet = u8::try_from(id % 200).unwrap_or_default();
        let bridge = format!("tnd{}", id % 1_000_000);
        let mut network = Self { prefix: [10, 42, octet], names: Vec::new(), bridge };
        let bridge = network.bridge.clone();
        ip(&format!("link add {bridge} type bridge"))?;
        ip(&format!("addr add {}/24 dev {bridge}", network.address(0)))?;
        ip(&format!("link set {bridge} up"))?;
        for (index, name) in (0u8..).zip(names) {
            let netns = format!("{bridge}-{name}");
            ip(&format!("netns add {netns}"))?;
            network.names.push(netns.clone());
            let veth = format!("{bridge}v{index}");
            ip(&format!("link add {veth} type veth peer name eth0 netns {netns}"))?;
            ip(&format!("link set {veth} master {bridge} up"))?;
            ip(&format!("-n {netns} addr add {}/24 dev eth0", network.address(index + 1)))?;
            ip(&format!("-n {netns} link set eth0 up"))?;
            ip(&format!("-n {netns} link set lo up"))?;
        }
        network.nft(0, "list ruleset")?;
        Ok(network)
    }

    pub fn place(&self, index: usize) -> Place {
        let host = u8::try_from(index + 1).unwrap_or(u8::MAX);
        Place { ip: self.address(host).into(), netns: Some(self.names[index].clone()), wrapper: Vec::new() }
    }

    /// What connects the machines: everything they say to each other passes here.
    pub fn bridge(&self) -> &str {
        &self.bridge
    }

    pub fn cut(&self, from: usize, to: usize, cut: Cut) -> Result<(), Failure> {
        for (here, there) in [(from, to), (to, from)] {
            let there = self.address(u8::try_from(there + 1).unwrap_or(u8::MAX));
            self.nft(here, "add table inet cut")?;
            self.nft(here, "add chain inet cut out { type filter hook output priority 0 ; }")?;
            self.nft(here, "add chain inet cut in { type filter hook input priority 0 ; }")?;
            match cut {
                Cut::Refused => {
                    self.nft(
                        here,
                        &format!("add rule inet cut out ip daddr {there} tcp sport != 0 reject with tcp reset"),
                    )?;
                    self.nft(here, &format!("add rule inet cut out ip daddr {there} reject"))?;
                }
                Cut::Dropped => self.nft(here, &format!("add rule inet cut out ip daddr {there} drop"))?,
            }
            self.nft(here, &format!("add rule inet cut in ip saddr {there} drop"))?;
        }
        Ok(())
    }

    /// Everybody reaches everybody again.
    pub fn heal(&self) -> Result<(), Failure> {
        for index in 0..self.names.len() {
            self.nft(index, "add table inet cut")?;
            self.nft(index, "delete table inet cut")?;
        }
        Ok(())
    }

    fn nft(&self, index: usize, rule: &str) -> Result<(), Failure> {
        ip(&format!("netns exec {} nft {rule}", self.names[index]))
    }

    fn address(&self, host: u8) -> Ipv4Addr {
        let [a, b, c] = self.prefix;
        Ipv4Addr::new(a, b, c, host)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for netns in &self.names {
            // What cannot be removed is named; a later run chooses other names.
            ip(&format!("netns del {netns}")).unwrap_or_else(|failure| eprintln!("{failure}"));
        }
        ip(&format!("link del {}", self.bridge)).unwrap_or_else(|failure| eprintln!("{failure}"));
    }
}

fn ip(words: &str) -> Result<(), Failure> {
    let mut command = Command::new("ip");
    command.args(words.split_whitespace());
    process::output(command, Duration::from_secs(10)).map(drop)
}
