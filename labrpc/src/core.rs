//! [`Core`]: what is behind the switches of a network: its servers' names and links, its time, and those who watch
//! it. The life of messages is in [`transit`](crate::transit).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use labcodec::Limits;
use parking_lot::{Mutex, RwLock};

use crate::RpcError;
use crate::call::Call;
use crate::draws::Seed;
use crate::faults::Faults;
use crate::link::{Link, Slot};
use crate::observe::{Envelope, Event, Fate, MessageId, Observer, Reason, Step};
use crate::options::NetworkOptions;
use crate::parcel::Parcel;
use crate::pool::{MAX_THREADS, Pool, Spawn};
use crate::timer::Timer;
use crate::transit::REFUSAL_TIME;

type Interceptor = dyn Fn(&Envelope<'_>) -> Fate + Send + Sync;

/// The state of a network that outlives a call.
pub(crate) struct Core {
    pub(crate) options: NetworkOptions,
    pub(crate) limits: Limits,
    pub(crate) slots: Mutex<BTreeMap<String, Arc<Slot>>>,
    /// The network's faults, for links to come.
    pub(crate) faults: Mutex<Faults>,
    pools: Mutex<Vec<Weak<Pool>>>,
    pub(crate) timer: Arc<Timer<Due>>,
    pub(crate) calls: AtomicU64,
    pub(crate) messages: AtomicU64,
    /// `None` once the network has ended: a message put here then would keep itself alive, as it keeps its
    /// call, that its link, and that the network's core.
    pub(crate) held: Mutex<Option<BTreeMap<MessageId, Parcel>>>,
    /// There are observers; spares the lock when there are none.
    observed: AtomicBool,
    observers: RwLock<Vec<Arc<dyn Observer>>>,
    /// There is an interceptor; spares the lock when there is none.
    intercepted: AtomicBool,
    interceptor: RwLock<Option<Arc<Interceptor>>>,
}

/// What the timer does.
pub(crate) enum Due {
    /// A message arrives.
    Arrive(Parcel),
    /// A call ends without a reply.
    Resolve(Arc<Call>, RpcError),
    /// A link may have calls whose time is up.
    Overdue(Weak<Link>),
}

impl Core {
    pub(crate) fn new(options: NetworkOptions) -> Self {
        Core {
            limits: Limits::new().max_bytes(options.max_message_bytes),
            options,
            slots: Mutex::default(),
            faults: Mutex::default(),
            pools: Mutex::default(),
            timer: Arc::new(Timer::new()),
            calls: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            held: Mutex::new(Some(BTreeMap::new())),
            observed: AtomicBool::new(false),
            // With room, so that who watches takes no memory from the others when another comes.
            observers: RwLock::new(Vec::with_capacity(8)),
            intercepted: AtomicBool::new(false),
            interceptor: RwLock::default(),
        }
    }

    pub(crate) fn slot(&self, name: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        match slots.get(name) {
            Some(slot) => Arc::clone(slot),
            None => Arc::clone(slots.entry(name.to_owned()).or_default()),
        }
    }

    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.slots.lock().values().flat_map(|slot| slot.links()).collect()
    }

    /// The stream of draws of the `nth` client from `from` to `to`.
    pub(crate) fn link_seed(&self, from: &str, to: &str, nth: u64) -> Seed {
        Seed::new(self.options.seed).named(from).named(to).at(nth)
    }

    /// The threads of the node that `spawn` stands for.
    pub(crate) fn pool(&self, spawn: Arc<dyn Spawn>) -> Arc<Pool> {
        let mut pools = self.pools.lock();
        pools.retain(|pool| pool.strong_count() > 0);
        if let Some(pool) = pools.iter().filter_map(Weak::upgrade).find(|pool| pool.is_of(&spawn)) {
            return pool;
        }
        let pool = Arc::new(Pool::new(spawn, MAX_THREADS, self.options.linger));
        pools.push(Arc::downgrade(&pool));
        pool
    }

    /// Ends the thread, all calls and all messages on their way.
    pub(crate) fn stop(&self) {
        let undone = self.timer.end();
        for link in self.links() {
            link.close();
        }
        for due in undone {
            self.cancel(due);
        }
        let held = self.held.lock().take();
        for parcel in held.into_iter().flat_map(BTreeMap::into_values) {
            self.cancel(Due::Arrive(parcel));
        }
        let slots: Vec<_> = self.slots.lock().values().cloned().collect();
        for slot in slots {
            if let Some(callee) = slot.bind(None) {
                callee.pool.detach();
            }
        }
    }

    // Watching.

    pub(crate) fn add_observer(&self, observer: Arc<dyn Observer>) {
        self.observers.write().push(observer);
        self.observed.store(true, Relaxed);
    }

    pub(crate) fn set_interceptor(&self, interceptor: Arc<Interceptor>) {
        *self.interceptor.write() = Some(interceptor);
        self.intercepted.store(true, Relaxed);
    }

    pub(crate) fn observe(&self, parcel: &Parcel, step: Step) {
        if self.observed.load(Relaxed) {
            let event = Event { envelope: parcel.envelope(), step };
            for observer in &*self.observers.read() {
                observer.observe(&event);
            }
        }
    }

    pub(crate) fn fate(&self, parcel: &Parcel) -> Fate {
        if !self.intercepted.load(Relaxed) {
            return Fate::Default;
        }
        let interceptor = self.interceptor.read().clone();
        interceptor.map_or(Fate::Default, |decide| decide(&parcel.envelope()))
    }

    // Time.

    pub(crate) fn schedule(&self, due: Instant, what: Due) {
        if let Err(what) = self.timer.schedule(due, what) {
            self.cancel(what);
        }
    }

    /// Does what is due.
    pub(crate) fn fire(self: &Arc<Self>, due: Due) {
        match due {
            Due::Arrive(parcel) => self.arrive(parcel),
            Due::Resolve(call, error) => call.link.resolve(&call, Err(error)),
            Due::Overdue(link) => {
                let Some(link) = link.upgrade() else { return };
                if let Some(next) = link.end_overdue(self.options.clock.now()) {
                    self.schedule(next, Due::Overdue(Arc::downgrade(&link)));
                }
            }
        }
    }

    /// What was due will not be done: the network is gone.
    pub(crate) fn cancel(&self, due: Due) {
        match due {
            Due::Arrive(parcel) => self.observe(&parcel, Step::Dropped(Reason::NetworkStopped)),
            Due::Resolve(call, _) => call.link.resolve(&call, Err(RpcError::Stopped)),
            Due::Overdue(_) => (),
        }
    }

    /// Lets a call time out after so long, however long it might take.
    pub(crate) fn give_up_after(&self, call: &Call, time: Duration) {
        // No event of its own: most calls are answered long before, and such events would pile up.
        if let Some(due) = self.options.clock.now().checked_add(time.max(REFUSAL_TIME)) {
            if call.link.give_up_at(call, due) {
                self.schedule(due, Due::Overdue(Arc::downgrade(&call.link)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Faults, Network, NetworkOptions, Notice, RpcFuture, Server, Threads};

    use super::*;

    crate::service! {
        service "echo" {
            trait Echo; client EchoClient;
            rpc echo(u32) -> u32;
        }
    }

    #[derive(Clone)]
    struct Echoes;

    impl Echo for Echoes {
        fn echo(&self, n: u32) -> crate::Result<u32> {
            Ok(n)
        }
    }

    fn network() -> (Network, EchoClient) {
        let network = Network::new(NetworkOptions::default());
        let mut server = Server::new("server", Arc::new(Threads));
        server.add(Echoes.into_service());
        network.add_server(server);
        let client = network.client("client", "server", Arc::new(Threads));
        network.enable(&client, true);
        (network, EchoClient::new(client))
    }

    /// Each once left an event behind, and the timer's thread woke for each.
    #[test]
    fn timeouts_of_answered_calls_do_not_pile_up() {
        let (network, client) = network();
        for n in 0..50 {
            assert_eq!(client.echo(&n).timeout(Duration::from_secs(5)).wait(), Ok(n));
        }
        let events = network.core.timer.len();
        assert!(events <= 2, "{events} events for a link that is watched by two at most");
    }

    #[test]
    fn each_of_several_timeouts_of_a_link_is_kept() {
        let (network, client) = network();
        network.set_faults(Faults {
            request_loss: 1.0,
            loss_notice: Notice::ByTimeout,
            ..Faults::reliable()
        });
        let start = Instant::now();
        let after = |ms| (Duration::from_millis(ms), client.echo(&7).timeout(Duration::from_millis(ms)));
        let calls: [(Duration, RpcFuture<u32>); 3] = [after(60), after(20), after(40)];
        for (time, call) in calls {
            assert_eq!(call.wait(), Err(RpcError::TimedOut));
            let took = start.elapsed();
            assert!(time <= took && took < Duration::from_secs(5), "{time:?} took {took:?}");
        }
    }
}
