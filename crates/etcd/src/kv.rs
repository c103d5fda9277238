//! `EtcdKv`: transactions over the members, from any thread.
//!
//! A read is hedged: the next member is asked when the first is slow. A write goes to one member at a time, and to the
//! next only when it surely did not happen. A write without an answer is `Unknown`, and is never sent again from here:
//! only the caller, who reads back under its compare, can know whether it counts.

use {
    crate::{
        classify::{Failure, classify},
        lease::Lease,
        member::Member,
        options::{Address, EtcdOptions, OpenError},
        tls::TlsFiles,
    },
    etcd_client::{Compare, CompareOp, GetOptions, PutOptions, TxnOp, TxnOpResponse, TxnResponse},
    rustls_pki_types::ServerName,
    std::{
        future::Future,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        time::{Duration, Instant},
    },
    tandem_role::kv::{KeyValue, Kv, KvError, Op, Revision, Txn, TxnReply},
    tokio::{
        runtime::{self, Runtime},
        task::JoinSet,
        time,
    },
};

/// A store in etcd. Clones share the connections and the lease.
#[derive(Clone)]
pub struct EtcdKv {
    pub(crate) core: Arc<Core>,
    pub(crate) threads: Arc<Threads>,
}

/// What the tasks share.
pub(crate) struct Core {
    pub options: EtcdOptions,
    pub members: Vec<Arc<Member>>,
    pub tls: Option<Arc<TlsFiles>>,
    pub lease: Lease,
    best: AtomicUsize,
}

/// The runtime of the client, apart from the node's own: a busy RPC must not delay a vote's record.
pub(crate) struct Threads(Option<Runtime>);

impl EtcdKv {
    /// Reads the certificate files and starts the client; connections are made when needed. See `check` for a preflight.
    pub fn open(options: EtcdOptions) -> Result<Self, OpenError> {
        let addresses: Vec<Address> =
            options.endpoints.iter().map(|endpoint| Address::parse(endpoint)).collect::<Result<_, _>>()?;
        if addresses.is_empty() {
            return Err(OpenError::NoEndpoints);
        }
        if let Some(name) = options.domain_name.as_ref().filter(|name| ServerName::try_from(name.as_str()).is_err()) {
            return Err(OpenError::DomainName { name: name.clone() });
        }
        let https = addresses.iter().find(|address| address.https).map(ToString::to_string);
        let tls = TlsFiles::open(&options, https.as_deref())?;
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(2).thread_name("tandem-etcd").enable_all().build()?;
        let threads = Threads(Some(runtime));
        let make_members = {
            let (options, tls) = (options.clone(), tls.clone());
            async move {
                let mut members = Vec::new();
                for address in &addresses {
                    members.push(Arc::new(Member::new(address, &options, tls.clone()).await?));
                }
                Ok::<_, etcd_client::Error>(members)
            }
        };
        let members = threads
            .run(Duration::from_secs(5), make_members)
            .unwrap_or_else(|| Err(etcd_client::Error::EndpointError("the client did not start".into())))
            .map_err(std::io::Error::other)?;
        let lease = Lease::new(options.lease_ttl);
        let core = Core { options, members, tls, lease, best: AtomicUsize::new(0) };
        Ok(Self { core: Arc::new(core), threads: Arc::new(threads) })
    }

    /// Reads the certificate files now, and logs what is wrong with them. Each new connection does so by itself; connections
    /// that are open go on with what they began with.
    pub fn reload_certificates(&self) {
        if let Some(tls) = &self.core.tls {
            tls.config();
        }
    }
}

impl Kv for EtcdKv {
    fn txn(&mut self, txn: &Txn, deadline: Duration) -> Result<TxnReply, KvError> {
        let (core, txn, end) = (self.core.clone(), txn.clone(), Instant::now() + deadline);
        let call = async move {
            let reads_only = txn.then.iter().chain(&txn.otherwise).all(is_read);
            if reads_only { core.read(&txn, end).await } else { core.write(&txn, end).await }
        };
        // The task keeps its own deadline; the slack is for a machine too busy to run it.
        self.threads.run(deadline + SLACK, call).unwrap_or_else(|| {
            Err(KvError::Unknown {
                endpoint: self.describe(),
                reason: "this machine is too busy to wait for it".into(),
            })
        })
    }

    fn describe(&self) -> String {
        let names: Vec<&str> = self.core.members.iter().map(|member| member.name.as_str()).collect();
        format!("etcd {}", names.join(","))
    }
}

impl Threads {
    /// Runs on the client's own threads and waits, from any thread, inside another runtime or not.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        at_most: Duration,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (done, result) = mpsc::sync_channel(1);
        self.spawn(async move {
            let _nobody_waits_any_more = done.send(future.await);
        });
        result.recv_timeout(at_most).ok()
    }

    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.0.as_ref().expect("invariant: taken only when dropped").spawn(future);
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Not `drop`, which waits, and panics inside another runtime.
            runtime.shutdown_background();
        }
    }
}

impl Core {
    /// Members in the order to ask them: the last good one first, those that failed lately last.
    pub(crate) fn order(&self) -> Vec<Arc<Member>> {
        let best = self.best.load(Ordering::Relaxed);
        let count = self.members.len();
        let mut order: Vec<_> = (0..count).map(|n| self.members[(best + n) % count].clone()).collect();
        order.sort_by_key(|member| member.is_suspect());
        order
    }

    pub(crate) fn answered(&self, member: &Arc<Member>) {
        member.answered();
        if let Some(index) = self.members.iter().position(|other| Arc::ptr_eq(other, member)) {
            self.best.store(index, Ordering::Relaxed);
        }
    }

    pub(crate) fn classify(&self, error: &etcd_client::Error) -> Failure {
        classify(error, self.tls.as_deref())
    }

    async fn write(self: Arc<Self>, txn: &Txn, end: Instant) -> Result<TxnReply, KvError> {
        let mut leases_lost = 0;
        loop {
            let lease = if needs_lease(txn) { Some(self.lease_id(end).await?) } else { None };
            match self.write_once(txn, lease, end).await {
                Ok(reply) => return Ok(reply),
                Err(WriteError::Kv(error)) => return Err(error),
                Err(WriteError::LeaseGone(endpoint)) => {
                    self.lease.forget(lease).await;
                    leases_lost += 1;
                    if leases_lost > 2 {
                        return Err(KvError::Refused { endpoint, reason: "the lease is gone again and again".into() });
                    }
                }
            }
        }
    }

    async fn write_once(self: &Arc<Self>, txn: &Txn, lease: Option<i64>, end: Instant) -> Result<TxnReply, WriteError> {
        let request = to_etcd(txn, lease);
        let mut not_done =
            KvError::Unavailable { endpoint: "etcd".into(), reason: "the deadline was too short".into() };
        for member in self.order() {
            if let Err(reason) = self.probe(&member, end).await {
                not_done = KvError::Unavailable { endpoint: member.name.clone(), reason };
                continue;
            }
            let endpoint = || member.name.clone();
            let mut client = member.client.clone();
            let error = match time::timeout_at(end.into(), client.txn(request.clone())).await {
                Ok(Ok(response)) => {
                    self.answered(&member);
                    return to_reply(&response, txn).map_err(|reason| {
                        // It answered, but not as etcd does: what it did with the write is anyone's guess.
                        WriteError::Kv(KvError::Unknown { endpoint: endpoint(), reason: reason.into() })
                    });
                }
                Ok(Err(error)) => self.classify(&error),
                Err(_elapsed) => Failure::Unknown("the deadline passed".to_owned()),
            };
            match error {
                Failure::NotDone(reason) => {
                    member.failed();
                    not_done = KvError::Unavailable { endpoint: endpoint(), reason };
                }
                Failure::Unknown(reason) => {
                    member.failed();
                    return Err(WriteError::Kv(KvError::Unknown { endpoint: endpoint(), reason }));
                }
                Failure::Refused(reason) => {
                    return Err(WriteError::Kv(KvError::Refused { endpoint: endpoint(), reason }));
                }
                Failure::LeaseGone => return Err(WriteError::LeaseGone(endpoint())),
            }
        }
        Err(WriteError::Kv(not_done))
    }

    /// Asks a member that was not heard of lately for a sign of life, with a read. It has a part of the time that is
    /// left, so that a hanging one leaves enough for the next.
    async fn probe(&self, member: &Arc<Member>, end: Instant) -> Result<(), String> {
        if member.is_fresh() {
            return Ok(());
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("no time was left to ask it".to_owned());
        }
        let share = if self.members.len() > 1 { (left / 2).min(self.options.connect_timeout) } else { left };
        let options = GetOptions::new().with_serializable().with_count_only();
        let mut client = member.client.clone();
        let reason = match time::timeout(share, client.get(PROBE_KEY, Some(options))).await {
            Ok(Ok(_)) => {
                member.answered();
                return Ok(());
            }
            Ok(Err(error)) => match self.classify(&error) {
                // It spoke, and so it lives: whether it allows the write, the write will show.
                Failure::Refused(_) => return Ok(()),
                Failure::NotDone(reason) | Failure::Unknown(reason) => reason,
                Failure::LeaseGone => "it speaks of leases when asked for a key".to_owned(),
            },
            Err(_elapsed) => format!("no answer within {} ms", share.as_millis()),
        };
        member.failed();
        Err(reason)
    }

    async fn read(self: &Arc<Self>, txn: &Txn, end: Instant) -> Result<TxnReply, KvError> {
        let request = to_etcd(txn, None);
        let mut waiting = self.order().into_iter();
        let mut asked = JoinSet::new();
        let mut failed = KvError::Unavailable { endpoint: "etcd".into(), reason: "no member answered in time".into() };
        loop {
            // One more: the first, or the last one asked has failed, or is slow.
            if let Some(member) = waiting.next() {
                let (mut client, request) = (member.client.clone(), request.clone());
                asked.spawn(async move {
                    let result = client.txn(request).await;
                    (member, result)
                });
            }
            let now = Instant::now();
            if asked.is_empty() || now >= end {
                return Err(failed);
            }
            let hedge_at = if waiting.len() == 0 { end } else { end.min(now + self.options.hedge_after) };
            let Ok(Some(Ok((member, result)))) = time::timeout_at(hedge_at.into(), asked.join_next()).await else {
                continue;
            };
            let endpoint = || member.name.clone();
            match result.map_err(|error| self.classify(&error)) {
                Ok(response) => {
                    self.answered(&member);
                    return to_reply(&response, txn)
                        .map_err(|reason| KvError::Unavailable { endpoint: endpoint(), reason: reason.into() });
                }
                Err(Failure::Refused(reason)) => return Err(KvError::Refused { endpoint: endpoint(), reason }),
                // A read has no outcome to be unsure of.
                Err(Failure::NotDone(reason) | Failure::Unknown(reason)) => {
                    member.failed();
                    failed = KvError::Unavailable { endpoint: endpoint(), reason };
                }
                Err(Failure::LeaseGone) => {}
            }
        }
    }
}

enum WriteError {
    Kv(KvError),
    LeaseGone(String),
}

fn is_read(op: &Op) -> bool {
    match op {
        Op::Get { .. } | Op::GetPrefix { .. } => true,
        Op::Put { .. } | Op::PutLeased { .. } | Op::Delete { .. } => false,
    }
}

fn needs_lease(txn: &Txn) -> bool {
    txn.then.iter().chain(&txn.otherwise).any(|op| matches!(op, Op::PutLeased { .. }))
}

fn to_etcd(txn: &Txn, lease: Option<i64>) -> etcd_client::Txn {
    let compare = |compare: &tandem_role::kv::Compare| {
        // A key that does not exist has mod_revision 0 in etcd as well.
        let revision = i64::try_from(compare.mod_revision).unwrap_or(i64::MAX);
        Compare::mod_revision(compare.key.as_str(), CompareOp::Equal, revision)
    };
    let op = |op: &Op| match op {
        Op::Put { key, value } => TxnOp::put(key.as_str(), value.as_slice(), None),
        Op::PutLeased { key, value } => {
            let options = lease.map(|id| PutOptions::new().with_lease(id));
            TxnOp::put(key.as_str(), value.as_slice(), options)
        }
        Op::Delete { key } => TxnOp::delete(key.as_str(), None),
        Op::Get { key } => TxnOp::get(key.as_str(), None),
        Op::GetPrefix { prefix, limit } => {
            TxnOp::get(prefix.as_str(), Some(GetOptions::new().with_prefix().with_limit(i64::from(*limit))))
        }
    };
    etcd_client::Txn::new()
        .when(txn.compares.iter().map(compare).collect::<Vec<_>>())
        .and_then(txn.then.iter().map(op).collect::<Vec<_>>())
        .or_else(txn.otherwise.iter().map(op).collect::<Vec<_>>())
}

fn to_reply(response: &TxnResponse, txn: &Txn) -> Result<TxnReply, &'static str> {
    let header = response.header().ok_or("its answer has no header")?;
    let revision = Revision::try_from(header.revision()).map_err(|_| "its revision is negative")?;
    let branch = if response.succeeded() { &txn.then } else { &txn.otherwise };
    let answers = response.op_responses();
    if answers.len() != branch.len() {
        return Err("its answer has another number of parts than the question");
    }
    let reads = answers
        .iter()
        .map(|answer| match answer {
            TxnOpResponse::Get(get) => get.kvs().iter().map(key_value).collect(),
            TxnOpResponse::Put(_) | TxnOpResponse::Delete(_) | TxnOpResponse::Txn(_) => Vec::new(),
        })
        .collect();
    Ok(TxnReply { succeeded: response.succeeded(), revision, store_id: header.cluster_id(), reads })
}

pub(crate) fn key_value(kv: &etcd_client::KeyValue) -> KeyValue {
    KeyValue {
        key: String::from_utf8_lossy(kv.key()).into_owned(),
        value: kv.value().to_vec(),
        mod_revision: Revision::try_from(kv.mod_revision()).unwrap_or(0),
    }
}

/// Never written: reading it asks only whether the member answers and has a leader.
const PROBE_KEY: &str = "/tandem/probe";
const SLACK: Duration = Duration::from_millis(50);
