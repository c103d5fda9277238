//! A blocking stage as something the scheduler can hold in its hand.
//!
//! `PromiseStore` blocks in `Kv::txn` and `Pace::pause`: in the product it has a thread of its own. Here it has a stack of
//! its own (a stackful coroutine) and gives the floor back wherever it would block, so the store under test is the
//! product's, line for line, and any other node's step can come between any two of its calls. Threads passing a baton
//! would do the same, twenty times slower.
//!
//! What passes between a fiber and the world lies in a cell of the thread: one fiber runs at a time, and the world runs on
//! one thread.

use {
    crate::wire::{PromiseInput, RoleInput, VoteInput},
    generator::{Generator, Gn},
    std::{cell::RefCell, time::Duration},
    tandem_identity::SignedVote,
    tandem_role::{
        kv::{Kv, KvError, Txn, TxnReply},
        records::Nonce,
    },
    tandem_tower_storage::{LeaderSlotClaim, Pace},
    tandem_types::UnixMillis,
};

/// Where a fiber stands while it waits.
#[derive(Debug)]
pub enum Ask {
    /// For the next message in its inbox.
    Input,
    /// For a store's answer.
    Txn {
        txn: Txn,
        deadline: Duration,
    },
    /// For time to pass.
    Pause(Duration),
    /// For nothing: here the process could be stopped or killed.
    Point(&'static str),
    Ended,
}

#[derive(Debug)]
pub enum Answer {
    Input(PromiseInput),
    Txn(Result<TxnReply, KvError>),
    Go,
}

/// What a fiber did before it stopped to wait.
#[derive(Debug)]
pub enum Out {
    Role(RoleInput),
    Vote(VoteInput),
    SlotClaimed(LeaderSlotClaim),
    SlotRefused,
    Release(Box<SignedVote>),
    /// A check in the shell found what must not be.
    Broken(String),
}

#[derive(Default)]
struct Port {
    answer: Option<Answer>,
    now: Duration,
    wall: UnixMillis,
    out: Vec<Out>,
}

thread_local! {
    static PORT: RefCell<Port> = RefCell::default();
    /// Never the same twice; nothing depends on which.
    static NONCES: RefCell<u64> = const { RefCell::new(0) };
}

/// Words of stack: a quarter of a megabyte, touched only as far as it is used.
const STACK_WORDS: usize = 0x8000;

pub struct Fiber {
    coroutine: Generator<'static, (), Ask>,
}

impl Fiber {
    pub fn spawn(body: impl FnOnce() + Send + 'static) -> Self {
        let coroutine = Gn::new_opt(STACK_WORDS, move || {
            body();
            Ask::Ended
        });
        Self { coroutine }
    }

    /// Runs until the fiber waits again. `now` is its clock, `wall` its wall clock.
    pub fn resume(&mut self, now: Duration, wall: UnixMillis, answer: Answer) -> (Ask, Vec<Out>) {
        PORT.with_borrow_mut(|port| *port = Port { answer: Some(answer), now, wall, out: Vec::new() });
        let ask = self.coroutine.resume().unwrap_or(Ask::Ended);
        (ask, PORT.with_borrow_mut(|port| std::mem::take(&mut port.out)))
    }
}

/// From within a fiber: gives the floor back until the world has an answer.
#[allow(
    deprecated,
    reason = "the scope that replaces it cannot reach into a `Box<dyn Kv>`, which lives as long as it likes"
)]
fn ask(ask: Ask) -> Answer {
    generator::yield_with(ask);
    PORT.with_borrow_mut(|port| port.answer.take()).expect("invariant: a fiber is resumed with an answer")
}

pub fn next_input() -> PromiseInput {
    loop {
        if let Answer::Input(input) = ask(Ask::Input) {
            return input;
        }
    }
}

pub fn point(name: &'static str) {
    ask(Ask::Point(name));
}

pub fn send(out: Out) {
    PORT.with_borrow_mut(|port| port.out.push(out));
}

pub fn wall_clock() -> UnixMillis {
    PORT.with_borrow(|port| port.wall)
}

/// The store as a node's fiber reaches it.
pub struct SimKv;

impl Kv for SimKv {
    fn txn(&mut self, txn: &Txn, deadline: Duration) -> Result<TxnReply, KvError> {
        match ask(Ask::Txn { txn: txn.clone(), deadline }) {
            Answer::Txn(answer) => answer,
            Answer::Input(_) | Answer::Go => {
                Err(KvError::Unavailable { endpoint: self.describe(), reason: "no answer".into() })
            }
        }
    }

    fn describe(&self) -> String {
        "simulated etcd".into()
    }
}

pub struct SimPace;

impl Pace for SimPace {
    fn now(&mut self) -> Duration {
        PORT.with_borrow(|port| port.now)
    }

    fn pause(&mut self, span: Duration) {
        ask(Ask::Pause(span));
    }

    fn nonce(&mut self) -> Nonce {
        NONCES.with_borrow_mut(|drawn| {
            *drawn += 1;
            Nonce(*drawn)
        })
    }
}
