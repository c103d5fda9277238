//! Randomness from the kernel. Cores take seeds as arguments.

use {
    rustix::rand::{GetRandomFlags, getrandom},
    tandem_types::InstanceId,
};

/// A seed for a core's own generator.
pub fn random_seed() -> [u8; 32] {
    random_bytes()
}

/// A name for this process run that no other run has.
pub fn random_instance_id() -> InstanceId {
    InstanceId(random_bytes())
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            // Going on with a guessable identity would be worse than not starting.
            Err(error) => panic!("the kernel gives no random bytes: {error}"),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike() {
        assert_ne!(random_instance_id(), random_instance_id());
        assert_ne!(random_seed(), random_seed());
        assert!(random_seed().iter().any(|byte| *byte != 0));
    }
}
