//! Why bytes from a peer were refused.

/// A peer's nonsense is data, not an error: it is counted under `label` and dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Reject {
    #[error("the message ends before {0}")]
    Truncated(&'static str),
    #[error("bytes are left over behind the message")]
    TrailingBytes,
    #[error("{0} has the unknown tag {1}")]
    Tag(&'static str, u32),
    #[error("{0} claims more elements than its bytes can hold")]
    Length(&'static str),
    #[error("a variable-length integer is not in its only valid form")]
    Varint,
    #[error("{0} is a retired kind of record")]
    Deprecated(&'static str),
    #[error("{0} is out of bounds")]
    OutOfBounds(&'static str),
    #[error("{0} contradicts the rest of the message")]
    Inconsistent(&'static str),
    #[error("the signature does not match")]
    Signature,
    #[error("the transaction is not a vote")]
    NotAVote,
    #[error("the answer is HTTP: the address is an RPC port, use the gossip port")]
    Http,
}

impl Reject {
    /// A name with few values, for counters.
    pub fn label(&self) -> &'static str {
        match self {
            Reject::Truncated(_) => "truncated",
            Reject::TrailingBytes => "trailing_bytes",
            Reject::Tag(..) => "tag",
            Reject::Length(_) => "length",
            Reject::Varint => "varint",
            Reject::Deprecated(_) => "deprecated",
            Reject::OutOfBounds(_) => "out_of_bounds",
            Reject::Inconsistent(_) => "inconsistent",
            Reject::Signature => "signature",
            Reject::NotAVote => "not_a_vote",
            Reject::Http => "http",
        }
    }
}
