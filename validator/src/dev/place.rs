//! Where a process of the playground runs: on this machine's own network, or in a network namespace with an address of its own.

use std::{
    ffi::OsStr,
    net::{IpAddr, Ipv4Addr},
    process::Command,
};

#[derive(Clone, Debug)]
pub struct Place {
    pub ip: IpAddr,
    pub netns: Option<String>,
    /// Comes before the program, as `faketime -f +1h`.
    pub wrapper: Vec<String>,
}

impl Place {
    /// Loopback, shared with everything else.
    pub fn here() -> Self {
        Self { ip: Ipv4Addr::LOCALHOST.into(), netns: None, wrapper: Vec::new() }
    }

    /// `program` in this place. `ip netns exec` and the wrapper become the program, so that its pid is the child's.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut words: Vec<&OsStr> = Vec::new();
        if let Some(netns) = &self.netns {
            words.extend(["ip", "netns", "exec", netns].map(OsStr::new));
        }
        words.extend(self.wrapper.iter().map(OsStr::new));
        words.push(program.as_ref());
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command
    }
}
